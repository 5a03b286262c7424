"""Verified generation: whatever a model would write, each sentence shown holds, and it is the patient's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from claim_cases import CHECKING, VOCABULARY, series_of
from explained_patients import FAST, HOSTILE, HOURS, NOTE, PATIENTS
from fluent_model import FluentModel

import clinragen
from clinragen.claims.check import Checking, check_rationale
from clinragen.claims.sentences import Patient, check_sentences
from clinragen.claims.types import SUPPORTED
from clinragen.verification import VerifiedRationale, VerifyConfig
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.note_clinragen import find_spans
from modeling_clinragen.numbers_clinragen import VariableNames
from modeling_clinragen.sentences_clinragen import sentence_spans

# Relative positions, positions that are counted, and no encoder.
KINDS = ["t5", "bart", "qwen3"]
QUOTATION = re.compile(r'["“”„«»]([^"“”„«»\n]*)["“”«»]')
UNKNOWING = Checking(VOCABULARY, VOCABULARY.range_set("clinical"), None)
NAMES = VariableNames(VOCABULARY)
LONGEST = 160
HEART, PNEUMONIA = (VOCABULARY.name_of_disease[key] for key in ("congestive_heart_failure", "pneumonia"))
# As a trained model writes: right about the patient with everything, but for some of it.
TRUE = (
    f'"orthopnea" supports {HEART}.',
    f'"pneumonia" supports {PNEUMONIA}.',
    "Heart rate is high in most readings from hour 8, peaking near 130 bpm, in keeping with Shock.",
    "Systolic blood pressure is low in most readings, lowest near 80 mmHg, in keeping with Shock.",
    "Glucose was not measured.",
)
LIKE_A_TRAINED_ONE = (
    (("Shock", HEART, PNEUMONIA), " ".join(TRUE)),
    (("Shock", HEART, PNEUMONIA), " ".join(TRUE[1:])),
    (("Shock", HEART, PNEUMONIA), " ".join([TRUE[2], "The patient looks ill.", *TRUE[3:]])),
    (("Shock", HEART, PNEUMONIA), " ".join([TRUE[0], "Heart rate is low.", f"The note does not point to {HEART}."])),
)


@pytest.fixture(scope="module")
def write(make_model: Any, make_processor: Any) -> Callable[..., list[VerifiedRationale]]:
    """Explain patients with a random model of a kind that writes in sentences; `settings` are those of the check."""
    processor = make_processor()
    made: dict[Any, FluentModel] = {}

    def explain(
        patients: list[Patient],
        kind: str = "t5",
        *,
        seed: int = 0,
        share: float = 2.0,
        checking: Checking = CHECKING,
        answers: tuple[tuple[tuple[str, ...], str], ...] | None = None,
        longest: int = LONGEST,
        draws: int = 0,
        **settings: Any,
    ) -> list[VerifiedRationale]:
        key = (kind, seed, share, answers)
        if key not in made:
            made[key] = FluentModel(make_model(kind, seed=seed), processor, share, answers)
        made[key].generation_config.max_new_tokens = longest
        config = VerifyConfig(seed=draws, **settings)
        return clinragen.generate_verified(made[key], processor, patients, checking, config)

    return explain


def require_sound(found: VerifiedRationale, patient: Patient, checking: Checking = CHECKING) -> None:
    """Assert all that is said of every verified rationale."""
    text = found.rationale
    if found.problem is not None:
        assert (text, found.sentences, found.withheld) == ("", (), ())
        return
    # Sentence by sentence and as one text, with and without the list.
    checked = check_sentences(text, patient, checking, found.diagnoses)
    assert list(found.sentences) == checked
    for sentence in checked:
        assert sentence.verdict == SUPPORTED, sentence
        assert sentence.text.endswith((".", "!", "?", ")")), sentence
    knowledge, ranges = checking.knowledge, checking.range_set
    claims = check_rationale(text, patient.series, patient.note, knowledge=knowledge, range_set=ranges)
    assert {claim.verdict for claim in claims} <= {SUPPORTED}
    # By other means than the checker's.
    for quoted in QUOTATION.findall(text):
        assert find_spans(patient.note or "", quoted), quoted
    if patient.note is None:
        assert not re.search(r'["“”„«»]', text)
    for claim in claims:
        if claim.variable is not None and not has_reading(patient, claim.variable):
            assert claim.kind == "measurement", claim
            assert claim.negated, claim
    assert not set(found.diagnoses) - set(VOCABULARY.disease_names)
    argued = {
        source: {name for sentence in checked for name in named(sentence.text, source)}
        for source in ("note", "series")
    }
    assert argued["note"] | argued["series"] <= set(found.diagnoses)
    for sentence in checked:
        for source, words in (("note", "The note"), ("series", "No measurement")):
            if sentence.text.startswith(words):
                assert not {name for name in VOCABULARY.disease_names if name in sentence.text} & argued[source]
    shown = [sentence.text for sentence in checked]
    assert len(set(shown)) == len(shown)
    assert not {sentence.text for sentence in found.withheld} & set(shown)


def has_reading(patient: Patient, key: str) -> bool:
    return bool(patient.series.observed[:, VOCABULARY.variable_keys.index(key)].any())


def named(sentence: str, source: str) -> list[str]:
    """The diseases that a sentence argues for by a source, where it is built as the model's sentences are."""
    quotes = sentence.startswith(('"', "“", "„", "«", "»"))
    if sentence.startswith(("The note", "No measurement")) or quotes != (source == "note"):
        return []
    # The note's words may hold the name of a disease: that argues for nothing.
    argued = QUOTATION.sub(" ", sentence)
    return [name for name in VOCABULARY.disease_names if name in argued]


def test_every_sentence_that_a_random_model_shows_is_sound(write: Callable[..., list[VerifiedRationale]]) -> None:
    patients = list(PATIENTS.values())
    shown = withheld = 0
    for kind in KINDS:
        for seed, share in ((2, 1.0), (1, 3.0)):
            for one, patient in zip(write(patients, kind, seed=seed, share=share), patients, strict=True):
                require_sound(one, patient)
                assert one.draft.startswith("### Disease Diagnosed:")
                shown, withheld = shown + len(one.sentences), withheld + len(one.withheld)
    assert shown > len(KINDS) * len(patients)
    assert withheld > len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_fluent_model_says_rightly_is_shown(kind: str, write: Callable[..., list[VerifiedRationale]]) -> None:
    patient = PATIENTS["both"]
    found = write([patient], kind, share=0.01, answers=LIKE_A_TRAINED_ONE, longest=400)[0]
    require_sound(found, patient)
    assert found.diagnoses == ("Shock", HEART, PNEUMONIA)
    assert QUOTATION.findall(found.rationale)
    cited = {claim.disease for sentence in found.sentences for claim in sentence.claims if claim.kind == "tie"}
    assert cited == {"shock", "congestive_heart_failure", "pneumonia"}
    assert {"130", "80"} & set(re.findall(r"near (\d+)", found.rationale))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answers", [None, LIKE_A_TRAINED_ONE])
def test_a_patient_gets_the_same_alone_in_any_order_and_in_any_batch(
    kind: str, answers: Any, write: Callable[..., list[VerifiedRationale]]
) -> None:
    patients = list(PATIENTS.values())
    together = write(patients, kind, answers=answers)
    assert write(patients[::-1], kind, answers=answers)[::-1] == together
    assert write(patients, kind, answers=answers, batch_size=2) == together
    assert [write([patient], kind, answers=answers)[0] for patient in patients] == together
    # The same patient twice is no exception.
    assert write([patients[0], patients[0]], kind, answers=answers) == [together[0]] * 2


def test_the_seed_decides_what_is_written_again(write: Callable[..., list[VerifiedRationale]]) -> None:
    patients = list(PATIENTS.values())
    found = write(patients, "bart", seed=1, share=3.0, draws=0)
    assert write(patients, "bart", seed=1, share=3.0, draws=0) == found
    assert sum(one.rewritten for one in found)
    others = [write(patients, "bart", seed=1, share=3.0, draws=draws) for draws in (1, 2)]
    assert any(other != found for other in others)
    for other in others:
        # Drafts are not drawn.
        assert [one.draft for one in other] == [one.draft for one in found]


def test_beams_give_sound_sentences_too(write: Callable[..., list[VerifiedRationale]]) -> None:
    patients = [PATIENTS["both"], PATIENTS["labs only"], PATIENTS["note only"]]
    for kind in KINDS:
        found = write(patients, kind, num_beams=3, longest=100)
        for one, patient in zip(found, patients, strict=True):
            require_sound(one, patient)


@pytest.mark.parametrize("numbers", ["statistic", "readings", "free"])
def test_whichever_numbers_are_possible_the_shown_ones_hold(
    numbers: str, write: Callable[..., list[VerifiedRationale]]
) -> None:
    patients = list(PATIENTS.values())
    for answers in (None, LIKE_A_TRAINED_ONE):
        for one, patient in zip(write(patients, numbers=numbers, answers=answers), patients, strict=True):
            require_sound(one, patient)


def test_without_tries_nothing_is_written_again(write: Callable[..., list[VerifiedRationale]]) -> None:
    patients = list(PATIENTS.values())
    for answers in (None, LIKE_A_TRAINED_ONE):
        for one, patient in zip(write(patients, answers=answers, tries=0, complete=False), patients, strict=True):
            require_sound(one, patient)
            assert (one.rewritten, one.asked) == (0, 0)
            drafted = one.draft.partition("### Rationale:")[2]
            for sentence in (*one.sentences, *one.withheld):
                assert sentence.text in drafted


def test_completion_only_adds(write: Callable[..., list[VerifiedRationale]]) -> None:
    patients = list(PATIENTS.values())
    only_left_out = 0
    for kind in KINDS:
        for answers in (None, LIKE_A_TRAINED_ONE):
            without = write(patients, kind, answers=answers, complete=False)
            for one, more in zip(without, write(patients, kind, answers=answers), strict=True):
                assert one.asked == 0
                assert more.sentences[: len(one.sentences)] == one.sentences
                assert len(more.sentences) == len(one.sentences) + more.asked
                assert (more.withheld, more.rewritten, more.draft) == (one.withheld, one.rewritten, one.draft)
                for sentence in more.sentences[len(one.sentences) :]:
                    assert any(claim.kind == "tie" for claim in sentence.claims)
                only_left_out += more.asked
    assert only_left_out


@pytest.mark.parametrize("longest", [1, 4])
def test_a_malformed_draft_gives_no_sentences_and_its_problem(
    longest: int, write: Callable[..., list[VerifiedRationale]]
) -> None:
    patients = [PATIENTS["both"], PATIENTS["labs only"]]
    for one, patient in zip(write(patients, longest=longest), patients, strict=True):
        assert one.problem
        require_sound(one, patient)


def test_a_source_that_is_not_there_is_not_spoken_of(write: Callable[..., list[VerifiedRationale]]) -> None:
    note_only, labs_only = PATIENTS["note only"], PATIENTS["labs only"]
    for kind in KINDS:
        for answers in (None, LIKE_A_TRAINED_ONE):
            noted, measured = write([note_only, labs_only], kind, answers=answers)
            assert not re.search(r'["“”„«»]', measured.rationale)
            for sentence in noted.sentences:
                for claim in sentence.claims:
                    # Nothing but that it was not measured.
                    assert claim.kind in ("note", "tie", "measurement", "absence")
                    assert claim.kind != "tie" or claim.variable is None
            without = re.sub(r'"[^"]*"', "", noted.rationale)
            assert not re.search(r"\d", without)


@pytest.mark.parametrize("checking", [CHECKING, UNKNOWING], ids=["base", "no base"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_notes_are_quoted_as_they_stand(
    name: str, checking: Checking, write: Callable[..., list[VerifiedRationale]]
) -> None:
    patient = Patient(FAST, HOSTILE[name])
    for kind in ("t5", "qwen3"):
        for answers in (None, LIKE_A_TRAINED_ONE):
            found = write([patient], kind, checking=checking, answers=answers, longest=100)[0]
            require_sound(found, patient, checking)
            assert "\0" not in found.draft
            drafted = found.draft.partition("### Rationale:")[2]
            for quoted in QUOTATION.findall(drafted):
                assert find_spans(patient.note or "", quoted), quoted


def test_other_measurements_give_other_numbers(write: Callable[..., list[VerifiedRationale]]) -> None:
    answers = ((("Shock",), "Heart rate is high, peaking near 130 bpm."),)
    peaks = {}
    for peak in (121.0, 143.0, 187.0):
        patient = Patient(series_of({"hours": HOURS, "heart_rate": [112, 118, peak, 115, 113, 119]}), None)
        found = write([patient], share=0.01, answers=answers, complete=False, floor=0.0)[0]
        require_sound(found, patient)
        peaks[peak] = found.rationale
    assert peaks == {
        peak: f"Heart rate is high, peaking near {number} bpm."
        for peak, number in ((121.0, 120), (143.0, 140), (187.0, 190))
    }
    # What is not high is not said to be, however the model insists.
    for patient in (PATIENTS["slow"], PATIENTS["note only"]):
        assert write([patient], share=0.01, answers=answers, complete=False, floor=0.0)[0].sentences == ()


def test_text_that_the_model_reads_only_in_part_is_quoted_only_in_part(
    make_model: Any, make_processor: Any, write: Callable[..., list[VerifiedRationale]]
) -> None:
    processor = make_processor(max_source_tokens=64)
    note = f"{NOTE} {'Nothing else is of note. ' * 40} Orthopnea, and hematemesis at night."
    patient = Patient(FAST, note)
    read = processor.reading(patient.note, None).spans
    answers = (((HEART,), f'"orthopnea" supports {HEART}.'),)
    model = FluentModel(make_model(), processor, 0.01, answers)
    model.generation_config.max_new_tokens = LONGEST
    found = clinragen.generate_verified(model, processor, [patient], CHECKING)[0]
    for quoted in QUOTATION.findall(found.draft):
        assert any(start <= a and b <= end for a, b in find_spans(patient.note or "", quoted) for start, end in read)


def test_a_model_folder_of_a_run_writes_sound_rationales(tiny_run: Any) -> None:
    from dataset_builder.contract.schema import load_examples

    explainer = clinragen.Explainer.from_pretrained(tiny_run / "model")
    rows = load_examples(tiny_run / "rationales")["test"]
    patients = [
        Patient(LabSeries.from_example(explainer.vocabulary, row), row["note"]) for row in rows.select(range(4))
    ]
    found = clinragen.generate_verified(explainer.model, explainer.processor, patients, explainer.checking)
    assert len(found) == len(patients)
    for one, patient in zip(found, patients, strict=True):
        require_sound(one, patient, explainer.checking)


def test_no_patients_give_no_rationales(write: Callable[..., list[VerifiedRationale]]) -> None:
    assert write([]) == []


def test_a_layout_with_the_list_last_and_another_vocabulary_are_refused(
    make_model: Any, make_processor: Any, lactate_vocabulary: Any
) -> None:
    last = make_processor(layout="rationale-first")
    with pytest.raises(SettingsError, match=r"diagnosis-first.*--raw"):
        clinragen.generate_verified(make_model(), last, [], CHECKING)
    other = Checking(lactate_vocabulary, lactate_vocabulary.range_set("clinical"), None)
    with pytest.raises(SettingsError, match="the model and the checking of claims"):
        clinragen.generate_verified(make_model(), make_processor(), [], other)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 0},
        {"numbers": "some"},
        {"candidates": 0},
        {"tries": -1},
        {"temperature": 0.0},
        {"floor": 1.5},
        {"batch_size": 0},
    ],
)
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        VerifyConfig(**settings)


def test_the_sentences_of_a_rationale_are_those_that_everybody_sees(
    write: Callable[..., list[VerifiedRationale]],
) -> None:
    for one in write(list(PATIENTS.values()), answers=LIKE_A_TRAINED_ONE):
        spans = sentence_spans(one.rationale)
        assert [one.rationale[start:end] for start, end in spans] == [sentence.text for sentence in one.sentences]
        assert [sentence.span for sentence in one.sentences] == spans
