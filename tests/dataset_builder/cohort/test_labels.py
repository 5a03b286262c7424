"""Labels from billing codes, by version and in every spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_mimic import HR, SHIPPED, VOCABULARY, TinyMimic, examples_of, make_cohort

DISEASES = {disease.key: number for number, disease in enumerate(VOCABULARY.diseases)}


def labels_for(tmp_path: Path, codes: list[list[tuple[str, int]]]) -> tuple[list[list[str]], dict[str, int]]:
    """The disease keys of one stay per list of codes, and the label counts."""
    hospital = TinyMimic()
    for number, listed in enumerate(codes, start=1):
        hospital.stay(number, codes=listed)
        hospital.chart(number, 1, HR, 80)
    provenance = make_cohort("mimic-iv", hospital.write(tmp_path / "t"), tmp_path / "c", note_policy="structured")
    rows = examples_of(tmp_path / "c")
    keys = list(DISEASES)
    found = []
    for number in range(1, len(codes) + 1):
        labels = rows[number]["labels"]
        found.append([key for key, label in zip(keys, labels, strict=True) if label])
        names = [disease.name for disease, label in zip(VOCABULARY.diseases, labels, strict=True) if label]
        assert rows[number]["diagnoses"] == names
    return found, provenance["labels"]


def test_codes_are_matched_however_they_are_written(tmp_path: Path) -> None:
    spellings = ["0389", "038.9", " 0389 ", "0389   ", "03 89"]
    icd10 = ["N179", "n17.9", "N17.9 ", " n179"]
    codes = [[(code, 9)] for code in spellings] + [[(code, 10)] for code in icd10]
    found, counts = labels_for(tmp_path, codes)
    assert found == [["septicemia"]] * 5 + [["acute_renal_failure"]] * 4
    expected = {"diagnosis_rows": 9, "codes_without_their_zeros": 0, "rows_without_code_or_known_version": 0}
    assert counts == {**expected, "labels": 9}


def test_leading_zeros_and_versions_decide(tmp_path: Path) -> None:
    found, counts = labels_for(
        tmp_path,
        [
            [("389", 9)],  # hearing loss, not 038.9
            [("E119", 10)],  # diabetes
            [("E1190", 9)],  # no such ICD-9 code
            [("4019", 9), ("4019", 9), ("I10", 10)],  # the same disease three times
            [("4019", 10)],
            [("", 9), ("Z999", 10), ("4019", 8)],
        ],
    )
    assert found == [[], ["diabetes_without_complication"], [], ["essential_hypertension"], [], []]
    assert counts["rows_without_code_or_known_version"] == 2


@pytest.mark.parametrize("version", [9, 10])
def test_every_listed_code_gives_its_disease(tmp_path: Path, version: int) -> None:
    chosen = [(key, sorted(codes[version])[::17]) for key, codes in SHIPPED.codes.items()]
    found, _ = labels_for(tmp_path, [[(code, version) for code in codes] for _, codes in chosen])
    for (key, _), keys in zip(chosen, found, strict=True):
        assert key in keys
