"""Scores of a model on cohorts other than its own: one table with intervals and differences."""
