"""Notes that are longer than the model reads: the budget, what is kept, and what is said of it."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.processing_clinragen import require_input
from modeling_clinragen.reading_clinragen import (
    LONGEST_NOTE,
    OMISSION,
    Reading,
    read_note,
    shared_spans,
    tokenize,
)
from trainers.tokenizer import train_tokenizer

SECTIONS = [
    f"{heading}:\n" + " ".join(f"Sentence {number} of this part says {word}." for number in range(20))
    for heading, word in zip(
        ("Chief Complaint", "History", "Past History", "Social History", "Examination", "Medications"),
        ("dyspnea", "hypertension", "diabetes", "smoking", "tenderness", "metoprolol"),
        strict=True,
    )
]
NOTE = "\n\n".join(SECTIONS)
PIECES = st.sampled_from(["fever", " ", "\n", "\n\n", ". ", "dyspnea on exertion", "é", "\U0001f600", "___", "x" * 50])
NOTES = st.lists(PIECES, max_size=120).map(lambda pieces: clean_note("".join(pieces)))


def pieces_with_unknown() -> PreTrainedTokenizerFast:
    """Pieces of words that begin with their blank, and an unknown token: as of T5."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = BpeTrainer(vocab_size=300, special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False)
    tokenizer.train_from_iterator([NOTE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def bytes_of_words() -> PreTrainedTokenizerFast:
    """Byte-level pieces of words, nothing unknown: as of OPT, Qwen and Llama."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([NOTE], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="</s>", eos_token="</s>")


class Placeless:
    """A tokenizer that does not say where its tokens stand."""

    is_fast = False

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.unk_token_id = tokenizer.unk_token_id

    def __call__(self, text: str, **settings: Any) -> Any:
        assert "return_offsets_mapping" not in settings
        return self._tokenizer(text, **settings)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    words = pieces_with_unknown()
    spanning = train_tokenizer(enumerate([*(SECTIONS * 3), "x" * 50]), vocab_size=600, min_patients=3).tokenizer
    return {"spanning": spanning, "pieces": words, "bytes": bytes_of_words(), "placeless": Placeless(words)}


def read(note: str, tokenizer: Any, room: int, cut: str = "middle") -> Reading:
    return read_note(tokenize(note, tokenizer), tokenizer, room, cut)


@pytest.mark.parametrize("kind", ["spanning", "pieces", "bytes", "placeless"])
@given(note=NOTES, room=st.integers(1, 90), cut=st.sampled_from(["middle", "end"]))
@settings(max_examples=150, deadline=None)
def test_no_note_takes_more_than_its_room(kind: str, note: str, room: int, cut: str, tokenizers: Any) -> None:
    tokenizer = tokenizers[kind]
    reading = read(note, tokenizer, room, cut)
    total = len(tokenizer(note, add_special_tokens=False)["input_ids"]) if note else 0
    assert reading.total == total
    assert len(reading.ids) <= room
    if total <= room:
        assert (reading.text, len(reading.ids)) == (note, total)
    else:
        # A half of the room is never left empty, however long the lines are.
        assert len(reading.ids) >= room / 2
    # The spans are apart, in order, and the text is theirs.
    assert OMISSION.join(note[start:end] for start, end in reading.spans) == reading.text
    assert all(start < end for start, end in reading.spans)
    assert list(reading.spans) == sorted(reading.spans)
    if len(reading.spans) == 2:
        (first, end), (start, last) = reading.spans
        assert (first, last) == (0, len(note))
        assert end <= start
        # What is read is a note: the same tokens come of it, and nothing of it is cleaned away.
        assert tuple(tokenizer(reading.text, add_special_tokens=False)["input_ids"]) == reading.ids
        assert clean_note(reading.text) == reading.text


@pytest.mark.parametrize("kind", ["pieces", "bytes"])
def test_head_and_tail_are_kept_with_whole_sentences(kind: str, tokenizers: Any) -> None:
    tokenizer = tokenizers[kind]
    whole = tokenize(NOTE, tokenizer)
    for share in (0.3, 0.5, 0.8):
        reading = read(NOTE, tokenizer, round(share * len(whole.ids)))
        (_, end), (start, _) = reading.spans
        assert NOTE[:end].endswith((".", ":"))
        assert NOTE[start:].startswith(("Sentence", *(section.split(":")[0] for section in SECTIONS)))
        tokens = [sum(low <= place[0] < high for place in whole.places) for low, high in reading.spans]
        assert 1.2 < tokens[0] / tokens[1] < 3
    # Where a section ends near the border, whole sections are kept.
    head = len("\n\n".join(SECTIONS[:2]))
    room = round(1.05 * 1.5 * sum(place[1] <= head for place in whole.places))
    assert read(NOTE, tokenizer, room).spans[0] == (0, head)


def test_the_end_is_left_out_as_before_where_the_folder_says_so(tokenizers: Any) -> None:
    for tokenizer in tokenizers.values():
        ids = tokenizer(NOTE, add_special_tokens=False)["input_ids"]
        assert read(NOTE, tokenizer, 50, "end").ids == tuple(ids[:50])


def test_a_folder_of_an_older_version_cuts_at_the_end(make_processor: Any, tmp_path: Path) -> None:
    processor = make_processor(max_source_tokens=60)
    processor.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    content = json.loads(path.read_text())
    assert content["note_cut"] == "middle"
    assert ClinRaGenProcessor.from_pretrained(tmp_path).note_cut == "middle"
    for name in ("note_cut", "profile"):
        del content[name]
    path.write_text(json.dumps({**content, "format_version": 1}))
    old = ClinRaGenProcessor.from_pretrained(tmp_path)
    before, after = old("", {"hours": [], "values": []})["input_ids"][0].tolist(), NOTE
    ids = old.tokenizer(after, add_special_tokens=False)["input_ids"]
    room = 60 - len(before)
    found = old(NOTE, {"hours": [], "values": []}, warn=False)["input_ids"][0].tolist()
    assert ids[:room] == found[-room - _behind(old) :][:room]
    # It stays so when it is saved again, and when it is trained further.
    old.save_pretrained(tmp_path)
    assert json.loads(path.read_text())["note_cut"] == "end"
    assert ClinRaGenProcessor.from_pretrained(tmp_path).note_cut == "end"


def _behind(processor: Any) -> int:
    return len(processor.tokenizer(processor.lab_marker, add_special_tokens=False)["input_ids"])


def test_an_unknown_cut_is_refused(make_processor: Any) -> None:
    with pytest.raises(SettingsError, match="unknown note_cut 'start'; choose one of middle, end"):
        make_processor(note_cut="start")


@given(notes=st.lists(st.tuples(NOTES, st.booleans()), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_batch_is_read_as_its_patients_alone_and_as_reported(
    notes: list[tuple[str, bool]], make_processor: Any, make_series: Any
) -> None:
    processor = make_processor(max_source_tokens=80)
    series = [make_series(3) if labs else None for _, labs in notes]
    batch = processor([note for note, _ in notes], series, warn=False)
    for row, ((note, _), one) in enumerate(zip(notes, series, strict=True)):
        ids = batch["input_ids"][row][batch["attention_mask"][row].bool()]
        alone = processor(note, [one], warn=False)
        np.testing.assert_array_equal(ids, alone["input_ids"][0])
        report, empty = processor.read_report(note, one), processor("", [one])["input_ids"][0]
        assert len(ids) == len(empty) + report.tokens_read
        reading = processor.reading(note, one)
        assert len(reading.spans) == (0 if not note else 1 if report.whole else 2)
        assert (report.tokens_read, report.tokens_total) == (len(reading.ids), reading.total)
        np.testing.assert_array_equal(processor(reading.text, [one], warn=False)["input_ids"][0], ids)


def test_what_is_cut_is_said_once_and_without_the_text(make_processor: Any, caplog: pytest.LogCaptureFixture) -> None:
    processor = make_processor(max_source_tokens=64, instruction="", lab_marker="")
    report = processor.read_report(NOTE, None)
    assert not report.whole
    with caplog.at_level(logging.WARNING):
        processor([NOTE, "Fever.", NOTE])
    (record,) = caplog.records
    short = processor.read_report("Fever.", None)
    read_tokens = 2 * report.tokens_read + short.tokens_read
    total = 2 * report.tokens_total + short.tokens_total
    assert record.getMessage() == f"2 of 3 notes are not read whole: read {read_tokens:,} of {total:,} tokens"
    caplog.clear()
    processor(["Fever.", None])
    processor(NOTE, warn=False)
    assert not caplog.records


def test_the_report_counts_tokens_words_and_measurements(make_processor: Any, make_series: Any) -> None:
    processor = make_processor(max_source_tokens=9000, instruction="", lab_marker="")
    ids = processor.tokenizer(NOTE, add_special_tokens=False)["input_ids"]
    series = make_series(6)
    series["values"][:, 2] = np.nan
    report = processor.read_report(NOTE, series)
    assert report.sentence == f"read {len(ids):,} of {len(ids):,} tokens"
    assert report.words == len(NOTE.split())
    assert report.readings == int((~np.isnan(series["values"])).sum())
    assert processor.feature_extractor.variables[2] not in report.measured
    assert set(report.measured) == {
        key
        for key, column in zip(processor.feature_extractor.variables, series["values"].T, strict=True)
        if not np.isnan(column).all()
    }
    with pytest.raises(ModelInputError, match=r"\(2, 3\); expected \(steps, 11 variables\)"):
        processor.read_report(NOTE, {"hours": [0.0, 1.0], "values": [[1.0, 2.0, 3.0]] * 2})
    nothing = processor.read_report(None, None)
    assert (nothing.tokens_total, nothing.words, nothing.known_words, nothing.unknown_tokens) == (0, 0, None, None)
    assert (nothing.spans, nothing.measured, nothing.readings) == ((), (), 0)


@pytest.mark.parametrize("kind", ["spanning", "pieces", "bytes"])
def test_known_words_are_those_that_one_token_holds(kind: str, tokenizers: Any, make_processor: Any) -> None:
    processor = make_processor()
    processor.tokenizer = tokenizers[kind]
    known = processor.read_report("Sentence of this part says. Sentence of this part says.", None).known_words
    nonsense = processor.read_report("qzkwv xjqpz wvvkq", None)
    assert known is not None
    assert nonsense.known_words == 0.0
    assert known >= 0.5
    mixed = processor.read_report("Sentence of this part says. Sentence of this part says. qzkwv", None).known_words
    assert mixed == pytest.approx(known * 10 / 11)


def test_characters_that_a_tokenizer_does_not_have_are_unknown(tokenizers: Any, make_processor: Any) -> None:
    processor = make_processor()
    processor.tokenizer = tokenizers["pieces"]
    report = processor.read_report("\u6f22\u5b57 " * 20, None)
    assert report.known_words == 0.0
    assert report.unknown_tokens is not None
    assert report.unknown_tokens >= 0.5


@pytest.mark.parametrize(
    ("note", "series"),
    [
        (None, None),
        ("", None),
        (" \r\n\x00\ufeff ", None),
        ("___ [**Name**] --", None),
        ("\U0001f600" * 50, None),
        ("", {"hours": [], "values": []}),
        ("", {"hours": [1.0, 2.0], "values": [[None, None], [float("nan"), None]]}),
    ],
)
def test_a_patient_of_whom_nothing_is_known_is_refused(note: str | None, series: Any) -> None:
    with pytest.raises(ModelInputError, match=r"^nothing to go on: give a note, measurements or both$"):
        require_input(note, series)


@pytest.mark.parametrize(
    ("note", "series"), [("fever", None), ("BP 80/40", {"hours": [], "values": []}), (None, {"values": [[None, 7.1]]})]
)
def test_a_note_or_one_reading_is_enough(note: str | None, series: Any) -> None:
    require_input(note, series)


def test_a_text_that_is_too_long_for_a_note_is_refused_before_it_is_read(make_processor: Any) -> None:
    for use in (lambda text: require_input(text, None), make_processor()):
        with pytest.raises(ModelInputError, match=r"1,000,001 characters, at most 1,000,000 are taken") as caught:
            use("fever " * (LONGEST_NOTE // 6) + "fever"[: LONGEST_NOTE % 6 + 1])
        assert "fever" not in str(caught.value)


SPANS = st.lists(st.integers(0, 30), unique=True, max_size=8).map(
    lambda ends: list(zip(sorted(ends)[::2], sorted(ends)[1::2], strict=False))
)


@given(SPANS, SPANS)
def test_shared_spans_hold_what_both_hold(first: Any, second: Any) -> None:
    def places(spans: Any) -> set[int]:
        return {place for start, end in spans for place in range(start, end)}

    shared = shared_spans(first, second)
    assert places(shared) == places(first) & places(second)
    assert shared == sorted(shared)
