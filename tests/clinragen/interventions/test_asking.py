"""Answers of a tiny model: batch or single, with or without a disease head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from intervened_patients import make_group

from clinragen.interventions.asking import BY_DECODER, BY_HEAD, Asker
from clinragen.interventions.patient import Shown
from modeling_clinragen.diagnosing_clinragen import diagnose_patients, write_lists
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def with_head(make_model: Any, kind: str = "t5", **settings: Any) -> Any:
    model = make_model(kind, disease_head=True, **settings)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        model.disease_head.weight.normal_(std=0.5, generator=generator)
        model.disease_head.queries.normal_(std=1.0, generator=generator)
    return model


@pytest.fixture(scope="module")
def patients(vocabulary: Vocabulary) -> list[Shown]:
    shown = [case.shown for case in make_group(vocabulary, 7).cases]
    columns = range(len(vocabulary.variables))
    return [
        *shown,
        shown[0].with_variables(columns, kept=False),
        replace(shown[1], note=""),
        replace(shown[2].with_variables(columns, kept=False), note=" ..."),
    ]


@pytest.mark.parametrize("kind", ["t5", "qwen2"])
def test_an_answer_does_not_depend_on_the_batch(
    make_model: Any, make_processor: Any, patients: list[Shown], kind: str
) -> None:
    model, processor = with_head(make_model, kind), make_processor()
    done: list[int] = []
    asker = Asker(model, processor, 4, done.append)
    assert asker.decided_by == BY_HEAD
    together, single = asker(patients), Asker(model, processor, 1)(patients)
    assert sum(done) == len(patients)
    assert together.probabilities == pytest.approx(single.probabilities, abs=1e-5)
    assert (together.listed == single.listed).all()
    # Nothing is left of the last one: it is not asked about.
    assert not together.listed[-1].any()
    given = [one.given for one in patients[:-1]]
    expected = diagnose_patients(model, processor, given)
    assert together.probabilities[:-1] == pytest.approx(expected.numpy(), abs=1e-5)  # type: ignore[index]
    names = model.listed(expected, [processor.modality(*one) for one in given])
    assert [[name in own for name in model.config.diseases] for own in names] == together.listed[:-1].tolist()
    assert len({tuple(row) for row in together.listed.tolist()}) > 1


def test_without_a_head_the_decoder_lists(make_model: Any, make_processor: Any, patients: list[Shown]) -> None:
    model, processor = make_model("bart"), make_processor(max_target_tokens=30)
    model.language_model.final_logits_bias[0][processor.list_ids(["Shock"])] = 100.0
    asker = Asker(model, processor, 3)
    answers = asker(patients[:4])
    assert asker.decided_by == BY_DECODER
    assert answers.probabilities is None
    lists = write_lists(model, processor, [one.given for one in patients[:4]])
    assert answers.listed.tolist() == [[name in own for name in model.config.diseases] for own in lists]
    assert asker([]).listed.shape == (0, len(model.config.diseases))


def test_answers_of_some_patients(patients: list[Shown]) -> None:
    from clinragen.interventions.asking import Answers

    whole = Answers(np.eye(3, dtype=bool), np.arange(9.0).reshape(3, 3))
    part = whole.of([2, 0])
    assert part.listed.tolist() == [[False, False, True], [True, False, False]]
    assert part.probabilities is not None
    assert part.probabilities[:, 0].tolist() == [6.0, 0.0]
