"""Units, losses and trials of the guarantee, on made-up patients."""

from __future__ import annotations

import numpy as np
import pytest

from clinragen.claims.arguments import SentenceArguments
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE, Claim, Evidence
from clinragen.evaluation.checked import JudgedSentence
from clinragen.guarantee.report import report_text
from clinragen.guarantee.trials import GUARDED, thresholds_of, try_out
from clinragen.guarantee.units import Units, doubt, is_false
from dataset_builder.contract.truth import TrueEvidence


def sentence(*verdicts: str, named: frozenset[str] = frozenset(), disease: str | None = None) -> JudgedSentence:
    claims = tuple(
        Claim("words", (0, 5), None, "note" if disease is None else "tie", verdict, Evidence("why"), disease=disease)
        for verdict in verdicts
    )
    return JudgedSentence(named, claims, SentenceArguments((0, 5), ()))


def test_a_sentence_is_as_doubtful_as_its_worst_claim_and_its_least_probable_disease() -> None:
    own = {"shock": 0.9, "copd": 0.25}
    assert doubt(sentence(SUPPORTED), own) == 0.0
    assert doubt(sentence(SUPPORTED, named=frozenset(("shock", "copd"))), own) == pytest.approx(0.75)
    assert doubt(sentence(SUPPORTED, UNVERIFIABLE, named=frozenset(("shock",))), own) == pytest.approx(1.1)
    assert doubt(sentence(UNVERIFIABLE, CONTRADICTED, named=frozenset(("shock",))), own) == pytest.approx(2.1)


def test_a_sentence_is_false_by_the_data_or_by_the_diseases_that_are_there() -> None:
    present = {"shock": TrueEvidence((), ())}
    assert not is_false(sentence(SUPPORTED, UNVERIFIABLE, named=frozenset(("shock",))), present)
    assert is_false(sentence(SUPPORTED, named=frozenset(("copd",))), present)
    assert is_false(sentence(CONTRADICTED), present)
    # What supports a disease is the knowledge base's to say, and not a fact of the patient.
    assert not is_false(sentence(CONTRADICTED, named=frozenset(("shock",)), disease="shock"), present)


def made_up(patients: int, seed: int, error: float = 0.15) -> Units:
    rng = np.random.default_rng(seed)
    false = [rng.random(8) < error for _ in range(patients)]
    doubts = [np.clip(rng.normal(np.where(one, 0.7, 0.3), 0.15), 0, 1) for one in false]
    missing = rng.random(patients) < 2 * error
    return Units(doubts, false, np.clip(rng.normal(np.where(missing, 0.5, 0.2), 0.15), 0, 1), missing)


def test_losses_are_counted_sentence_by_sentence() -> None:
    units = Units(
        [np.array([0.1, 0.5, 2.2]), np.array([])],
        [np.array([False, True, True]), np.array([], dtype=bool)],
        np.array([0.4, 0.0]),
        np.array([True, False]),
    )
    grid = np.array([-1.0, 0.1, 0.5, np.inf])
    assert units.sentence_losses(grid).tolist() == [[0, 0, 1 / 3, 2 / 3], [0, 0, 0, 0]]
    assert units.shown_shares(grid).tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert units.patient_losses(grid).tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]


def test_thresholds_go_from_everything_flagged_to_nothing() -> None:
    units = made_up(900, 0)
    for guarded in GUARDED.values():
        grid = thresholds_of(guarded.doubts(units))
        assert (np.diff(grid) > 0).all()
        flagged = guarded.flagged(units, grid)
        assert (flagged[0], flagged[-1]) == (1, pytest.approx(0))
        assert (np.diff(flagged) <= 1e-12).all()


@pytest.mark.parametrize("name", sorted(GUARDED))
def test_a_bound_holds_on_patients_of_the_kind_and_not_on_others(name: str) -> None:
    units, other = made_up(400, 1), made_up(300, 2, error=0.45)
    found = try_out(units, GUARDED[name], 0.1, 0.1, 60, 0, other)
    assert found["possible"]
    assert found["base"] > 0.1
    assert found["risk"]["value"] <= 0.1 + 2 * found["risk"]["standard_error"]
    assert found["exceeded"] <= 0.25
    assert 0 < found["flagged"] < 1
    assert found["other"]["risk"]["value"] > found["risk"]["value"]
    assert found == try_out(units, GUARDED[name], 0.1, 0.1, 60, 0, other)


def test_too_few_patients_are_told() -> None:
    units = made_up(40, 3)
    content = {
        **{"delta": 0.05, "patients": 40, "resplits": 10},
        **{name: [try_out(units, one, 0.05, 0.05, 10, 0)] for name, one in GUARDED.items()},
    }
    text = report_text(content, ["A notice."])
    assert "not answerable here, because 20 patients are too few: it takes 59" in text
    assert "> A notice." in text
