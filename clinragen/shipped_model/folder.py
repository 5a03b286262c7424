"""Where the shipped model is, laid out as a run is: `model`, `rationales` (its patients) and `evaluation`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from modeling_clinragen.errors import StageError

RESOURCES = Path(str(files("clinragen.shipped_model") / "resources"))
MODEL, COHORT, EVALUATION = "model", "rationales", "evaluation"
MODEL_NOTICE = "No model is given, so the shipped one answers. It learned from synthetic patients only."


def shipped_model(resources: Path | None = None) -> Path:
    """The folder of the shipped model.

    Args:
        resources: The folder that has it, by default the package's own.

    Raises:
        StageError: This installation was made without it.
    """
    folder = (RESOURCES if resources is None else resources) / MODEL
    if not (folder / "config.json").is_file():
        raise StageError(
            "no model is given, and this installation has not the shipped one; give a model folder, such as that of "
            "`clinragen quickstart`, or install clinragen anew"
        )
    return folder
