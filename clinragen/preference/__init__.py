"""Preferences from the claim checker: rewards that any rationale can be given, and the training by them.

- `ClinicalRewards(checking, layout)`: functions of (texts, patients) to scores.
- `train_preference(folder, ...)`: samples, ranks and trains a model folder.
"""
