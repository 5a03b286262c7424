"""The part of a clinical note that was known at admission.

Every heading says, by its words, whether its section was known then, was written of what came later, or may be either.
The order decides what the words leave open: an examination or a list of results without a date counts as the
admission's only before the course; a heading of unknown words belongs to the history as long as no examination came.
Within a section, the sentences decide: the text ends where a hospital course begins. What remains in doubt is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dataset_builder.cohort.course_cues import CourseReader, has_cue, sentences
from dataset_builder.cohort.heading_terms import Kind
from dataset_builder.cohort.note_headings import Heading, find_headings

_DATE_ONLY = re.compile(r"[\W\d_]*(?:[A-Za-z]{3,9}[\W\d_]*)?$")
_FEWEST_WORDS_OF_A_STORY = 5
_DIGIT = re.compile(r"\d")


@dataclass
class _Place:
    """Where in a note we are, read from its headings."""

    zone: str = "start"
    shown: bool = False
    begun: bool = False
    ended: bool = False
    history_seen: bool = False
    illness_seen: bool = False
    examined: bool = False
    medicated: bool = False
    all_results: bool = False
    one_line: bool = False
    physical: bool = False
    block: bool = False
    resumes: bool = False


def admission_part(text: str) -> str:
    """Keep of a cleaned note what it tells of the time up to the admission, section by section; "" if nothing."""
    headings = find_headings(text)
    place = _Place()
    parts = [_unheaded(text[: headings[0].start if headings else len(text)], place)]
    for number, heading in enumerate(headings):
        stop = headings[number + 1].start if number + 1 < len(headings) else len(text)
        body = text[heading.end : stop]
        _enter(place, heading, body)
        parts.append(_kept(text[heading.start : heading.end], body, heading, place))
    return "\n".join(part for part in parts if part)


def _enter(place: _Place, heading: Heading, body: str) -> None:
    """Move on to the section below a heading."""
    kind = heading.meaning.kind
    place.resumes = False
    if kind is not Kind.TITLE and place.zone == "letter":
        place.zone = "start"
    if place.ended:
        place.shown = False
    elif kind is Kind.ADDENDUM:
        place.ended, place.shown = True, False
    elif place.block and heading.bullet:
        _enter_entry(place, heading)
    elif heading.date:
        _enter_date(place, heading)
    elif kind in (Kind.HISTORY, Kind.ILLNESS):
        _enter_history(place, heading, body)
    elif kind in (Kind.EXAM, Kind.RESULTS, Kind.ALL_RESULTS):
        _enter_findings(place, heading)
    elif kind is Kind.MEDICATIONS:
        place.shown = not place.begun and not place.medicated
        place.zone = "history"
        place.medicated = True
    elif kind is Kind.TITLE and not place.history_seen:
        place.shown, place.zone = False, "title"
    elif kind in (Kind.LATER, Kind.TITLE):
        tags = heading.meaning.tags
        place.resumes = place.zone == "illness" and not place.examined and "course" not in tags
        place.shown = False
        place.begun = place.begun or place.examined or bool(tags & {"later", "course", "later_if_alone"})
        place.zone = "illness" if place.resumes else "later"
    elif kind is Kind.LISTED:
        place.shown = False
        place.begun = place.begun or place.examined
        place.zone = "later"
    elif kind is Kind.HEADER:
        place.shown = False
        place.zone = "title" if not place.history_seen else "later"
    else:
        _enter_unknown(place, heading, body)


def _enter_entry(place: _Place, heading: Heading) -> None:
    """An entry of a list in the history, such as "- Labs notable for:" below "In the ED:"."""
    place.shown = heading.meaning.kind not in (Kind.LATER, Kind.LISTED)
    place.resumes = not place.shown


def _enter_date(place: _Place, heading: Heading) -> None:
    """Of a chronicle, only the entry of the first day, or one that names the arrival, was known then."""
    first = not place.history_seen or bool(heading.meaning.tags & {"arrival", "emergency"})
    place.shown = first and not place.begun and heading.meaning.kind is not Kind.LATER
    place.zone = "illness"
    place.history_seen = True
    place.begun = place.begun or not place.shown


def _enter_history(place: _Place, heading: Heading, body: str) -> None:
    tags = heading.meaning.tags
    time_only = not tags - {"arrival", "emergency", "elsewhere", "before"}
    if time_only and _DIGIT.search(body) and _DATE_ONLY.match(body):
        place.shown = False
        return
    if time_only and place.begun and place.history_seen and "arrival" not in tags and "emergency" not in tags:
        place.shown = False
        return
    if time_only and place.zone in ("exam", "results") and not place.begun:
        place.shown = True
        return
    illness = bool(tags & {"illness", "complaint"})
    if place.begun and place.illness_seen and not _reopens(heading):
        place.shown = False
        return
    if not place.history_seen or (illness and not place.illness_seen):
        place.begun = False
    place.history_seen = True
    place.illness_seen = place.illness_seen or illness
    place.medicated = place.medicated or "home_medications" in tags
    place.all_results = False
    place.shown = True
    place.zone = "illness" if heading.meaning.kind is Kind.ILLNESS else "history"
    place.block = place.zone == "illness" and heading.alone and not heading.bullet
    if time_only and tags & {"arrival", "emergency"} and not heading.alone:
        place.zone, place.examined, place.one_line = "exam", True, True


def _reopens(heading: Heading) -> bool:
    """Whether a heading is plain enough to return to the history after the course.

    Letters to the patient ask "Why was I admitted?" and then tell the diagnosis; "cc" at the end lists the copies.
    """
    said = heading.meaning
    plain = said.complete and not said.sentence and not heading.problem
    several = said.words > 1 and bool(said.tags & {"illness", "personal", "review"})
    return plain and (several or bool(said.tags & {"illness", "past", "allergy", "home_medications"}))


def _enter_findings(place: _Place, heading: Heading) -> None:
    said = heading.meaning
    exam = said.kind is Kind.EXAM
    entire = "physical" in said.tags and "inner" not in said.tags and not said.dated and not said.unknown
    again = entire and place.physical
    if said.kind is Kind.ALL_RESULTS and not said.dated:
        place.shown, place.all_results = False, True
    elif said.dated:
        place.shown = not place.begun or (said.unknown <= 1 and not said.sentence)
    elif exam:
        place.shown = not place.begun and not again
        place.all_results = False
    else:
        place.shown = not place.begun and not place.all_results
    place.begun = place.begun or again
    place.zone = "exam" if exam else "results"
    place.one_line = not heading.alone
    if place.shown:
        place.examined = True
        place.history_seen = True
        place.physical = place.physical or entire


def _enter_unknown(place: _Place, heading: Heading, body: str) -> None:
    """Keep an organ with the section above, and what is unknown with the history, until the examination."""
    if not place.shown:
        place.shown = not (place.history_seen or place.begun) and _tells_a_story(heading, body)
        return
    findings = place.zone in ("exam", "results")
    inner = heading.meaning.kind is Kind.INNER
    if place.all_results and not inner:
        place.shown = False
        return
    entry_of_plan = heading.problem and place.zone != "history"
    section_of_its_own = not inner and findings and (heading.spaced or heading.alone or place.one_line)
    listed = inner and place.zone == "history"
    if entry_of_plan or section_of_its_own or (not listed and _tells_a_course(body, spans=findings)):
        place.shown, place.begun = False, True


def _tells_a_story(heading: Heading, body: str) -> bool:
    """Whether a section of unknown heading at the note's begin is a text rather than a form's field."""
    telling = len(body.split()) >= _FEWEST_WORDS_OF_A_STORY and heading.meaning.kind is Kind.UNKNOWN
    return telling and not heading.problem and not _tells_a_course(body, spans=True)


def _tells_a_course(body: str, *, spans: bool) -> bool:
    reader = CourseReader(strict=True)
    return any(reader.begins(text) or (spans and has_cue("span", text)) for _, text in sentences(body))


def _unheaded(text: str, place: _Place) -> str:
    """Keep of a text without headings, such as a letter, what it tells before the course."""
    reader = CourseReader(strict=True)
    opened = examined = False
    kept = []
    for _, sentence in sentences(text):
        if not opened:
            opened = has_cue("opens", sentence)
            if not opened or reader.begins_at(sentence) == 0:
                opened = False
                continue
        else:
            end = reader.begins_at(sentence)
            if end is not None:
                kept.append(sentence[:end])
                break
        kept.append(sentence)
        examined = examined or has_cue("examined", sentence)
        if examined and sentence.endswith("\n\n"):
            break  # A letter tells the course in the paragraph after the findings.
    if kept:
        place.history_seen = True
    return "".join(kept).strip()


def _kept(heading_text: str, body: str, heading: Heading, place: _Place) -> str:
    """Keep all of a section, nothing, or the sentences before the course begins."""
    if not place.shown:
        if not place.history_seen and heading.meaning.kind is Kind.LISTED:
            body = body.partition("\n\n")[2]
        if not place.history_seen and heading.meaning.kind in (Kind.TITLE, Kind.HEADER, Kind.UNKNOWN, Kind.LISTED):
            return _unheaded(body, place)
        return _resumed(body, place) if place.resumes else ""
    if place.zone == "history":
        return (heading_text + _without_later_entries(body, place)).strip()
    reader = CourseReader(strict=False)
    numbers_only = place.zone == "results" and not heading.meaning.dated and heading.meaning.kind is Kind.RESULTS
    numbers_only = numbers_only and "arrival_test" not in heading.meaning.tags
    kept = []
    for _, sentence in sentences(body):
        end = reader.begins_at(sentence)
        if end is not None:
            place.shown = False
            place.begun = place.begun or place.zone in ("exam", "results")
            kept.append(sentence[:end])
            break
        if not numbers_only or _is_first_result(sentence):
            kept.append(sentence)
    shown = "".join(kept)
    if numbers_only and not shown.strip():
        return ""
    return (heading_text + shown).strip()


def _is_first_result(sentence: str) -> bool:
    """Whether a result without a date may be one of the admission's: a number, of what is measured on arrival."""
    return not sentence.strip() or (_DIGIT.search(sentence) is not None and not has_cue("any_time", sentence))


def _without_later_entries(body: str, place: _Place) -> str:
    """A list of the history without its entries about this stay: "warfarin (stopped on discharge)".

    Further paragraphs may be no part of the list: the text ends where they tell a course.
    """
    reader = CourseReader(strict=False)
    further = False
    kept = []
    for _, sentence in sentences(body):
        if further and reader.begins(sentence):
            place.shown, place.begun = False, True
            break
        if has_cue("elsewhere", sentence) or not has_cue("this_stay", sentence):
            kept.append(sentence)
        further = further or sentence.endswith("\n\n")
    return "".join(kept)


def _resumed(body: str, place: _Place) -> str:
    """The history of the present illness goes on where the patient has reached the unit."""
    kept: list[str] = []
    reader = CourseReader(strict=True)
    for _, sentence in sentences(body):
        if not kept and not has_cue("arrives", sentence):
            continue
        if kept and reader.begins(sentence):
            break
        kept.append(sentence)
    if kept:
        place.begun = False
    return "".join(kept).strip()
