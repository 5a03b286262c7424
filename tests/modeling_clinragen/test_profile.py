"""The profile of training inputs, and what of a patient is unlike it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_examples import tiny_splits

from dataset_builder.contract.arrays import series_column
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.profile_clinragen import FEWEST_EXAMPLES, QUANTILES, Cut, InputProfile, unlike
from modeling_clinragen.reading_clinragen import ReadReport
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.reading import profile_inputs
from trainers.tokenizer import train_tokenizer

KEYS = ("heart_rate", "lactate", "glucose")
USUAL = ReadReport(
    tokens_read=90,
    tokens_total=90,
    spans=((0, 400),),
    words=60,
    known_words=0.96,
    unknown_tokens=0.0,
    measured=KEYS[:2],
    readings=40,
)


def reports(number: int = 200) -> list[ReadReport]:
    """Like the usual one, some longer and some shorter; one in five has glucose."""
    return [
        replace(
            USUAL,
            words=50 + row % 20,
            tokens_read=80 + row % 20,
            tokens_total=80 + row % 20,
            known_words=0.9 + 0.005 * (row % 20),
            readings=30 + row % 20,
            measured=KEYS if row % 5 == 0 else KEYS[:2],
        )
        for row in range(number)
    ]


def profile(number: int = 200) -> InputProfile:
    made = InputProfile.of_reports(reports(number), KEYS)
    assert made is not None
    return made


def test_a_profile_has_the_quantiles_of_what_was_read() -> None:
    made = profile()
    assert made.note_words == (50, 50, 59.5, 69, 69)
    assert made.known_words == (0.9, 0.9, pytest.approx(0.948, abs=1e-3), 0.995, 0.995)
    assert made.variables == (2, 2, 2, 3, 3)
    assert made.measured == {"heart_rate": 1.0, "lactate": 1.0, "glucose": 0.2}
    assert (made.examples, made.without_note, made.without_series) == (200, 0.0, 0.0)
    assert made.notes_cut.examples == 0


@given(st.lists(st.integers(1, 10**6), min_size=FEWEST_EXAMPLES, max_size=60))
def test_what_is_said_of_99_percent_holds(words: list[int]) -> None:
    made = InputProfile.of_reports([replace(USUAL, words=number, tokens_total=number) for number in words], KEYS)
    assert made is not None
    for quantile, kept in zip(QUANTILES, made.note_words, strict=True):
        beyond = [number < kept if quantile < 0.5 else number > kept for number in words]
        if quantile != 0.5:
            assert sum(beyond) <= min(quantile, 1 - quantile) * len(words)
    # At three digits: a number alone does not lead back to a patient.
    assert all(len(f"{kept:.0f}".rstrip("0")) <= 3 for kept in made.note_words if kept >= 100)


def test_a_profile_is_never_about_a_few_patients() -> None:
    assert InputProfile.of_reports(reports(FEWEST_EXAMPLES - 1), KEYS) is None
    assert InputProfile.of_reports(reports(FEWEST_EXAMPLES), KEYS) is not None


def test_a_profile_comes_back_from_json_and_others_are_refused() -> None:
    made = profile()
    content = json.loads(json.dumps(made.to_dict()))
    assert InputProfile.from_dict(content, "x") == made
    for other in ({**content, "version": 2}, {**content, "words": ["fever"]}, {"version": 1}):
        with pytest.raises(SettingsError, match="x: this version reads profiles of version 1; train again"):
            InputProfile.from_dict(other, "x")
    with pytest.raises(SettingsError, match="x: is damaged"):
        InputProfile.from_dict({**content, "note_words": ["many"]}, "x")


def test_a_usual_patient_is_like_the_training() -> None:
    made = profile()
    for report in reports():
        assert unlike(report, made) == ()


NO_NOTE = {
    "tokens_read": 0,
    "tokens_total": 0,
    "spans": (),
    "words": 0,
    "known_words": None,
    "unknown_tokens": None,
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"words": 12, "tokens_total": 18}, "the note has 12 words; 99 % of the training notes had at least 50"),
        ({"words": 1200, "tokens_total": 1800}, "the note has 1,200 words; 99 % of the training notes had at most 69"),
        (
            {"known_words": 0.18},
            "82 % of the note's words are unknown to the model; in 99 % of the training notes at most 10 % were",
        ),
        (
            {"tokens_total": 540},
            "the note has 9.0 tokens for each word; 99 % of the training notes had at most 1.6",
        ),
        (
            {"unknown_tokens": 0.3},
            "30 % of the note's tokens are characters that the model can't read; in 99 % of the training notes at "
            "most 0 % were",
        ),
        ({"known_words": None}, "the note has no words of letters; the training notes had some"),
        (NO_NOTE, "there is no note; at least 99 % of the training examples had one"),
        (
            {"measured": (), "readings": 0},
            "nothing was measured; at least 99 % of the training examples had measurements",
        ),
        (
            {"measured": ("heart_rate",)},
            "there are readings of 1 variable; 99 % of the training examples had those of at least 2",
        ),
        ({"readings": 5}, "there are 5 readings; 99 % of the training examples had at least 30"),
        ({"readings": 5000}, "there are 5,000 readings; 99 % of the training examples had at most 49"),
        (
            {"measured": ("heart_rate", "glucose")},
            "not measured, as in at most 1 % of the training examples: Serum lactate",
        ),
    ],
)
def test_each_difference_is_said_in_its_own_words(changed: dict[str, Any], sentence: str) -> None:
    assert unlike(replace(USUAL, **changed), profile(), {"lactate": "Serum lactate"}) == (sentence,)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        # Quantiles of the words: 1, 5, 50, 95 and 99 % are 105, 125, 350, 575 and 595.
        ({"words": 85, "tokens_total": 85}, False),
        ({"words": 84, "tokens_total": 84}, True),
        ({"words": 615, "tokens_total": 615}, False),
        ({"words": 616, "tokens_total": 616}, True),
        # Of the readings as well.
        ({"readings": 85}, False),
        ({"readings": 84}, True),
        ({"readings": 615}, False),
        ({"readings": 616}, True),
        # Of the share of known words the lowest two are 0.805 and 0.825, below it lies 0.785.
        ({"known_words": 0.789}, False),
        ({"known_words": 0.78}, True),
    ],
)
def test_unlike_is_what_lies_as_far_again_beyond_the_outermost_quantile(changed: dict[str, Any], said: bool) -> None:
    even = [
        replace(USUAL, words=number, tokens_total=number, readings=number, known_words=min(1.0, 0.7 + number / 1000))
        for number in range(100, 601)
    ]
    made = InputProfile.of_reports(even, KEYS)
    assert made is not None
    assert made.note_words == made.readings == (105, 125, 350, 575, 595)
    assert made.known_words[:2] == (0.805, 0.825)
    usual = replace(USUAL, words=300, tokens_total=300, readings=300)
    assert bool(unlike(replace(usual, **changed), made)) is said


def test_of_ordinary_patients_at_most_two_in_a_hundred_are_unlike() -> None:
    rng = np.random.default_rng(0)

    def draw(number: int) -> list[ReadReport]:
        words, readings = rng.normal(200, 25, number).round(), rng.normal(190, 30, number).round()
        per_word, known = rng.normal(1.4, 0.1, number), rng.beta(60, 2, number)
        return [
            replace(
                USUAL,
                words=int(words[row]),
                tokens_total=round(words[row] * per_word[row]),
                known_words=float(known[row]),
                readings=int(readings[row]),
            )
            for row in range(number)
        ]

    made = InputProfile.of_reports(draw(4000), KEYS)
    assert made is not None
    assert sum(bool(unlike(one, made)) for one in draw(4000)) <= 80


@pytest.mark.parametrize("name", ["words", "readings", "known_words"])
def test_a_few_odd_training_examples_do_not_make_everything_usual(name: str) -> None:
    usual, odd, none = {"words": (1000, 300, 100), "readings": (1000, 300, 100), "known_words": (0.9, 0.3, 0.1)}[name]

    def report(number: Any) -> ReadReport:
        made = replace(USUAL, **{"words": 200, "readings": 100, name: number})
        return replace(made, tokens_total=made.words)

    made = InputProfile.of_reports([report(odd if row < 4 else usual) for row in range(100)], KEYS)
    assert made is not None
    assert unlike(report(usual), made) == ()
    assert len(unlike(report(none), made)) == 1


def test_what_the_training_never_had_is_said() -> None:
    labs_only = InputProfile.of_reports([replace(one, **NO_NOTE) for one in reports()], KEYS)
    assert labs_only is not None
    assert unlike(USUAL, labs_only) == ("there is a note; no training example had one",)
    note_only = InputProfile.of_reports([replace(one, measured=(), readings=0) for one in reports()], KEYS)
    assert note_only is not None
    assert unlike(USUAL, note_only) == ("there are measurements; no training example had any",)
    never = InputProfile.of_reports([replace(one, measured=KEYS[:2]) for one in reports()], KEYS)
    assert never is not None
    assert unlike(replace(USUAL, measured=KEYS), never) == (
        "measured, as in less than 1 % of the training examples: glucose",
    )


def test_a_sum_over_notes_counts_no_empty_ones() -> None:
    cut = Cut.of_counts([(10, 10), (20, 50), (0, 0)])
    assert cut == Cut(examples=1, of=2, tokens_read=30, tokens=60)
    assert cut.sentence == "1 of 2 notes is not read whole: read 30 of 60 tokens"
    assert Cut.of_counts([]) == Cut(0, 0, 0, 0)


@pytest.fixture(scope="module")
def trained(vocabulary: Vocabulary, make_processor: Any) -> ClinRaGenProcessor:
    """A processor with the tokenizer and the profile of a tiny cohort."""
    train = tiny_splits(vocabulary, 120)["train"]
    processor: ClinRaGenProcessor = make_processor(max_source_tokens=96)
    processor.tokenizer = train_tokenizer(enumerate(train["note"]), vocab_size=700, min_patients=3).tokenizer
    series = series_column(train)
    items = [{"note": note, "series": one} for note, one in zip(train["note"], series, strict=True)]
    processor.profile = profile_inputs(processor, items)
    return processor


def test_patients_of_the_same_kind_are_seldom_unlike(trained: ClinRaGenProcessor, vocabulary: Vocabulary) -> None:
    test = tiny_splits(vocabulary, 120, seed=1)["test"]
    found = [
        trained.unlike(trained.read_report(note, series))
        for note, series in zip(test["note"], series_column(test), strict=True)
    ]
    assert sum(map(bool, found)) < 20


@pytest.mark.parametrize(
    "note",
    [
        "asdkjh qwe zxc " * 15,
        "\U0001f600" * 5000,
        "\U0001f600 \U0001f912 " * 40,
        "fever\x00" + "\x00qzx" * 30,
        "Der Verunfallte wurde bewusstlos aufgefunden und umgehend verlegt. " * 5,
        "0x3f9a 0x77b1 0xffde " * 15,
    ],
)
def test_nonsense_is_unlike_every_note(trained: ClinRaGenProcessor, note: str, vocabulary: Vocabulary) -> None:
    series = series_column(tiny_splits(vocabulary)["test"])[0]
    said = trained.unlike(trained.read_report(note, series))
    assert any("note" in sentence for sentence in said)
    # About the words, in numbers: none of them is repeated.
    assert not re.search("asdkjh|qzx|Verunfallte|0x3f|\U0001f600", " ".join(said))


def test_the_saved_profile_holds_numbers_only(trained: ClinRaGenProcessor, tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())["profile"]
    assert ClinRaGenProcessor.from_pretrained(tmp_path).profile == trained.profile

    def leaves(content: Any) -> list[Any]:
        if isinstance(content, dict):
            return [leaf for value in content.values() for leaf in leaves(value)]
        return [leaf for value in content for leaf in leaves(value)] if isinstance(content, list) else [content]

    assert all(isinstance(leaf, int | float) for leaf in leaves(saved))
    assert set(saved["measured"]) == set(trained.feature_extractor.variables)


def test_without_a_profile_nothing_is_said(make_processor: Any) -> None:
    processor = make_processor()
    assert processor.profile is None
    assert processor.unlike(processor.read_report("asdkjh " * 200, None)) == ()
