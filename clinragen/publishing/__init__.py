"""Models, cohorts and Spaces for the Hub, each checked before a byte is sent."""
