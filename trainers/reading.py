"""The training inputs of a phase, described for the model's processor."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.profile_clinragen import Cut, InputProfile

logger = logging.getLogger(__name__)


def profile_inputs(processor: ClinRaGenProcessor, items: Sequence[Mapping[str, Any]]) -> InputProfile | None:
    """Describe training inputs, and log how much of their notes is read where it is not all.

    Args:
        processor: The model's processor.
        items: Examples with `note` and `series`, as the model is shown them.

    Returns:
        The profile; None where there are too few examples for one (see `FEWEST_EXAMPLES`).
    """
    reports = processor.read_reports([item["note"] for item in items], [item["series"] for item in items])
    cut = Cut.of_counts((report.tokens_read, report.tokens_total) for report in reports)
    if cut.examples:
        logger.warning("Training: %s", cut.sentence)
    return InputProfile.of_reports(reports, processor.feature_extractor.variables)
