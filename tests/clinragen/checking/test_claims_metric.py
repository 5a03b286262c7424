"""The checker as a metric of `evaluate`: loaded from its folder without a network, and keeping no note on disk."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from clinragen.checking.claims_metric import ClaimsMetric
from clinragen.checking.inputs import patient_of, read_standards
from clinragen.claims.check import check_rationale
from modeling_clinragen.errors import ModelInputError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

FOLDER = ROOT / "metrics" / "clinical_claims"
NOTE = "A note with productive cough, without fever."
EXAMPLES: dict[str, list[Any]] = {
    "predictions": [
        '"productive cough" is noted. "fever" is noted. Heart rate is high.',
        "Heart rate is never high. Glucose is high. Please call.",
        "",
    ],
    "notes": [NOTE, None, NOTE],
    "hours": [[0.0, 4.0], [0.0, 4.0], []],
    "values": [[[None] * 3 + [rate] + [None] * 7 for rate in (118.0, 121.0)]] * 2 + [[]],
}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def metric(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    import evaluate.config
    import evaluate.loading

    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", cache / "modules")
    return evaluate.load(str(FOLDER), cache_dir=str(cache))


def test_the_folder_is_the_metric(metric: Any) -> None:
    assert isinstance(metric, ClaimsMetric)
    assert metric.compute(**EXAMPLES) == ClaimsMetric().compute(**EXAMPLES)


def test_the_shares_are_those_of_the_checker(metric: Any, vocabulary: Vocabulary) -> None:
    found = metric.compute(**EXAMPLES)
    claims = []
    for text, note, hours, values in zip(*EXAMPLES.values(), strict=True):
        patient = patient_of(vocabulary, note, hours, values)
        claims += check_rationale(text, patient.series, patient.note, knowledge=read_standards().knowledge)
    verdicts = [claim.verdict for claim in claims]
    for verdict in ("supported", "contradicted", "unverifiable"):
        assert found[verdict] == pytest.approx(verdicts.count(verdict) / len(claims))
        assert 0 < found[verdict] < 1
    assert found["supported_per_text"] == pytest.approx(verdicts.count("supported") / 3)
    assert found["texts_contradicted"] == pytest.approx(2 / 3)
    assert found["without_claim"] == pytest.approx(1 / 6)
    assert found["counts"] == {"texts": 3, "sentences": 6, "claims": len(claims)}
    assert sum(sum(kind.values()) for kind in found["by_kind"].values()) == len(claims)
    assert found["by_kind"]["note"] == {"supported": 1, "contradicted": 1, "unverifiable": 0}


def test_batches_give_the_same(metric: Any) -> None:
    whole = metric.compute(**EXAMPLES)
    for number in range(3):
        metric.add_batch(**{name: values[number : number + 1] for name, values in EXAMPLES.items()})
    assert metric.compute() == whole
    for number in range(3):
        one = {name: values[number] for name, values in EXAMPLES.items()}
        metric.add(prediction=one.pop("predictions"), **one)
    assert metric.compute() == whole


def test_no_note_is_written_to_disk(metric: Any, cache: Path) -> None:
    metric.add_batch(**EXAMPLES)
    assert not [path for path in cache.rglob("*") if path.is_file() and b"productive cough" in path.read_bytes()]
    assert not list(cache.rglob("*.arrow"))
    metric.compute()


def test_nothing_to_count_is_not_a_number(metric: Any) -> None:
    found = metric.compute(predictions=["Please call."], notes=[NOTE], hours=[[]], values=[[]])
    assert math.isnan(found["contradicted"])
    assert (found["texts_contradicted"], found["without_claim"]) == (0.0, 1.0)


def test_standards_are_arguments(metric: Any) -> None:
    example = {name: values[:1] for name, values in EXAMPLES.items()}
    assert metric.compute(**example, range_set="paper")["counts"]["claims"] == 3
    with pytest.raises(ModelInputError, match="a row has 1 values"):
        metric.compute(**{**example, "values": [[[1.0], [1.0]]]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"notes": [b"productive cough"]},
        {"hours": [["productive cough"]]},
        {"values": [3.0]},
        {"notes": ["productive cough"] * 2},
        {"predictions": None},
        {"hours": None},
    ],
)
def test_no_note_is_in_an_error(metric: Any, wrong: dict[str, Any]) -> None:
    given = {**{name: values[:1] for name, values in EXAMPLES.items()}, **wrong}
    with pytest.raises(ModelInputError, match="the metric needs as many predictions") as caught:
        metric.add_batch(**given)
    assert "productive cough" not in str(caught.value)
    assert caught.value.__suppress_context__
    with pytest.raises(ModelInputError):
        metric.add(prediction="x")


def test_the_code_on_its_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    (block,) = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(block, str(FOLDER), "exec"), {})
    assert "'contradicted': 0.33" in capsys.readouterr().out
