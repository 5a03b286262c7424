"""The checker as a scorer of Inspect: a whole evaluation with the framework's mock model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from modeling_clinragen.errors import SettingsError

NOTE = "Two days of productive cough. She denies fever."
SERIES = {"hours": [0.0, 4.0], "values": [[None] * 3 + [rate] + [None] * 7 for rate in (118.0, 121.0)]}
ANSWERS = [
    '"productive cough" is noted. Heart rate is high.',
    '"fever" is noted. Heart rate is never high. Glucose is high.',
    "Please call.",
]


def test_a_missing_framework_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspect_ai.scorer", None)
    monkeypatch.delitem(sys.modules, "clinragen.inspect_scorer", raising=False)
    with pytest.raises(SettingsError, match=r"pip install 'clinragen\[inspect\]'"):
        import clinragen.inspect_scorer  # noqa: F401


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs an evaluation in which the mock model gives `answers` to samples with these `metadata`."""
    inspect_ai = pytest.importorskip("inspect_ai", reason="needs the framework: pip install 'clinragen[inspect]'")
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.solver import generate

    from clinragen.inspect_scorer import claims_scorer

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSPECT_DISPLAY", "none")

    def run(answers: list[str], metadata: list[dict[str, Any]], **settings: Any) -> Any:
        outputs = [ModelOutput.from_content("mockllm/model", answer) for answer in answers]
        for output in outputs:
            # Without it the framework fetches a tokenizer to count with.
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        samples = [Sample(id=number, input="Explain.", metadata=one) for number, one in enumerate(metadata)]
        task = inspect_ai.Task(dataset=samples, solver=generate(), scorer=claims_scorer(**settings))
        model = get_model("mockllm/model", custom_outputs=outputs)
        (log,) = inspect_ai.eval(task, model=model, log_dir=str(tmp_path / "logs"), max_samples=1)
        return log

    return run


def test_an_evaluation_with_the_mock_model(evaluated: Any) -> None:
    log = evaluated(ANSWERS, [{"note": NOTE, "series": SERIES}] * 3)
    assert log.status == "success"
    scores = [sample.scores["claims_scorer"] for sample in log.samples]
    assert [score.value for score in scores] == [1, 0, 1]
    assert [score.answer for score in scores] == ANSWERS
    assert [score.metadata["claims"]["contradicted"] for score in scores] == [0, 2, 0]
    assert [score.metadata["claims"]["supported"] for score in scores] == [2, 0, 0]
    assert scores[1].metadata["sentences"] == {"contradicted": 2, "unverifiable": 1, "supported": 0, "none": 0}
    assert "the note negates it" in scores[1].explanation
    assert "it was never measured" in scores[1].explanation
    metrics = log.results.scores[0].metrics
    assert metrics["mean"].value == pytest.approx(2 / 3)
    assert metrics["stderr"].value == pytest.approx(1 / 3)


def test_one_of_note_and_series_is_enough(evaluated: Any) -> None:
    log = evaluated(ANSWERS[1:2] * 2, [{"note": NOTE}, {"series": SERIES}])
    counts = [sample.scores["claims_scorer"].metadata["claims"] for sample in log.samples]
    assert counts == [{"contradicted": 1, "unverifiable": 2, "supported": 0}] * 2


@pytest.mark.parametrize(
    ("metadata", "part"),
    [
        ({}, "need 'note', 'series' or both"),
        ({"note": 3}, "must be a text"),
        ({"series": [1]}, "must have 'hours' and 'values'"),
        ({"series": {"hours": [0.0], "values": [[1.0]]}}, "a row has 1 values"),
    ],
)
def test_a_sample_without_data_is_an_error_and_not_a_score(
    evaluated: Any, metadata: dict[str, Any], part: str
) -> None:
    log = evaluated(ANSWERS[:1], [metadata])
    assert log.status == "error"
    assert part in log.error.message


def test_the_standards_are_checked_before_the_first_sample(evaluated: Any) -> None:
    with pytest.raises(SettingsError, match="unknown range set"):
        evaluated(ANSWERS[:1], [{"note": NOTE}], range_set="none")
