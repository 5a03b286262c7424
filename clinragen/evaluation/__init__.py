"""Scores of models and baselines on held-out patients, with intervals, claims, a report and figures."""
