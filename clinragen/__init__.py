"""ClinRaGen's public face: importing it makes transformers' Auto classes know the model."""

import sys
from pathlib import Path
from typing import Any

__version__ = "0.1.0"
__all__ = ["load_cohort"]

# The command line answers `--help` at once: there, a command registers the classes when it needs them.
if Path(sys.argv[0]).stem != "clinragen":
    from modeling_clinragen.registration import register_auto_classes

    register_auto_classes()


def __getattr__(name: str) -> Any:
    # Lazy: whoever only wants the Auto classes need not load the query engine.
    if name != "load_cohort":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dataset_builder.cohort.hf_builder import load_cohort

    return load_cohort
