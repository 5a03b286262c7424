"""The tokenizer of a backbone from scratch: one token a phrase, and nothing of a single patient."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_examples import OPEN, tiny_splits

from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.errors import GovernanceError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import build_model, cohort_tokenizer
from trainers.model_config import ModelConfig
from trainers.run_phase import NewModel, train_phase
from trainers.tokenizer import CohortTokenizer, train_tokenizer
from trainers.tokens_report import TOKENS_REPORT, read_tokens_report

NAMES = ["Shock", "Septicemia (except in labor)"]
PLANTED = "Patient Ottokar Vandersteen-Quill MRN 60718293, wife Hesper at 555-0199 to be called."
SECRETS = ("Ottokar", "Vandersteen", "Quill", "60718293", "6071", "Hesper", "555-0199", "0199")


def texts_of(cohort: CohortSplits) -> list[tuple[Hashable, str]]:
    train = cohort["train"]
    columns = ("note", "rationale_note")
    return [(who, text) for name in columns for who, text in zip(train["subject_id"], train[name], strict=True)]


def tokens_of(made: CohortTokenizer) -> set[str]:
    """What a reader of the vocabulary sees of patients: the merged tokens as text."""
    tokenizer = made.tokenizer
    added = set(tokenizer.get_added_vocab())
    names = [name for name in tokenizer.get_vocab() if name not in added and len(name) > 1]
    return {tokenizer.backend_tokenizer.decoder.decode([name]) for name in names}


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary, 60)


def test_texts_round_trip_and_disease_names_are_whole(cohort: CohortSplits) -> None:
    texts = texts_of(cohort)
    tokenizer = train_tokenizer(texts, vocab_size=900, whole=NAMES).tokenizer
    for text in [*(text for _, text in texts[:5]), "Shock,Septicemia (except in labor). T 38.5, wéird § 5mg\t\n 7"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == flat(text)
    assert len(tokenizer("Septicemia (except in labor)")["input_ids"]) == 1
    with pytest.raises(SettingsError, match=r"vocab_size is 10; it must be at least 261"):
        train_tokenizer(texts, vocab_size=10, whole=NAMES)


def test_a_quoted_phrase_is_tokenised_alike_wherever_it_is_quoted() -> None:
    texts = ['"maroon stools" fits GI. "cough" and "maroon stools" fit Shock.', "Known for maroon stools and a cough."]
    tokenizer = train_tokenizer(enumerate(texts * 10), vocab_size=600).tokenizer
    phrase = tokenizer("maroon stools")["input_ids"]
    assert len(phrase) == 1
    for text in [*texts[:1], 'He has "maroon stools", says the note.']:
        assert set(phrase) <= set(tokenizer(text)["input_ids"])


@pytest.mark.parametrize("patients", [1, 9])
def test_what_a_few_patients_share_is_in_no_token(patients: int, cohort: CohortSplits) -> None:
    planted = [(f"one-{number % patients}", f"{PLANTED} Seen {number}.") for number in range(40)]
    # Names that stand in words of their own, and beside ever other words.
    planted += [(f"one-{number % patients}", f"Ottokar says {number}, Hesper-Quill {number}") for number in range(40)]
    made = train_tokenizer([*texts_of(cohort), *planted], vocab_size=2000, whole=NAMES)
    tokens = tokens_of(made)
    assert any(len(token.split()) > 2 for token in tokens)
    assert not [token for token in tokens for secret in SECRETS if secret in token]


def test_what_ten_patients_share_is_in_a_token_and_in_the_report(cohort: CohortSplits, tmp_path: Path) -> None:
    shared = [(f"one-{number}", "Seen at Quillmoor ward.") for number in range(10)]
    made = train_tokenizer([*texts_of(cohort), *shared], vocab_size=2000)
    assert made.report.spanning_words["Seen at Quillmoor ward."] == 10
    assert (made.report.patients, made.report.min_patients) == (70, 10)
    assert set(made.report.spanning_words) == {token for token in tokens_of(made) if len(token.split()) > 1}
    made.report.write(tmp_path)
    assert read_tokens_report(tmp_path) == made.report
    listed = json.loads((tmp_path / TOKENS_REPORT).read_text())["spanning_words"]
    assert [one["patients"] for one in listed] == sorted(made.report.spanning_words.values())


def test_no_token_that_spans_words_has_a_digit() -> None:
    texts = ["Take 20 mg of aspirin at 8, room 12B then.", "1. aspirin 81 mg 2. T2DM and A1C 7.5 %"]
    made = train_tokenizer(enumerate(texts * 20), vocab_size=1000)
    tokens = tokens_of(made)
    assert {" 20", " 12B", " T2DM"} <= tokens
    assert any(len(token.split()) > 1 for token in tokens)
    assert not [token for token in tokens if len(token.split()) > 1 and re.search(r"\d", token)]


WORDS = st.sampled_from(["fever", "no", "pain", "Zoe", "of", "5", "mg", "x7", "é٣", "²", "-", "chest.", '"', "\n"])
TEXTS = st.lists(WORDS, max_size=9).map(" ".join)


@given(texts=st.lists(st.tuples(st.integers(0, 5), TEXTS), max_size=30), least=st.integers(2, 5))
@settings(max_examples=150, deadline=None)
def test_every_token_occurs_in_texts_of_enough_patients(texts: list[tuple[int, str]], least: int) -> None:
    made = train_tokenizer(texts, vocab_size=500, whole=["fever"], min_patients=least)
    for token in tokens_of(made):
        if "\ufffd" in token:  # a part of a character
            continue
        having = {patient for patient, text in texts if token in flat(text)}
        assert len(having) >= least, token
        if len(token.split()) > 1:
            assert not any(character.isdigit() for character in token)
            assert made.report.spanning_words[token] <= len(having)
    for _, text in texts:
        assert made.tokenizer.decode(made.tokenizer(text)["input_ids"]) == flat(text)


@pytest.mark.parametrize("text", ["a" * 100_000, "1" * 100_000, "x1 " * 33_000, '" ' * 50_000, "no fever, " * 10_000])
def test_a_long_note_is_read_in_linear_time(text: str, cohort: CohortSplits) -> None:
    tokenizer = train_tokenizer(texts_of(cohort), vocab_size=900).tokenizer
    started = time.process_time()
    tokenizer(text)
    assert time.process_time() - started < 2


def test_a_cohort_s_stays_count_once_per_patient(vocabulary: Vocabulary, tmp_path: Path) -> None:
    cohort = tiny_splits(vocabulary, 30)
    changed = cohort["train"].map(
        lambda row, number: {
            "subject_id": 7 if number < 15 else row["subject_id"],
            "note": f"{row['note']} {PLANTED}" if number < 15 else row["note"],
        },
        with_indices=True,
    )
    splits = CohortSplits({**cohort, "train": changed}, OPEN, vocabulary)
    made = cohort_tokenizer(ModelConfig(scratch=tmp_path / "t5.json", vocab_size=2000), splits)
    assert made.report.patients == 16
    assert not [token for token in tokens_of(made) for secret in SECRETS if secret in token]


@pytest.mark.parametrize("provenance", [{}, {**OPEN, "credentialed": True}])
def test_a_credentialed_cohort_is_read_only_when_asked_for(
    provenance: dict[str, Any], vocabulary: Vocabulary, tiny_recipe: Path, tmp_path: Path
) -> None:
    closed = CohortSplits(dict(tiny_splits(vocabulary, 30)), provenance, vocabulary)
    scratch = tiny_recipe.parent / "t5.json"
    settings = ModelConfig(scratch=scratch, vocab_size=900, max_source_tokens=64, max_target_tokens=16)
    with pytest.raises(GovernanceError, match=r"pretrained backbone.*tokenizer_from_credentialed: true"):
        build_model(settings, closed, [], 0)
    (tmp_path / "phase.yaml").write_text("max_steps: 1\nper_device_train_batch_size: 2\nsave_strategy: 'no'\n")
    first, second = tmp_path / "backbone", tmp_path / "note"
    asked = NewModel(replace(settings, tokenizer_from_credentialed=True, tokenizer_min_patients=12))
    for phase, folder, start in (("backbone", first, asked), ("note", second, first)):
        train_phase(phase, folder, cohort=closed, start=start, config=tmp_path / "phase.yaml")
        report = json.loads((folder / TOKENS_REPORT).read_text())
        assert report["min_patients"] == 12
        assert report["spanning_words"]
        step = next(step for step in read_provenance(folder)["steps"] if step["step"] == "train backbone")
        assert step["tokenizer_of_patients"] == {"patients": 30, "min_patients": 12}
