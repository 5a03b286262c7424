"""The part of a clinical note that was known at admission.

Every heading says, by its words, whether its section was known then, was written of what came later, or may be either.
The order decides what the words leave open: an examination or a list of results without a date counts as the
admission's only before the course; a heading of unknown words belongs to the history as long as no examination came.
Within a section, the sentences decide: the text ends where a hospital course begins. What remains in doubt is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dataset_builder.cohort.course_cues import CourseReader, has_cue, sentences
from dataset_builder.cohort.heading_terms import Kind, Meaning
from dataset_builder.cohort.letter_notes import letter_part
from dataset_builder.cohort.line_headings import Heading
from dataset_builder.cohort.note_headings import find_headings

_DATE_ONLY = re.compile(r"[\W\d_]*(?:[A-Za-z]{3,9}[\W\d_]*)?$")
_FEWEST_WORDS_OF_A_STORY = 5
_DIGIT = re.compile(r"\d")
_IN_EMERGENCY = (Kind.LATER, Kind.EXAM, Kind.RESULTS, Kind.ALL_RESULTS, Kind.INNER, Kind.UNKNOWN)
"""Kinds of the headings that may go on telling of the emergency department."""

_DONE_THERE = frozenset({"given", "medications", "inner", "results", "arrival_test", "finding"})
"""Tags of what was given or done there: "Patient was given"."""

_ON_TRANSFER = frozenset({"transfer", "medications", "finding", "results", "physical", "judgement", "inner"})
"""Tags of what a patient came with from another hospital: "Medications on transfer"."""

_DIVIDED = (Kind.EXAM, Kind.RESULTS, Kind.ALL_RESULTS, Kind.MEDICATIONS)
_BEGINNINGS = frozenset({"arrival", "emergency", "before", "home", "until"})
"""Sections whose parts may be named by their time alone, and the times: "Labs:" with "Admission:" below it."""

_NAMED_EARLIER = frozenset({"arrival", "emergency", "before", "elsewhere", "until"})
_VAGUE = frozenset({"stay", "judgement", "inner", "header"})
_MOST_OF_NOW = 2
_BEGUN_BY = frozenset({"later", "day", "transfer", "course", "later_if_alone", "given", "now"})
"""Tags of headings after which the course has begun."""


@dataclass
class _Place:
    """Where in a note we are, read from its headings."""

    zone: str = "start"
    shown: bool = False
    begun: bool = False
    course: bool = False
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
    emergency: bool = False
    transferred: bool = False
    dated: bool = False
    above: Kind | None = None
    waiting: str = ""
    divided: bool = False


def admission_part(text: str, says: Callable[[str], Meaning] | None = None) -> str:
    """Keep of a cleaned note what it tells of the time up to the admission; `says` is as for `find_headings`."""
    headings = find_headings(text, says)
    place = _Place()
    parts = [_unheaded(text[: headings[0].start if headings else len(text)], place)]
    for number, heading in enumerate(headings):
        stop = headings[number + 1].start if number + 1 < len(headings) else len(text)
        body = text[heading.end : stop]
        following = headings[number + 1].meaning if number + 1 < len(headings) else None
        _enter(place, heading, body, following)
        written = text[heading.start : heading.end]
        kept = _kept(written, body, heading, place)
        if place.divided and kept:
            # Without "Labs:" above it, nobody would know what "Admission:" is of.
            kept, place.waiting = f"{place.waiting}\n{kept}".strip(), ""
        elif kept:
            place.waiting = ""
        elif not body.strip() and heading.meaning.kind in _DIVIDED:
            place.waiting = written.strip()
        parts.append(kept)
    return "\n".join(part for part in parts if part)


def _enter(place: _Place, heading: Heading, body: str, following: Meaning | None) -> None:
    """Move on to the section below a heading, with the meaning of the heading after it."""
    said = heading.meaning
    kind = said.kind
    place.resumes = place.divided = False
    before = not (place.begun or place.examined)
    emergency, place.emergency = place.emergency, place.emergency and kind in _IN_EMERGENCY
    dated, place.dated = place.dated, place.dated and kind in (Kind.INNER, Kind.EXAM, Kind.RESULTS)
    above, place.above = place.above, kind if not body.strip() and kind in _DIVIDED else place.above
    if place.ended:
        place.shown = False
    elif kind is Kind.ADDENDUM:
        # One that stands before the note itself is followed by it.
        place.ended, place.shown = place.history_seen, False
    elif place.block and heading.bullet:
        _enter_entry(place, heading)
    elif heading.date:
        _enter_date(place, heading, body)
    elif above is not None and said.tags and said.tags <= _BEGINNINGS:
        # "Labs:" on a line of its own, with "Admission:" and "Discharge:" below it.
        place.shown = place.divided = True
        place.above = above
        place.zone = "history" if above is Kind.MEDICATIONS else "exam" if above is Kind.EXAM else "results"
        place.dated = True
    elif kind is Kind.LATER and place.transferred and said.tags <= _ON_TRANSFER and before:
        place.shown, place.zone = True, "history"
    elif kind is Kind.LATER and place.transferred and _is_course_elsewhere(said) and before:
        place.shown, place.zone = True, "illness"
    elif kind is Kind.LATER and emergency and said.tags <= _DONE_THERE:
        place.shown, place.emergency = True, True
    elif "illness_course" in said.tags and place.examined:
        place.shown, place.zone = False, "later"
        place.begun = place.course = True
    elif kind in (Kind.HISTORY, Kind.ILLNESS):
        _enter_history(place, heading, body)
    elif kind is Kind.EITHER or (place.history_seen and _is_vague(said)):
        place.shown = before and not _tells_a_course(body, spans=True)
        place.zone = "later" if not place.shown else "history" if place.history_seen else "illness"
        place.history_seen = place.history_seen or place.shown
    elif kind in (Kind.EXAM, Kind.RESULTS, Kind.ALL_RESULTS):
        _enter_findings(place, heading, dated=dated)
    elif kind is Kind.MEDICATIONS:
        place.shown = not place.begun and not place.medicated
        # Behind the findings "Rx" is what was done about them.
        place.shown = place.shown and not ("rx" in said.tags and place.zone in ("exam", "results"))
        place.zone = "history"
        place.medicated = True
    elif kind is Kind.TITLE and not place.history_seen:
        place.shown, place.zone = False, "title"
    elif kind in (Kind.LATER, Kind.TITLE):
        tags = heading.meaning.tags
        place.resumes = place.zone == "illness" and not place.examined and "course" not in tags
        place.shown = False
        place.begun = place.begun or place.examined or bool(tags & _BEGUN_BY)
        place.course = place.course or "course" in tags
        place.zone = "illness" if place.resumes else "later"
    elif kind is Kind.LISTED:
        place.shown = False
        place.begun = place.begun or place.examined
        place.zone = "later"
    elif kind is Kind.HEADER:
        place.shown = False
        place.zone = "title" if not place.history_seen else "later"
    else:
        _enter_unknown(place, heading, body, following)
    place.emergency = place.emergency or (place.shown and "emergency" in said.tags)
    if place.shown and not place.begun and kind is Kind.ILLNESS:
        place.transferred = place.transferred or "elsewhere" in said.tags or has_cue("transferred_in", body)


def _is_course_elsewhere(said: Meaning) -> bool:
    """Whether a heading is of the course in a hospital whose name is unknown: "Course at Lakeside"."""
    return said.tags == {"course", "course_at"} and said.unknown == 1


def _is_vague(said: Meaning) -> bool:
    """Whether a heading may be of a history or of the stay, by its words: "Health problems", "Tetanus status"."""
    return said.kind is Kind.LATER and (
        (said.tags == {"now"} and said.words <= _MOST_OF_NOW) or (said.unknown > 0 and said.tags <= _VAGUE)
    )


def _enter_entry(place: _Place, heading: Heading) -> None:
    """An entry of a list in the history, such as "- Labs notable for:" below "In the ED:"."""
    said = heading.meaning
    place.shown = said.kind not in (Kind.LATER, Kind.LISTED) or said.tags <= _DONE_THERE
    place.resumes = not place.shown


def _enter_date(place: _Place, heading: Heading, body: str) -> None:
    """Of a chronicle, the entry of the first day was known then, and one that names the arrival or the time before."""
    first = not place.history_seen or bool(heading.meaning.tags & {"arrival", "emergency"})
    first = first or (has_cue("preceding", body) and not _tells_a_course(body, spans=True))
    place.shown = first and not place.begun and heading.meaning.kind is not Kind.LATER
    place.zone = "illness"
    place.history_seen = True
    place.begun = place.begun or not place.shown


def _enter_history(place: _Place, heading: Heading, body: str) -> None:
    tags = heading.meaning.tags
    time_only = not tags - {"arrival", "emergency", "elsewhere", "before", "home", "until"}
    if time_only and _DIGIT.search(body) and _DATE_ONLY.match(body):
        place.shown = False
        return
    if time_only and place.begun and place.history_seen and "arrival" not in tags and "emergency" not in tags:
        place.shown = False
        return
    if time_only and place.zone in ("exam", "results") and not place.begun:
        place.shown = True
        return
    if (
        time_only
        and place.begun
        and "arrival" in tags
        and heading.meaning.unknown == 1
        and not heading.meaning.sentence
    ):
        place.shown, place.zone = True, "exam"  # "Pain on arrival", wherever it stands.
        return
    illness = bool(tags & {"illness", "complaint"})
    if place.begun and place.illness_seen and not _reopens(heading):
        place.shown = False
        return
    if place.begun and place.medicated and tags & {"home_medications", "medications"} and not tags & _NAMED_EARLIER:
        place.shown = False  # What is taken at home from now on.
        return
    begun_before = place.history_seen
    first = illness and not place.illness_seen and not (place.course and tags & {"past", "before", "personal"})
    if first or (not place.course and (not place.history_seen or "illness" in tags)):
        # So far there were lists of diagnoses and the like; an account of the course comes back to the history whole.
        place.begun = False
    place.history_seen = True
    place.illness_seen = place.illness_seen or illness
    place.medicated = place.medicated or bool(tags & {"home_medications", "medications"})
    place.all_results = False
    place.one_line = place.one_line and not heading.alone
    place.shown = True
    place.zone = "illness" if heading.meaning.kind is Kind.ILLNESS else "history"
    place.block = place.zone == "illness" and heading.alone and not heading.bullet
    if time_only and tags & {"arrival", "emergency"} and not heading.alone and begun_before:
        place.zone, place.examined, place.one_line = "exam", True, True


def _reopens(heading: Heading) -> bool:
    """Whether a heading is plain enough to return to the history after the course.

    Letters to the patient ask "Why was I admitted?" and then tell the diagnosis; "cc" at the end lists the copies.
    """
    said = heading.meaning
    plain = said.complete and not said.sentence and not heading.problem
    several = said.words > 1 and bool(said.tags & {"illness", "personal", "review"})
    return plain and (several or bool(said.tags & {"illness", "past", "allergy", "home_medications", "arrival"}))


def _enter_findings(place: _Place, heading: Heading, *, dated: bool) -> None:
    said = heading.meaning
    exam = said.kind is Kind.EXAM
    entire = "physical" in said.tags and "inner" not in said.tags and not said.dated and not said.unknown
    again = entire and place.physical
    if said.kind is Kind.ALL_RESULTS and not said.dated:
        place.shown, place.all_results = False, True
    elif said.dated:
        place.shown = not place.begun or (said.unknown <= 1 and not said.sentence)
        place.dated = place.shown
    elif dated and not entire and said.kind is not Kind.ALL_RESULTS:
        # "Admission exam:" has "Vitals:" and "Labs:" below it.
        place.dated = True
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


def _enter_unknown(place: _Place, heading: Heading, body: str, following: Meaning | None) -> None:
    """Keep an organ with the section above, and what is unknown with the history, until the examination."""
    inner = heading.meaning.kind is Kind.INNER
    if not place.shown:
        place.shown = not (place.history_seen or place.begun) and _tells_a_story(heading, body)
        return
    findings = place.zone in ("exam", "results") or (place.examined and place.one_line)
    if place.all_results and not inner:
        place.shown = False
        return
    if not inner and findings and _names_the_arrival(body):
        return
    entry_of_plan = heading.problem and place.zone != "history"
    amid = following is not None and following.kind is Kind.INNER and not heading.alone and place.zone == "exam"
    section_of_its_own = not inner and findings and not amid and (heading.spaced or heading.alone or place.one_line)
    listed = inner and place.zone == "history"
    if entry_of_plan or section_of_its_own or (not listed and _tells_a_course(body, spans=findings)):
        place.shown, place.begun = False, True


def _names_the_arrival(body: str) -> bool:
    """Whether all that a section says was done before the admission: "given at 09:05 in the ED"."""
    said = [text for _, text in sentences(body) if text.strip()]
    return bool(said) and all(has_cue("emergency", text) for text in said) and not _tells_a_course(body, spans=True)


def _tells_a_story(heading: Heading, body: str) -> bool:
    """Whether a section of unknown heading at the note's begin is a text rather than a form's field."""
    telling = len(body.split()) >= _FEWEST_WORDS_OF_A_STORY and heading.meaning.kind is Kind.UNKNOWN
    return telling and not heading.problem and not _tells_a_course(body, spans=True)


def _tells_a_course(body: str, *, spans: bool) -> bool:
    reader = CourseReader(strict=True)
    return any(reader.begins(text) or (spans and has_cue("span", text)) for _, text in sentences(body))


def _unheaded(text: str, place: _Place) -> str:
    kept = letter_part(text)
    place.history_seen = place.history_seen or bool(kept)
    return kept


def _kept(heading_text: str, body: str, heading: Heading, place: _Place) -> str:
    """Keep all of a section, nothing, or the sentences before the course begins."""
    if not place.shown:
        if not place.history_seen and heading.meaning.kind is Kind.LISTED:
            body = body.partition("\n\n")[2]
        if not place.history_seen and _may_tell_all(heading):
            return _unheaded(body, place)
        return _resumed(body, place) if place.resumes else ""
    if place.zone == "history":
        return (heading_text + _without_later_entries(body, place)).strip()
    reader = CourseReader(strict=False)
    numbers_only = place.zone == "results" and not heading.meaning.dated and heading.meaning.kind is Kind.RESULTS
    numbers_only = numbers_only and "arrival_test" not in heading.meaning.tags
    kept = []
    read = [sentence for _, sentence in sentences(body)]
    earlier = 0
    for number, sentence in enumerate(read):
        end = None if number < earlier else reader.begins_at(sentence)
        if end is not None and place.zone == "illness":
            # Where the patient returns later on, this was an earlier stay.
            returns = (later for later in range(number + 1, len(read)) if has_cue("returns", read[later]))
            earlier = next(returns, 0)
            end = None if earlier else end
            reader = CourseReader(strict=False)
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


def _may_tell_all(heading: Heading) -> bool:
    """Whether the first section of a note may tell of the illness as well: "Summary:", "Day 1:"."""
    said = heading.meaning
    if said.kind is Kind.LATER:
        return "illness" in said.tags or said.tags <= {"stay"} or said.tags == {"day"}
    return said.kind in (Kind.TITLE, Kind.HEADER, Kind.UNKNOWN, Kind.LISTED)


def _is_first_result(sentence: str) -> bool:
    """Whether a result without a date may be the admission's: a number or "negative", of what is measured then."""
    measured = _DIGIT.search(sentence) is not None or has_cue("result", sentence)
    return not sentence.strip() or (measured and not has_cue("any_time", sentence))


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
