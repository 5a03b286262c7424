"""Makes the shipped model from a run of the quickstart: `python -m clinragen.shipped_model.make RUN`.

For a release only: every change of it stays in the project's history at its full size.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clinragen.shipped_model.folder import COHORT, EVALUATION, MODEL, RESOURCES
from dataset_builder.contract.definitions import read_definitions, write_definitions
from dataset_builder.contract.schema import SPLITS, split_files
from dataset_builder.storage.files import atomic_folder, read_json
from dataset_builder.storage.governance import (
    PROVENANCE,
    carry_provenance,
    is_synthetic,
    read_provenance,
    write_provenance,
)
from modeling_clinragen.errors import ClinRaGenError, GovernanceError, InputDataError

PATIENTS = 20
MOST_BYTES = 12_000_000
"""Of everything together: it comes with every installation."""
MODEL_FILES = (
    *("README.md", "config.json", "generation_config.json", "knowledge.json", "model.safetensors"),
    *("processor_config.json", PROVENANCE, "tokenizer.json", "tokenizer_config.json", "tokenizer_tokens.json"),
)
"""What a model folder needs where clinragen is installed: not the copies of its code."""
METRICS = "metrics.json"
_CODE = "auto_map"
_README = """\
# The shipped model

The model that `clinragen quickstart` trains, with its knowledge base, the figures of its evaluation and {patients}
of the patients that it was tested with. **All of it is synthetic**: no number and no sentence says anything about a
real patient. Research software, not a medical device.

Data and weights are under CC0 1.0. Made by `python -m clinragen.shipped_model.make`, which copies the files of one run
and is called at a release only; `provenance.json` says how the run was made. The model's folder lacks the copies of
the code that load it where clinragen is not installed: `save_pretrained` writes them.
"""


def make_shipped_model(run: Path, target: Path) -> None:
    """Write what is shipped of a run into a folder, which is replaced as a whole.

    Args:
        run: Output folder of `clinragen quickstart`.
        target: The folder to write.

    Raises:
        GovernanceError: Its model or its patients are not synthetic.
        InputDataError: A file of the run is missing, or everything together is too large.
    """
    parents = []
    for name in (MODEL, COHORT, EVALUATION):
        provenance = read_provenance(run / name)
        if not is_synthetic(provenance):
            raise GovernanceError(f"{run / name}: is not made of synthetic patients alone, so it cannot be shipped")
        parents.append(provenance)
    with atomic_folder(target) as folder:
        _copy_model(run / MODEL, folder / MODEL)
        chosen = _copy_patients(run / COHORT, folder / COHORT)
        (folder / EVALUATION).mkdir()
        for name in (METRICS, PROVENANCE):
            _copy(run / EVALUATION / name, folder / EVALUATION / name)
        write_provenance(folder, carry_provenance(parents, "ship", {"clinragen": version("clinragen"), **chosen}))
        (folder / "README.md").write_text(_README.format(patients=PATIENTS), encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > MOST_BYTES:
            raise InputDataError(
                f"{run}: {size:,} bytes would be shipped, at most {MOST_BYTES:,} may; train a smaller model"
            )


def patients_to_show(listed: Iterable[Iterable[str]], count: int = PATIENTS) -> list[int]:
    """The rows of so many patients: first those that bring a disease that none before has, then whoever comes next."""
    seen: set[str] = set()
    bring: list[int] = []
    others: list[int] = []
    for row, diseases in enumerate(listed):
        new = set(diseases) - seen
        seen |= new
        (bring if new else others).append(row)
    return sorted([*bring, *others][:count])


def _copy_model(source: Path, target: Path) -> None:
    target.mkdir()
    for name in MODEL_FILES:
        _copy(source / name, target / name)
    for name in ("config.json", "processor_config.json", "tokenizer_config.json"):
        # It says which file of this folder has the code; `import clinragen` knows the classes.
        content = _without(read_json(target / name), _CODE)
        (target / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _copy_patients(source: Path, target: Path) -> dict[str, Any]:
    """Write the cohort of some of the test patients; the other splits are empty. Returns what the record says."""
    import pyarrow.parquet as pq

    paths = split_files(source)
    (target / "data").mkdir(parents=True)
    write_definitions(target, read_definitions(source))
    rows = patients_to_show(pq.read_table(paths["test"], columns=["diagnoses"])["diagnoses"].to_pylist())
    for split in SPLITS:
        table = pq.read_table(paths[split])
        shown = table.take(rows) if split == "test" else table.slice(0, 0)
        pq.write_table(shown, target / "data" / f"{split}.parquet")
    chosen = {"test_patients": len(rows)}
    provenance = read_provenance(source)
    counts = {"train": 0, "validation": 0, "test": len(rows), "total": len(rows)}
    write_provenance(target, {**carry_provenance([provenance], "ship", chosen), "examples": counts})
    return chosen


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputDataError(f"{source}: is missing; give the output folder of `clinragen quickstart`")
    # Without its permissions: an installation may be everybody's, and nothing here is private.
    shutil.copyfile(source, target)


def _without(content: Any, name: str) -> Any:
    if isinstance(content, Mapping):
        return {key: _without(value, name) for key, value in content.items() if key != name}
    return [_without(value, name) for value in content] if isinstance(content, list) else content


def main(words: list[str]) -> None:
    """Write the shipped files of the run that is the only argument."""
    try:
        if len(words) != 1:
            raise InputDataError("give the output folder of one `clinragen quickstart`")
        make_shipped_model(Path(words[0]), RESOURCES)
    except ClinRaGenError as error:
        raise SystemExit(f"clinragen: {error}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
