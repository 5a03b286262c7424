"""The page on one model: its tabs, and how it is served on this machine."""
