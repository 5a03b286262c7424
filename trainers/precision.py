"""The precision that a phase computes in: its settings say it, never what started its processes."""

from __future__ import annotations

import os

from modeling_clinragen.errors import SettingsError
from trainers.phase_config import PhaseConfig

BY_LAUNCHER = "ACCELERATE_MIXED_PRECISION"
"""What `accelerate launch` sets to its own `mixed_precision`, which is "no" where it is given none."""


def require_own_precision(args: PhaseConfig) -> None:
    """Check that a launcher asks for no other precision than the phase.

    transformers would take the launcher's wherever `bf16` and `fp16` are off, so that a phase in single precision
    would be trained in another one, and the run's record would not say it.

    Raises:
        SettingsError: The launcher asks for a mixed precision that is not the phase's.
    """
    own = "fp16" if args.fp16 else "bf16" if args.bf16 else "no"
    asked = os.environ.get(BY_LAUNCHER, "no").lower()
    if asked not in ("no", own):
        raise SettingsError(
            f"the launcher's mixed_precision is {asked}, but bf16 and fp16 of the phase give {own}; leave "
            "mixed_precision out of the launcher's options and configuration, and set bf16 or fp16 for the phase"
        )
