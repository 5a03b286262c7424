"""A rationale under review: what is accepted, replaced, withheld, added; and each shown sentence holds."""

from __future__ import annotations

import pytest
from claim_cases import CHECKING, VOCABULARY, series_of
from explained_patients import FAST, NOTE, PATIENTS
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.claims.sentences import Patient, SentenceChecker, check_sentences
from clinragen.claims.types import SUPPORTED
from clinragen.verification.missing import Gap, gaps
from clinragen.verification.review import Review, holds, is_sentence

NAMES = VOCABULARY.name_of_disease
HEART, PNEUMONIA, KIDNEY = (NAMES[key] for key in ("congestive_heart_failure", "pneumonia", "chronic_kidney_disease"))
LISTED = ["Shock", HEART, PNEUMONIA]
TRUE = [
    f'"orthopnea" supports {HEART}.',
    f'"productive cough" and "Fever" support {PNEUMONIA}.',
    "Heart rate is high in most readings from hour 8, peaking near 130 bpm.",
    "Heart rate is high, in keeping with Shock.",
    "Glucose was not measured.",
]
FALSE = [
    "Heart rate is low.",
    "Heart rate is high, peaking near 180 bpm.",
    '"melena" supports Shock.',
    f'"orthopnea" supports {PNEUMONIA}.',
    f'"a blue hat" supports {HEART}.',
    "Glucose is high.",
]
EMPTY = ["The patient looks ill.", "She was seen on rounds.", "Heart rate is high", "Heart rate"]
PRONOUN = "It is high."


def reviewed(rationale: str, listed: list[str] | None = None, patient: str = "both") -> Review:
    checker = SentenceChecker(PATIENTS[patient], CHECKING, LISTED if listed is None else listed)
    return Review(checker, rationale)


def texts(sentences: list) -> list[str]:
    return [sentence.text for sentence in sentences]


@pytest.mark.parametrize("text", TRUE)
def test_a_sentence_that_holds_is_accepted(text: str) -> None:
    review = reviewed(text)
    assert texts(review.accepted) == [text]
    assert review.refused is None
    assert review.text == text


@pytest.mark.parametrize("text", FALSE + EMPTY)
def test_a_sentence_that_does_not_hold_is_refused(text: str) -> None:
    review = reviewed(text)
    assert review.accepted == []
    assert review.refused is not None
    assert review.refused.text == text
    assert not holds(review.refused)


def test_the_review_stops_at_the_first_refused_sentence_and_goes_on_behind_its_replacement() -> None:
    review = reviewed(f"{TRUE[0]} {FALSE[0]} {TRUE[2]} {FALSE[1]} {TRUE[4]}")
    assert texts(review.accepted) == TRUE[:1]
    review.offer([f" {EMPTY[0]}", f" {TRUE[3]} And so on.", f" {TRUE[4]}"])
    # The first that holds is taken, and of its text the first sentence only.
    assert texts(review.accepted) == [TRUE[0], TRUE[3], TRUE[2]]
    assert review.refused is not None
    assert review.refused.text == FALSE[1]
    review.withhold()
    assert texts(review.accepted) == [TRUE[0], TRUE[3], TRUE[2], TRUE[4]]
    assert texts(review.withheld) == [FALSE[1]]
    assert (review.rewritten, review.refused) == (1, None)


def test_tries_are_counted_for_each_refused_sentence() -> None:
    review = reviewed(f"{FALSE[0]} {FALSE[1]}")
    for tries in range(3):
        assert review.tries == 3 * tries
        review.offer([FALSE[2], "", "Heart"])
    review.withhold()
    assert review.tries == 0
    assert review.refused is not None
    assert review.refused.text == FALSE[1]
    review.offer([TRUE[2]])
    assert review.tries == 0
    assert texts(review.withheld) == [FALSE[0]]


def test_nothing_is_withheld_where_nothing_is_refused() -> None:
    review = reviewed(TRUE[0])
    review.withhold()
    assert review.withheld == []


@pytest.mark.parametrize("text", [TRUE[2], f" {TRUE[2]} ", f"\n{TRUE[2]}"])
def test_what_has_been_said_is_no_replacement(text: str) -> None:
    review = reviewed(f"{TRUE[2]} {FALSE[0]}")
    review.offer([text])
    assert texts(review.accepted) == [TRUE[2]]
    assert review.rewritten == 0


def test_duplicates_of_a_draft_are_shown_once_and_not_withheld() -> None:
    review = reviewed(f"{TRUE[2]} {TRUE[4]} {TRUE[2]} {TRUE[2]}")
    assert texts(review.accepted) == [TRUE[2], TRUE[4]]
    assert review.withheld == []
    assert review.refused is None


def test_a_pronoun_means_what_is_shown_before_it() -> None:
    # Behind the heart rate "it" is high; behind the systolic pressure, which is put in its place, it is not.
    rationale = f"Heart rate is rising, and low. {PRONOUN}"
    withheld = reviewed(rationale)
    withheld.withhold()
    # Nothing is left that "it" may refer to.
    assert withheld.refused is not None
    assert withheld.refused.text == PRONOUN
    replaced = reviewed(rationale)
    replaced.offer(["Systolic blood pressure is low."])
    assert replaced.refused is not None
    assert replaced.refused.text == PRONOUN
    assert texts(replaced.accepted) == ["Systolic blood pressure is low."]
    same = reviewed(rationale)
    same.offer(["Heart rate is rising."])
    assert texts(same.accepted) == ["Heart rate is rising.", PRONOUN]


def test_an_argument_for_what_is_not_listed_is_refused() -> None:
    review = reviewed('"CKD" supports Chronic kidney disease.')
    assert review.refused is not None
    assert review.refused.faults
    assert reviewed('"CKD" supports Chronic kidney disease.', [KIDNEY]).refused is None


def test_a_denial_of_what_has_been_argued_is_refused_wherever_it_comes_from() -> None:
    argued, denied = "Heart rate is high, in keeping with Shock.", "No measurement points to Shock."
    review = reviewed(f"{argued} {denied}")
    assert review.refused is not None
    assert review.refused.text == denied
    review = reviewed(f"{argued} {FALSE[0]}")
    review.offer([denied])
    assert texts(review.accepted) == [argued]


def test_an_added_sentence_fills_the_gap_it_was_asked_for() -> None:
    review = reviewed(TRUE[2])
    note, series = Gap("pneumonia", PNEUMONIA, "note", (' "',)), Gap("shock", "Shock", "series", (" Heart rate",))
    review.add([TRUE[0], TRUE[4], f'"productive cough" supports {HEART}.'], note)
    assert review.asked == 0
    # It holds and is about the disease, but by the other source.
    review.add([f'"productive cough" supports {PNEUMONIA}.'], series)
    assert review.asked == 0
    review.add([f'"productive cough" supports {PNEUMONIA}.'], note)
    review.add([TRUE[3]], series)
    assert review.asked == 2
    assert texts(review.accepted)[1:] == [f'"productive cough" supports {PNEUMONIA}.', TRUE[3]]


POOL = [
    *TRUE,
    *FALSE,
    *EMPTY[:2],
    PRONOUN,
    f'"orthopnea" supports {HEART} and {PNEUMONIA}.',
    "The note does not point to Shock.",
    "No measurement points to Shock.",
    f"The note itself does not point to {PNEUMONIA}.",
    f'"CKD" supports {KIDNEY}.',
    "Systolic blood pressure is low in most readings from hour 8, in keeping with Shock.",
    "It rises to about 130.",
    "They support it.",
    "There is no note.",
]


@given(
    draft=st.lists(st.sampled_from(POOL), max_size=6),
    offers=st.lists(st.one_of(st.none(), st.lists(st.sampled_from(POOL), max_size=3)), max_size=8),
    patient=st.sampled_from(sorted(PATIENTS)),
)
@settings(max_examples=60, deadline=None)
def test_what_a_review_shows_holds_as_a_whole_text(draft: list[str], offers: list, patient: str) -> None:
    review = reviewed(" ".join(draft), patient=patient)
    rounds = 0
    while review.refused is not None:
        offered = offers[rounds] if rounds < len(offers) else None
        if offered is None:
            review.withhold()
        else:
            review.offer(offered)
        rounds += 1
    checked = check_sentences(review.text, PATIENTS[patient], CHECKING, LISTED)
    assert review.accepted == checked
    assert all(sentence.verdict == SUPPORTED for sentence in checked)
    assert len(set(texts(checked))) == len(checked)
    assert set(texts(checked)) <= {*draft, *(text for offered in offers for text in offered or ())}


@pytest.mark.parametrize(
    "text",
    [
        '"fever".',
        '"fever" and "productive cough".',
        '"fever""productive cough" support Pneumonia.',
        '"fever" "productive cough" support Pneumonia.',
        "Heart rate is high from hour 8%, in keeping with Shock.",
        'Heart rate is high "fever" supports Pneumonia.',
        "Heart rate is high and.",
        "Heart rate is not measured is.",
        "Heart rate is high",
    ],
)
def test_what_is_no_sentence_is_not_shown(text: str) -> None:
    assert not is_sentence(text)
    review = reviewed(text)
    while review.refused is not None:
        review.withhold()
    assert not review.accepted


@pytest.mark.parametrize(
    "text",
    [
        '"fever" supports Pneumonia.',
        'The note says "fever", "cough" and "chills".',
        'Of the note, "fever" is all.',
        "Heart rate is high from hour 8, in 60 % of its readings.",
        'She is tachycardic, and "fever" fits.',
    ],
)
def test_what_reads_as_a_sentence_is_one(text: str) -> None:
    assert is_sentence(text)


def test_a_sentence_that_says_nothing_new_is_left_out() -> None:
    both = f'"orthopnea" supports {HEART}. "orthopnea" fits {HEART}.'
    assert texts(reviewed(both).accepted) == [f'"orthopnea" supports {HEART}.']
    series = "Heart rate is high, in keeping with Shock."
    assert texts(reviewed(f"{series} Heart rate is high.").accepted) == [series]
    # Another statement, another disease and another piece of evidence are new.
    further = f'{series} Heart rate is high, peaking near 131, in keeping with Shock. "fever" supports {PNEUMONIA}.'
    assert len(reviewed(further).accepted) == 3


def test_gaps_are_the_listed_diseases_whose_evidence_no_tie_cites() -> None:
    checker = SentenceChecker(Patient(FAST, NOTE), CHECKING, LISTED)

    def open_gaps(text: str) -> set[tuple[str, str]]:
        found = gaps(checker, checker.check(text))
        return {(gap.name, gap.source) for gap in found if gap.variable is None}

    everything = open_gaps("")
    assert {(HEART, "note"), (PNEUMONIA, "note"), ("Shock", "series")} <= everything
    assert open_gaps(f'"orthopnea" supports {HEART}.') == everything - {(HEART, "note")}
    assert open_gaps("Heart rate is high, in keeping with Shock.") == everything - {("Shock", "series")}
    # Evidence without the disease, an argument that does not hold, and a denial fill none.
    for text in ('The note says "orthopnea".', "Heart rate is high.", f'"a blue hat" supports {HEART}.'):
        assert open_gaps(text) == everything
    assert open_gaps("Heart rate is low, in keeping with Shock.") == everything
    assert {name for name, _ in everything} <= set(LISTED)
    checker.list_diagnoses([])
    assert open_gaps("") == set()


def test_the_firmest_sign_is_missing_until_it_is_cited_itself() -> None:
    series = series_of(
        {"hours": [0, 1, 2, 3], "heart_rate": [90, 104, 130, 128], "mean_blood_pressure": [70, 55, 52, 50]}
    )
    checker = SentenceChecker(Patient(series, None), CHECKING, ["Shock"])
    both = {("Shock", "mean_blood_pressure"), ("Shock", None)}
    for text, left in (
        ("", both),
        ("Heart rate is high, in keeping with Shock.", both - {("Shock", None)}),
        ("Mean blood pressure is low, in keeping with Shock.", set()),
    ):
        assert {(gap.name, gap.variable) for gap in gaps(checker, checker.check(text))} == left


def test_a_gap_begins_with_words_that_are_evidence() -> None:
    checker = SentenceChecker(Patient(FAST, NOTE), CHECKING, LISTED)
    for gap in gaps(checker, []):
        if gap.source == "note":
            assert gap.begins == (' "',)
            for mention in checker.evidence.mentions[gap.disease]:
                assert gap.filled([checker.check(f'"{mention.quote}" supports {gap.name}.')[0]]), mention.quote
        else:
            signs = {(sign.variable, sign.direction) for sign in checker.evidence.signs[gap.disease]}
            assert len(gap.begins) == (1 if gap.variable else len(signs))
            for begin in gap.begins:
                # What it begins with is true, and evidence for the disease.
                assert gap.filled([checker.check(f"{begin.strip()}, in keeping with {gap.name}.")[0]]), begin
