"""Answers about a whole cohort: the same as one by one, the same after a kill, and nobody else's to read."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import fails_with_one_line, in_process, start, wait_for
from made_up_cohort import SIZES, make_cohort, write_cohort
from scripted_model import drafted, let_write, save_short_model

from clinragen import Explainer
from clinragen.cohort_predictions import CohortPredictConfig, explain_cohort
from clinragen.export.result import explanation_result
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import InputDataError, ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

TWO = CohortPredictConfig(batch_size=2)


@pytest.fixture(scope="module")
def model(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_short_model(tmp_path_factory.mktemp("model"), make_model, make_processor)


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), make_cohort(vocabulary))


@pytest.fixture(scope="module")
def explainer(model: Path) -> Explainer:
    return Explainer.from_pretrained(model, probabilities=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_everybody_gets_what_they_would_get_alone_in_the_order_of_the_cohort(
    explainer: Explainer, cohort: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    explain_cohort(
        explainer,
        cohort,
        tmp_path / "a.jsonl",
        explanation_result,
        CohortPredictConfig(batch_size=3),
        report=seen.append,
    )
    rows = load_examples(cohort)["test"]
    found = lines_of(tmp_path / "a.jsonl")
    assert [line["example_id"] for line in found] == rows["example_id"][:]
    for line, row in zip(found, rows, strict=True):
        alone = explanation_result(explainer.explain(row["note"], LabSeries.from_example(explainer.vocabulary, row)))
        scores, expected = line.pop("probabilities"), alone.pop("probabilities")
        assert line == {"example_id": row["example_id"], "split": "test", **json.loads(json.dumps(alone))}
        assert scores == pytest.approx(expected, rel=1e-4)
    assert [one.done for one in seen] == [3, 6, 8]
    assert {one.total for one in seen} == {8}


def test_a_table_has_the_same_answers_and_all_splits_where_they_are_asked_for(
    explainer: Explainer, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Shock"], "Heart rate is low. Heart rate is high."))
    everybody = CohortPredictConfig(split="all")
    for name in ("a.jsonl", "a.parquet"):
        explain_cohort(explainer, cohort, tmp_path / name, explanation_result, everybody)
    lines, rows = lines_of(tmp_path / "a.jsonl"), pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(rows) == sum(SIZES.values())
    for line, row in zip(lines, rows, strict=True):
        for name in (
            "example_id",
            "split",
            "diagnoses",
            "without_evidence",
            "rationale",
            "warnings",
            "text",
            "verified",
        ):
            assert row[name] == line[name]
        for name in ("sentences", "withheld"):
            assert row[name] == [{key: one[key] for key in ("text", "verdict")} for one in line[name]]
        assert {one["disease"]: one["probability"] for one in row["probabilities"]} == line["probabilities"]
        # The note stays in the cohort.
        assert "note" not in row
    assert all(row["sentences"] or row["withheld"] for row in rows)


class StoppedError(Exception):
    """Stands for a power cut."""


def counted(explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that are explained from now on."""
    sizes: list[int] = []
    explain: Callable[..., Any] = Explainer.explain_many

    def explain_many(self: Explainer, patients: Sequence[Any]) -> Any:
        sizes.append(len(patients))
        return explain(self, patients)

    monkeypatch.setattr(Explainer, "explain_many", explain_many)
    return sizes


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_an_interrupted_run_does_only_what_is_missing_and_ends_the_same(
    explainer: Explainer, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    explain_cohort(explainer, cohort, tmp_path / "straight" / name, explanation_result, TWO)

    def stop(progress: Progress) -> None:
        if progress.done == 4:
            raise StoppedError

    output = tmp_path / "resumed" / name
    with pytest.raises(StoppedError):
        explain_cohort(explainer, cohort, output, explanation_result, TWO, report=stop)
    assert not output.exists()
    sizes = counted(explainer, monkeypatch)
    explain_cohort(explainer, cohort, output, explanation_result, TWO)
    assert sizes == [2, 2]
    assert output.read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert sorted(path.name for path in output.parent.iterdir()) == [name, f"{name}.provenance.json"]


def test_what_was_done_with_other_settings_or_patients_is_not_used(
    explainer: Explainer, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = write_cohort(tmp_path / "cohort", make_cohort(vocabulary))

    def stop(progress: Progress) -> None:
        raise StoppedError

    def begin() -> None:
        with pytest.raises(StoppedError):
            explain_cohort(explainer, cohort, tmp_path / "a.jsonl", explanation_result, TWO, report=stop)

    begin()
    sizes = counted(explainer, monkeypatch)
    four = CohortPredictConfig(batch_size=4)
    explain_cohort(explainer, cohort, tmp_path / "a.jsonl", explanation_result, four)
    assert sizes == [4, 4]
    begin()
    path = cohort / "data" / "test.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    sizes.clear()
    explain_cohort(explainer, cohort, tmp_path / "a.jsonl", explanation_result, TWO)
    assert sizes == [2, 2, 2, 1]
    assert len(lines_of(tmp_path / "a.jsonl")) == SIZES["test"] - 1
    # Somebody else's folder of that name is not ours to remove.
    (tmp_path / "a.jsonl.journal").mkdir()
    (tmp_path / "a.jsonl.journal" / "thesis.docx").touch()
    with pytest.raises(InputDataError, match="were not written by this program"):
        explain_cohort(explainer, cohort, tmp_path / "a.jsonl", explanation_result, TWO)
    assert (tmp_path / "a.jsonl.journal" / "thesis.docx").exists()


def test_a_killed_command_goes_on_and_ends_the_same(model: Path, cohort: Path, tmp_path: Path) -> None:
    words = ("predict", model, "--cohort", cohort, "--batch-size", 2)
    killed = tmp_path / "killed.jsonl"
    process = start(*words, "--output", killed)
    wait_for(tmp_path / "killed.jsonl.journal" / "000000.jsonl", process)
    process.kill()
    process.wait(60)
    assert not killed.exists()
    for name in ("killed.jsonl", "straight.jsonl"):
        done = in_process(*words, "--output", tmp_path / name)
        assert done.returncode == 0, done.stderr[-1500:]
        assert done.stdout == f"answers: {tmp_path / name}\n"
    assert killed.read_bytes() == (tmp_path / "straight.jsonl").read_bytes()
    assert not (tmp_path / "killed.jsonl.journal").exists()


@pytest.mark.parametrize("credentialed", [False, True])
def test_the_answers_are_their_owner_s_and_say_where_they_come_from(
    explainer: Explainer, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credentialed: bool
) -> None:
    explainer.model.provenance = {
        "source": "mine",
        "title": "Mine",
        "credentialed": False,
        "licence": {"id": "cc0-1.0"},
    }
    lent = {"credentialed": credentialed, "title": "Lent", "synthetic": not credentialed}
    cohort = write_cohort(tmp_path / "cohort", make_cohort(vocabulary, **lent))
    output = tmp_path / "answers" / "a.jsonl"
    modes = []

    def look(progress: Progress) -> None:
        journal = output.with_name("a.jsonl.journal")
        modes.extend([mode(journal), *(mode(path) for path in journal.glob("*.jsonl"))])

    returned = explain_cohort(explainer, cohort, output, explanation_result, report=look)
    assert set(modes) == {0o700, 0o600}
    assert mode(output) == 0o600
    assert not credentialed or mode(output.parent) == 0o700
    provenance = read_json(output.with_name("a.jsonl.provenance.json"))
    assert provenance == json.loads(json.dumps(dict(returned)))
    assert provenance["credentialed"] is credentialed
    assert {one["title"] for one in provenance["origins"]} == {"Lent", "Mine"}
    assert provenance["steps"][-1]["step"] == "predict"
    assert provenance["steps"][-1]["patients"] == SIZES["test"]


def test_what_cannot_be_explained_is_refused_before_anything_is(
    explainer: Explainer,
    cohort: Path,
    vocabulary: Vocabulary,
    lactate_vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = counted(explainer, monkeypatch)
    with pytest.raises(SettingsError, match=r"a\.csv: give a file that ends with \.jsonl or \.parquet"):
        explain_cohort(explainer, cohort, tmp_path / "a.csv", explanation_result)
    with pytest.raises(InputDataError, match="overlaps with the input"):
        explain_cohort(explainer, cohort, cohort / "a.jsonl", explanation_result)
    with pytest.raises(InputDataError, match="is not a built cohort"):
        explain_cohort(explainer, tmp_path, tmp_path.parent / "a.jsonl", explanation_result)
    other = write_cohort(tmp_path / "other", make_cohort(lactate_vocabulary))
    with pytest.raises(SettingsError, match=r"row 1 of the test split: .*different variables.*lactate"):
        explain_cohort(explainer, other, tmp_path / "a.jsonl", explanation_result)
    faulty = write_cohort(tmp_path / "faulty", make_cohort(vocabulary))
    rows = pq.read_table(faulty / "data" / "test.parquet").to_pylist()
    rows[2] |= {"note": "???", "lab_hours": [], "lab_values": [], "lab_observed": []}
    schema = pq.read_schema(faulty / "data" / "test.parquet")
    pq.write_table(pa.Table.from_pylist(rows, schema), faulty / "data" / "test.parquet")
    with pytest.raises(ModelInputError, match="faulty: row 3 of the test split: nothing to go on") as refused:
        explain_cohort(explainer, faulty, tmp_path / "a.jsonl", explanation_result)
    assert rows[2]["example_id"] not in str(refused.value)
    pq.write_table(pq.read_table(faulty / "data" / "test.parquet").slice(0, 0), faulty / "data" / "test.parquet")
    with pytest.raises(InputDataError, match="nobody is in its test split"):
        explain_cohort(explainer, faulty, tmp_path / "a.jsonl", explanation_result)
    assert sizes == []
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--output", "a.jsonl"], "--output: is for the patients of a cohort; give --cohort DIR as well"),
        (["--split", "all"], "--split: is for the patients of a cohort"),
        (["--cohort", "c"], "--cohort: needs --output FILE.jsonl or --output FILE.parquet"),
        (["--cohort", "c", "--output", "a.csv"], "a.csv: give a file that ends with .jsonl or .parquet"),
        (["--cohort", "c", "--output", "a.jsonl", "--note", "n.txt"], "--note: is for one patient"),
        (["--cohort", "c", "--output", "a.jsonl", "--json"], "--json: is for one patient"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(words: list[str], part: str, tmp_path: Path) -> None:
    fails_with_one_line(in_process("predict", tmp_path, *words), part)
