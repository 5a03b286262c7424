"""What a generated text has of other patients' notes is found, and nothing else: against a count by brute force."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_examples import OPEN, tiny_splits

from clinragen.publishing.check import check_dataset, require_nothing_memorised
from clinragen.publishing.config import MemorisationConfig
from clinragen.publishing.memorisation import GeneratedText, Memorised, find_memorised
from clinragen.publishing.tokenizer_words import rare_tokens
from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.errors import GovernanceError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.tokenizer import train_tokenizer

PLANTED = (
    "Patient Ottokar Vandersteen-Quill, MRN 60718293, was found by his wife Hesper at the old mill near Quillmoor and "
    "brought in by Dr. Maplethorpe; call 555-0199."
)
ORDINARY = (
    "He presented with dyspnea and a productive cough for three days and was admitted to the unit for pneumonia."
)
THREE = MemorisationConfig(overlap_words=3, fewest_patients=3)


def found_in(text: str, notes: dict[Any, str], own: str = "", **more: Any) -> Memorised:
    return find_memorised([GeneratedText("one", "me", text)], notes.items(), [("me", own)], **more)


def test_a_planted_sentence_is_found_with_its_names_and_numbers() -> None:
    crowd = dict.fromkeys(range(30), ORDINARY)
    notes = {**crowd, "other": f"{ORDINARY} {PLANTED}"}
    found = found_in(f"He was well. {PLANTED.lower()} {ORDINARY}", notes)
    (overlap,) = found.overlaps
    assert overlap.patients == 1
    assert overlap.words.startswith("patient ottokar vandersteen-quill mrn 60718293 was found by his wife hesper")
    # The sentence that all share is no part of it, but for the seam, which only this note has.
    assert "productive cough for three days" not in overlap.words
    names = {one.word: one.patients for one in found.names}
    assert names == dict.fromkeys(
        ("ottokar", "vandersteen-quill", "60718293", "hesper", "quillmoor", "maplethorpe", "555-0199"), 1
    )
    assert (found.texts, found.patients) == (1, 31)
    # Counts only.
    assert not re.search("ottokar|hesper|6071", found.sentence, re.IGNORECASE)


def test_what_its_own_patients_note_says_is_no_memory() -> None:
    notes = {"other": PLANTED, "me": "An earlier stay."}
    assert found_in(PLANTED, notes).any
    assert not found_in(PLANTED, notes, own=PLANTED).any
    assert not found_in(PLANTED, {**notes, "me": PLANTED}).any


@pytest.mark.parametrize(("patients", "overlaps"), [(1, 1), (9, 1), (10, 0)])
def test_what_enough_patients_share_is_a_phrase_but_a_name_stays_a_name(patients: int, overlaps: int) -> None:
    found = found_in(PLANTED, dict.fromkeys(range(patients), PLANTED))
    assert len(found.overlaps) == overlaps
    # Behind a title, or of many digits; a place that ten patients come from is a place.
    words = {one.word for one in found.names}
    assert {"ottokar", "vandersteen-quill", "60718293", "hesper", "maplethorpe", "555-0199"} <= words
    assert ("quillmoor" in words) == (patients < 10)


def test_twelve_words_are_no_overlap_and_thirteen_are() -> None:
    words = [f"w{chr(97 + number)}" for number in range(20)]
    notes = {"other": " ".join(words)}
    assert not found_in(" ".join(words[:12]), notes).overlaps
    assert len(found_in(" ".join(words[:13]), notes).overlaps) == 1
    (one,) = found_in("x " + " ".join(words[3:]) + " y", notes).overlaps
    assert one.words.split() == words[3:]
    with pytest.raises(SettingsError, match="overlap_words"):
        MemorisationConfig(overlap_words=1)


def test_words_of_medicine_and_of_every_sentence_are_no_names() -> None:
    notes = {"other": "Given Lisinopril and Zosyn. Denies pain. Seen by nurse Practitioner; practitioner noted MRSA."}
    found = found_in("denies pain lisinopril zosyn practitioner mrsa given", notes, known=["Lisinopril", "zosyn"])
    assert not found.any
    assert {one.word for one in found_in("lisinopril zosyn", notes).names} == {"lisinopril", "zosyn"}


def test_a_given_name_is_always_found() -> None:
    found = found_in("Seen by ann lee and Bo.", {"other": "Nothing."}, names=["Ann  Lee", "Bo", "Carl", ""])
    assert sorted(one.word for one in found.names) == ["ann lee", "bo"]
    assert not found_in("Seen by Ann Lee.", {}, own="Ann Lee", names=["Ann Lee"]).any


SMALL = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12).map(" ".join)


@given(
    notes=st.lists(st.tuples(st.integers(0, 4), SMALL), max_size=8),
    texts=st.lists(st.tuples(st.integers(0, 6), SMALL), min_size=1, max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_overlaps_are_those_that_a_count_of_everything_finds(
    notes: list[tuple[int, str]], texts: list[tuple[int, str]]
) -> None:
    given_texts = [GeneratedText(str(number), *one) for number, one in enumerate(texts)]
    found = find_memorised(given_texts, notes, [(6, "a b c d a")], THREE)
    expected = []
    for number, (patient, text) in enumerate(texts):
        words, places = text.split(), []
        mine = [note for who, note in [*notes, (6, "a b c d a")] if who == patient]
        for at in range(len(words) - 2):
            part = f" {' '.join(words[at : at + 3])} "
            others = {who for who, note in notes if part in f" {note} " and who != patient}
            if 0 < len(others) < 3 and not any(part in f" {note} " for note in mine):
                places.append(at)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if places else []
        expected += [(str(number), " ".join(words[run[0] : run[-1] + 3])) for run in runs]
    assert [(one.example, one.words) for one in found.overlaps] == expected


def test_time_is_linear_in_the_notes() -> None:
    rng = np.random.default_rng(0)

    def seconds(patients: int) -> float:
        notes = [(who, " ".join(f"w{word}" for word in rng.integers(0, 5000, 400))) for who in range(patients)]
        texts = [GeneratedText(str(number), number, notes[number][1]) for number in range(50)]
        start = time.process_time()
        find_memorised(texts, notes, ())
        return time.process_time() - start

    seconds(50)
    assert seconds(1200) < 25 * max(seconds(100), 0.02)


def test_a_tokenizers_rare_tokens_are_those_that_a_search_finds(vocabulary: Vocabulary, tmp_path: Path) -> None:
    cohort = tiny_splits(vocabulary, 40)
    texts = list(zip(cohort["train"]["subject_id"], cohort["train"]["note"], strict=True))
    texts += [(f"two-{number}", f"Seen at Quillmoor ward {number}.") for number in range(2)]
    names = list(vocabulary.disease_names)
    made = train_tokenizer(texts, vocab_size=1500, whole=names, min_patients=2)
    made.tokenizer.save_pretrained(tmp_path)
    # Of a pretrained one nothing is asked: it has no report.
    assert rare_tokens(tmp_path, texts, 5) == {}
    made.report.write(tmp_path)
    found = rare_tokens(tmp_path, texts, 5)
    backend = made.tokenizer.backend_tokenizer.decoder
    added = set(made.tokenizer.get_added_vocab())
    tokens = {backend.decode([name]) for name in made.tokenizer.get_vocab() if name not in added and len(name) > 1}
    read = [(who, re.sub(r"\s+", " ", text)) for who, text in texts]
    counts = {token: len({who for who, text in read if token in text}) for token in tokens}
    assert found == {token: count for token, count in counts.items() if 0 < count < 5 and "\ufffd" not in token}
    assert any("Quillmoor" in token for token in found)
    assert rare_tokens(tmp_path, texts, 2) == {}


def test_a_teacher_that_quotes_another_patient_keeps_the_cohort_here(vocabulary: Vocabulary, tmp_path: Path) -> None:
    cohort = tiny_splits(vocabulary, 20)
    assert not check_dataset(cohort).any
    notes = cohort["train"]["note"][:]
    notes[3] += PLANTED
    rationales = cohort["test"]["rationale_note"][:]
    rationales[5] += PLANTED
    changed = {
        "train": cohort["train"].remove_columns("note").add_column("note", notes),
        "test": cohort["test"].remove_columns("rationale_note").add_column("rationale_note", rationales),
    }
    found = check_dataset(CohortSplits({**cohort, **changed}, OPEN, vocabulary))
    assert len(found.overlaps) == 1
    assert found.overlaps[0].example == f"{cohort['test']['example_id'][5]}, rationale_note"
    with pytest.raises(GovernanceError, match=r"^the cohort: is not sent.* 1 overlaps .* --report FILE") as caught:
        require_nothing_memorised(found, "the cohort", None)
    assert "Ottokar" not in str(caught.value)
    require_nothing_memorised(check_dataset(cohort), "the cohort", tmp_path / "report.json")
    assert (tmp_path / "report.json").stat().st_mode & 0o777 == 0o600
