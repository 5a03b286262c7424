"""The dataset card of a cohort folder: metadata for `datasets.load_dataset`, and the facts that a reader must know."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import atomic_file
from dataset_builder.storage.governance import SYNTHETIC_NOTICE, is_synthetic
from modeling_clinragen.vocabulary_clinragen import Vocabulary

_TEXT = """
# ClinRaGen cohort: {title}

{count} ICU stays of {patients} patients (source version: {version}), one example each: a clinical note, the series of
{variables} bedside variables, and which of {diseases} diseases the admission was billed with. Built by
`clinragen build`.

{sharing}
{synthetic}
**Notes.** Policy `{policy}`. {about_notes}

**Window.** `{window}`, grid `{grid}`. `prediction_time` is in hours since ICU admission; no later measurement is in an
example. Missing values are null and marked in `lab_observed`; nothing is filled in.

| split | examples |
| --- | --- |
{splits}

Splits are made by patient.

## Cohort

| filter | stays left |
| --- | --- |
{filters}

## Leakage audit

| check | count |
| --- | --- |
{audit}

`provenance.json` has the rejected rows per item and reason, all settings, and the fingerprint of inputs and code;
`vocabulary.json` defines the variables and diseases.
Licence of the source: {licence}.
"""


def write_card(folder: Path, vocabulary: Vocabulary, provenance: Mapping[str, Any]) -> None:
    """Write README.md with the metadata the datasets library reads (splits and their files)."""
    from huggingface_hub import DatasetCardData

    # The datasets library cannot load an empty split: it is left out here, its file is still written.
    filled = [split for split in SPLITS if provenance["examples"][split]]
    files = [{"split": split, "path": f"data/{split}.parquet"} for split in filled]
    metadata = DatasetCardData(
        license=provenance["licence"]["id"],
        language="en",
        pretty_name=f"ClinRaGen cohort: {provenance['title']}",
        tags=["medical", "ehr", "clinragen"],
        configs=[{"config_name": "default", "data_files": files}],
    )
    if provenance["credentialed"]:
        sharing = (
            "**Credentialed data.** The source's data use agreement forbids sharing this folder, publishing it "
            "or sending it to third parties. Read it with `dataset_builder.contract.schema.load_examples`, which "
            "leaves it where it is: `datasets.load_dataset` would copy it into a cache that others on the machine may "
            "read."
        )
    else:
        sharing = "The source is openly licensed; the same terms hold for this folder."
    settings = provenance["settings"]
    text = _TEXT.format(
        title=provenance["title"],
        count=provenance["examples"]["total"],
        patients=provenance["patients"],
        variables=len(vocabulary.variables),
        diseases=len(vocabulary.diseases),
        version=provenance["version"],
        sharing=sharing,
        synthetic=f"\n**Synthetic.** {SYNTHETIC_NOTICE}\n" if is_synthetic(provenance) else "",
        policy=provenance["note_policy"],
        about_notes=provenance["about_the_notes"],
        window=settings["window"],
        grid=settings["grid"],
        splits=_rows((split, provenance["examples"][split]) for split in SPLITS),
        filters=_rows((step["filter"], step["stays"]) for step in provenance["cohort"]),
        audit=_rows((name.replace("_", " "), count) for name, count in provenance["leakage_audit"].items()),
        licence=provenance["licence"]["name"],
    )
    with atomic_file(folder / "README.md") as beside:
        beside.write_text(f"---\n{metadata.to_yaml()}\n---\n{text}", encoding="utf-8")


def _rows(pairs: Any) -> str:
    return "\n".join(f"| {name} | {count} |" for name, count in pairs)
