"""ClinRaGen's public face: importing it makes transformers' Auto classes know the model."""

import sys
from pathlib import Path

__version__ = "0.1.0"

# The command line answers `--help` at once: there, a command registers the classes when it needs them.
if Path(sys.argv[0]).stem != "clinragen":
    from modeling_clinragen.registration import register_auto_classes

    register_auto_classes()
