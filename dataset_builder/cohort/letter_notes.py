"""The part of a letter, or of another text without headings, that was known at admission."""

from __future__ import annotations

from dataset_builder.cohort.course_cues import CourseReader, has_cue, sentences

_OF_BEFORE = ("opens", "complains", "examined", "emergency", "tells_before")
"""Cues of what a further paragraph must tell of to be kept."""

_WIDEST_WRAPPED = 130
"""Characters of the longest line of a text that was wrapped; in another one every line is a paragraph."""


def letter_part(text: str) -> str:
    """Keep of a text without headings what it tells before the course; "" if it does not tell why the patient came.

    It begins where it says so, and ends where something was done, or at the end of the paragraph with the findings.
    """
    reader = CourseReader(strict=True)
    opened = examined = False
    kept = []
    course = paragraph = False
    unwrapped = max(map(len, text.split("\n"))) > _WIDEST_WRAPPED
    for _, sentence in sentences(text):
        if not opened:
            opened = has_cue("opens", sentence) or (not course and has_cue("complains", sentence))
            begins = reader.begins_at(sentence) == 0
            course = course or begins
            if not opened or begins:
                opened = False
                continue
        else:
            end = reader.begins_at(sentence)
            if end is not None:
                kept.append(sentence[:end])
                break
            if paragraph and not any(has_cue(kind, sentence) for kind in _OF_BEFORE):
                break
        kept.append(sentence)
        examined = examined or has_cue("examined", sentence)
        paragraph = sentence.endswith("\n\n") or (sentence.endswith("\n") and unwrapped)
        if examined and paragraph:
            break  # A letter tells the course in the paragraph after the findings.
    return "".join(kept).strip()
