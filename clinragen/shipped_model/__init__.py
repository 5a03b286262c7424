"""The model that comes with the project: the quickstart's, with its knowledge, its evaluation and 20 of its patients.

It learned from synthetic patients only, so it shows how everything works, and says nothing about a real patient. Its
files are those of a run, made by `python -m clinragen.shipped_model.make`, and replaced only at a release.

- `shipped_model()`: the model's folder, which is meant wherever nobody gives a model.
"""

from clinragen.shipped_model.folder import MODEL_NOTICE, shipped_model

__all__ = ["MODEL_NOTICE", "shipped_model"]
