"""Notes in files, as people and programs save them."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builder.contract.note_file import MAX_BYTES, read_note
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.note_clinragen import clean_note, has_words

NOTE = "Fièvre and cough.\nSeen by [**Name**] on ___."


def write(folder: Path, content: bytes) -> Path:
    path = folder / "note.txt"
    path.write_bytes(content)
    return path


ENCODED = {
    "plain": NOTE.encode(),
    "marked": NOTE.encode("utf-8-sig"),
    "marked twice": codecs.BOM_UTF8 * 2 + NOTE.encode(),
    "utf-16, little": codecs.BOM_UTF16_LE + NOTE.encode("utf-16-le"),
    "utf-16, big": codecs.BOM_UTF16_BE + NOTE.encode("utf-16-be"),
    "windows lines": NOTE.replace("\n", "\r\n").encode("utf-8-sig"),
    "old lines": NOTE.replace("\n", "\r").encode(),
    "a null at the end": NOTE.encode() + b"\0",
}


@pytest.mark.parametrize("content", ENCODED.values(), ids=ENCODED)
def test_a_note_is_the_same_however_it_was_saved(content: bytes, tmp_path: Path) -> None:
    assert read_note(write(tmp_path, content)) == clean_note(NOTE)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (NOTE.encode("latin-1"), "is not UTF-8 text; save it as UTF-8"),
        (NOTE.encode("utf-16-le"), "is not UTF-8 text; save it as UTF-8"),
        (NOTE.encode("utf-32"), "is not UTF-8 text; save it as UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", "is not UTF-8 text; save it as UTF-8"),
        (b"%PDF-1.7 fever", "is a PDF, not plain text"),
        (b"PK\x03\x04 fever", "is a Word document or an archive, not plain text"),
        (b"{\\rtf1\\ansi fever}", "is rich text, not plain text"),
        (b"\n<!DOCTYPE HTML><p>fever", "is a web page, not plain text"),
        (b"", "is empty, or has no letter or digit"),
        (codecs.BOM_UTF8 + b" \r\n ___ [**Name**]", "is empty, or has no letter or digit"),
        (b"fever " * (MAX_BYTES // 6) + b"fever", "has more than 1,000,000 bytes"),
    ],
)
def test_what_is_no_note_is_refused_in_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputDataError) as caught:
        read_note(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {problem}")
    assert "fever" not in message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(InputDataError, match=r"cannot be read \(.*\); check the path"):
            read_note(path)


def test_the_largest_note_is_read(tmp_path: Path) -> None:
    assert len(read_note(write(tmp_path, b"x" * MAX_BYTES))) == MAX_BYTES


@given(
    text=st.text(st.characters(exclude_characters="<{%", exclude_categories=["Cs"])).filter(
        lambda text: has_words(clean_note(text))
    )
)
def test_any_text_comes_back_cleaned(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("notes") / "note.txt"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        if text.count("\0") <= 0.1 * len(text):
            assert read_note(path) == clean_note(text)


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("notes") / "note.txt"
    path.write_bytes(content)
    try:
        note = read_note(path)
    except InputDataError:
        return
    assert note == clean_note(note)
