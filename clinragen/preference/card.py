"""The card of a model folder that preference training wrote: what was done, and what the curve shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clinragen.preference.config import ClinicalPreferenceConfig
from clinragen.preference.curve import CURVE
from dataset_builder.storage.files import atomic_file
from dataset_builder.storage.governance import provenance_notices
from trainers.formatting import markdown_table

CARD = "README.md"
SHOWN = {
    "contradicted_share": "Claims about the data that the data contradict",
    "claims": "Claims about the data a text",
    "supported": "Supported claims about the data a text",
    "nothing_contradicted": "Texts of which nothing is contradicted",
    "evidence_recall": "Listed diseases with known evidence that is cited",
    "diagnosis_f1": "F1 of the diagnoses",
    "length": "Tokens a text",
}


def write_card(
    folder: Path,
    provenance: Mapping[str, Any],
    config: ClinicalPreferenceConfig,
    curve: Sequence[Mapping[str, float]],
) -> None:
    """Write README.md. Whatever was measured is of free texts on a few validation patients, and it says so.

    Args:
        folder: The model folder.
        provenance: Its provenance.
        config: The settings of the training.
        curve: As in `preference_curve.json`.
    """
    measured = [entry for entry in curve if "eval_claims" in entry]
    rows = [
        [title, *(f"{entry[f'eval_{name}']:.3g}" for entry in (measured[0], measured[-1]))]
        for name, title in SHOWN.items()
    ]
    licence = provenance.get("licence")
    licence = licence if isinstance(licence, Mapping) else {}
    parts = [
        f"---\nlibrary_name: transformers\nlanguage: en\nlicense: {licence.get('id', 'other')}\n"
        "tags: [clinragen, medical, preference, " + config.loss + "]\n---",
        f"# A ClinRaGen model after preference training ({config.loss.upper()})",
        "**Research software, not a medical device.**",
        *(f"> **{notice}**" for notice in provenance_notices(provenance)),
        "After its last phase the model learned which of the texts that it writes for a patient the claim checker "
        f"prefers (docs/preference.md of the project). `{CURVE}` has the whole curve; these are its first and its "
        f"last point, of texts that the model wrote freely for {config.curve_patients} validation patients at most. "
        "The checker that counts is the one that rewarded, so the numbers say less than an evaluation: run "
        "`clinragen evaluate`.",
        markdown_table(["", "First", "Last"], rows),
    ]
    with atomic_file(folder / CARD) as beside:
        beside.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
