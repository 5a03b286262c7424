"""Faithfulness by intervention: what a trained model answers when something of its input is changed."""
