"""One patient explained part by part: the last part is the explanation, and nothing that was shown goes."""

from __future__ import annotations

from typing import Any

import pytest
from claim_cases import CHECKING
from explained_patients import PATIENTS
from scripted_model import drafted, let_write

from clinragen.explain_config import ExplainConfig
from clinragen.inference import CALIBRATED, Explainer
from modeling_clinragen.errors import ModelInputError

BOTH = PATIENTS["both"]
HELD, REFUSED = '"hypertension" supports Essential hypertension.', "Heart rate is low."


def explainer_of(make_model: Any, make_processor: Any, **settings: Any) -> Explainer:
    head = settings.pop("disease_head", False)
    processor = make_processor()
    model = make_model("bart", disease_head=head, **({"list_from": "head"} if head else {}))
    model.generation_config.max_new_tokens = 60
    return Explainer(model, processor, ExplainConfig(**settings), CHECKING.knowledge)


@pytest.mark.parametrize("settings", [{}, {"probabilities": True}, {"raw": True}, {"num_beams": 2}])
def test_the_last_part_is_the_explanation(
    make_model: Any,
    make_processor: Any,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
    settings: dict[str, Any],
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Shock", "Essential hypertension"], f"{HELD} {REFUSED}"))
    explainer = explainer_of(make_model, make_processor, **settings)
    *parts, last = explainer.explain_stream(BOTH.note, BOTH.series)
    assert last == explainer.explain(BOTH.note, BOTH.series)
    assert last.complete
    assert not any(part.complete for part in parts)
    assert all(part.warnings == last.warnings for part in parts)
    for part in parts:
        assert part.sentences == last.sentences[: len(part.sentences)]
        # Before the end nothing is said of the list: which diseases have evidence is not known.
        assert (part.diagnoses, part.without_evidence, part.problem) == ((), (), None)


def test_the_probabilities_of_a_head_come_first(make_model: Any, make_processor: Any) -> None:
    explainer = explainer_of(make_model, make_processor, disease_head=True, probabilities=True)
    stream = explainer.explain_stream(BOTH.note, BOTH.series)
    first = next(stream)
    *_, last = stream
    assert first.sentences == ()
    assert first.probability_of == CALIBRATED
    assert (first.probabilities, first.thresholds) == (last.probabilities, last.thresholds)
    assert last.probabilities is not None
    assert last.thresholds is not None
    # The list is that of the thresholds, which are those of what is given of the patient.
    listed = tuple(name for name, one in last.probabilities.items() if one >= last.thresholds[name])
    assert last.diagnoses == listed
    head = explainer.model.disease_head
    assert list(last.thresholds.values()) == pytest.approx(head.thresholds[0].tolist())
    head.thresholds[1] = 0.75
    alone = explainer.explain(BOTH.note, None)
    assert alone.thresholds is not None
    assert set(alone.thresholds.values()) == {0.75}


def test_what_cannot_be_read_is_refused_at_the_first_step(make_model: Any, make_processor: Any) -> None:
    with pytest.raises(ModelInputError, match="give a note"):
        next(explainer_of(make_model, make_processor).explain_stream(" ", None))
