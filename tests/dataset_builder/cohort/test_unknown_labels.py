"""Labels that nobody knows are null in a cohort, and whoever would take a null for "does not have it" refuses it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import fails_with_one_line, in_process
from own_vocabulary import write_vocabulary
from tiny_mimic import TinyMimic, build, crowd, examples_of, make_cohort
from tiny_mimic_iii import TinyMimic3

from dataset_builder.contract.arrays import label_matrix
from dataset_builder.contract.schema import load_examples
from dataset_builder.sources.spec import SOURCES
from modeling_clinragen.errors import InputDataError
from trainers.data import check_split

GOUT = {"name": "Gout", "kind": "chronic", "codes": {9: ["274.0"]}}
ASTHMA = {"name": "Asthma", "kind": "chronic", "codes": {10: ["J45909"]}}


@pytest.fixture(scope="module")
def uncoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of a source that has no diagnoses."""
    folder = tmp_path_factory.mktemp("uncoded")
    content = yaml.safe_load((SOURCES / "mimic-iv.yaml").read_text(encoding="utf-8"))
    content["tables"]["diagnoses"]["optional"] = True
    (folder / "own.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    root = crowd(9).write(folder / "tables", leave_out=["hosp/diagnoses_icd"])
    make_cohort(str(folder / "own.yaml"), root, folder / "cohort", note_policy="full")
    return folder / "cohort"


def test_without_diagnoses_every_stay_stays_and_every_label_is_null(uncoded: Path) -> None:
    rows = examples_of(uncoded)
    assert len(rows) == 9
    assert all(row["labels"] == [None] * 25 and row["diagnoses"] == [] for row in rows.values())


def test_a_null_is_not_taken_for_a_0(uncoded: Path) -> None:
    train = load_examples(uncoded)["train"]
    message = f"{25 * len(train)} labels of {len(train)} examples are unknown"
    for use in (label_matrix, lambda split: check_split(split, load_examples(uncoded).vocabulary)):
        with pytest.raises(InputDataError, match=message):
            use(train)


def test_no_rationales_are_written_about_unknown_diseases(uncoded: Path, tmp_path: Path) -> None:
    done = in_process("rationales", "--cohort", uncoded, "--output", tmp_path / "out")
    fails_with_one_line(done, "225 labels of 9 examples are unknown", "has no codes of these diseases")
    assert not (tmp_path / "out").exists()


def test_a_disease_without_a_code_in_the_sources_only_version_is_unknown(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "own", {}, {"gout": GOUT, "asthma": ASTHMA}, variables=["shipped"])
    hospital = TinyMimic3()  # ICD-9 alone
    hospital.stay(1, codes=("2740",))
    hospital.heart_rate(1, 1, 80)
    rows, provenance = build(hospital, tmp_path, vocabulary=vocabulary, all_codes=True)
    assert [row["labels"] for row in rows.values()] == [[1, None]]
    assert any("no codes of 1 of 2 diseases (Asthma)" in warning for warning in provenance["warnings"])
    both = TinyMimic()
    both.stay(1, codes=(("2740", 9),))
    both.heart_rate(1, 1, 80)
    rows, provenance = build(both, tmp_path / "iv", vocabulary=vocabulary, note_policy="structured")
    assert [row["labels"] for row in rows.values()] == [[1, 0]]
    assert "diseases_with_unknown_labels" not in provenance["labels"]
