"""Notes and series of the synthetic hospital show what its truth says, and nothing that it does not."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_hospital import PATIENTS, Hospital
from tiny_mimic import SHIPPED, VOCABULARY

from dataset_builder.contract.truth import TRUTH, read_truth
from dataset_builder.synthetic.phrasebook import SECTIONS, load_phrasebook
from dataset_builder.synthetic.world_file import PRESSURES, load_world
from modeling_clinragen.errors import InputDataError


def test_every_phrase_stands_in_its_section(hospital: Hospital) -> None:
    world = load_world(None, SHIPPED)
    book = load_phrasebook(None, world)
    phrases = {key: {phrase.text for phrase in words.evidence} for key, words in book.diseases.items()}
    for record in hospital.truth:
        sections = hospital.sections(record["hadm_id"])
        for key, disease in record["diseases"].items():
            assert (disease["phrase"] is None) == (disease["evidence"] == "labs")
            assert bool(disease["effects"]) == (disease["evidence"] != "note")
            if disease["phrase"] is not None:
                shared = {phrase.text for phrase in book.groups.get(world.diseases[key].group, ())}
                assert disease["phrase"] in (shared if disease["evidence"] == "ambiguous" else phrases[key])
                for mark in (disease, *disease["more_phrases"]):
                    assert mark["phrase"] in sections[mark["section"]]
        for mark in record["distractors"]:
            assert mark["phrase"] in sections[mark["section"]]


def test_half_of_the_mentions_are_negated_and_none_is_of_a_present_disease(hospital: Hospital) -> None:
    world = load_world(None, SHIPPED)
    kinds: Counter[str] = Counter()
    for record in hospital.truth:
        closed = set(record["diseases"])
        for key, disease in record["diseases"].items():
            if disease["evidence"] == "ambiguous":
                closed.update(world.groups[world.diseases[key].group])
        for mark in record["distractors"]:
            kinds[mark["kind"]] += 1
            assert mark["kind"] == "family" or mark["disease_key"] not in closed
    assert abs(kinds["negated"] / kinds.total() - 0.5) < 0.05
    assert set(kinds) == {"negated", "family", "historical", "differential"}


def test_negated_mentions_are_inside_a_negation(hospital: Hospital) -> None:
    cue = re.compile(
        r"den(?:ies|ied)|negative for|negative, without|no evidence of|no sign of|ruled out for|no history of|"
        r"No known hx of|No prior history of|No ",
    )
    for record in hospital.truth:
        story = hospital.sections(record["hadm_id"])["History of Present Illness"].replace("\n", " ")
        for mark in record["distractors"]:
            if mark["kind"] == "negated":
                places = [found.start() for found in re.finditer(re.escape(mark["phrase"]), story)]
                before = [story[:place].rsplit(". ", 1)[-1] for place in places]
                assert any(cue.search(text) and "endorse" not in text for text in before), before


def test_diseases_of_the_series_only_are_not_named_at_admission(hospital: Hospital) -> None:
    book = load_phrasebook(None, load_world(None, SHIPPED))
    names = {}
    for key, words in book.diseases.items():
        texts = {phrase.text for phrase in words.evidence} | set(words.plain) | set(words.complaints)
        texts.update(text for listed in words.mentions.values() for text in listed)
        names[key] = re.compile(r"\b(?:" + "|".join(re.escape(text) for text in texts) + r")\b", re.IGNORECASE)
    checked: Counter[str] = Counter()
    for record in hospital.truth:
        hidden = [key for key, disease in record["diseases"].items() if disease["evidence"] == "labs"]
        sections = hospital.sections(record["hadm_id"])
        text = "\n".join(sections[heading] for heading in SECTIONS.values()).replace("\n", " ")
        for key in hidden:
            checked[key] += 1
            assert not names[key].search(text), key
            assert any(plain in sections["Brief Hospital Course"] for plain in book.diseases[key].plain)
    assert {"shock", "respiratory_failure", "fluid_electrolyte_disorders"} <= set(checked)
    assert len(checked) >= 10


def test_notes_have_the_length_and_the_tidiness_of_real_ones(hospital: Hospital) -> None:
    whole = [len(note.split()) for note in hospital.notes.values()]
    admission = []
    for hadm_id, note in hospital.notes.items():
        sections = hospital.sections(hadm_id)
        admission.append(sum(len(sections[heading].split()) for heading in SECTIONS.values()))
        body = note[note.index("Service:") :]
        assert not re.search(r"[{}\x01]|  |\.\.| ,| \.|,,|\ba [aeiou]\w+ (?:MI|stroke)", body)
        assert all(len(line) <= 110 for line in note.splitlines())
    assert 300 < np.percentile(whole, 5) < np.percentile(whole, 95) < 600
    assert 110 < np.percentile(admission, 5) < np.percentile(admission, 95) < 230


def test_the_series_show_what_the_truth_says(hospital: Hospital) -> None:
    names = {variable.key for variable in VOCABULARY.variables}
    for record in hospital.truth:
        for disease in record["diseases"].values():
            for effect in disease["effects"]:
                assert effect["variable"] in names
                assert effect["direction"] in ("up", "down", "erratic")
                assert 0 <= effect["from_hour"] < effect["to_hour"]
    rows = hospital.query(
        "select e.stay_id, if(itemid in (220052, 220181), 'mean_blood_pressure', "
        "if(itemid = 220277, 'oxygen_saturation', 'temperature')) v, (epoch(charttime) - epoch(intime)) / 3600 h, "
        "if(itemid = 223761, (valuenum - 32) / 1.8, valuenum) x from {icu/chartevents} e join {icu/icustays} s "
        "using (stay_id) where itemid in (220052, 220181, 220277, 223761, 223762) and x between 30 and 200"
    )
    series: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for stay_id, variable, hour, value in rows:
        series.setdefault((stay_id, variable), []).append((hour, value))

    def level(record: dict[str, Any], variable: str, window: tuple[float, float]) -> float:
        inside = [x for h, x in series.get((record["stay_id"], variable), []) if window[0] <= h <= window[1]]
        return float(np.median(inside)) if inside else float("nan")

    for key, variable, sign in (
        ("shock", "mean_blood_pressure", -1),
        ("respiratory_failure", "oxygen_saturation", -1),
        ("septicemia", "temperature", 1),
        ("hypertension_with_complications", "systolic_blood_pressure", 1),
    ):
        measured = "mean_blood_pressure" if variable in PRESSURES else variable
        shown, others = [], []
        for record in hospital.truth:
            disease = record["diseases"].get(key)
            effects = [one for one in disease["effects"] if one["variable"] == variable] if disease else []
            rising = "up" if sign > 0 else "down"
            windows = [(one["from_hour"], one["to_hour"]) for one in effects if one["direction"] == rising]
            if windows:
                shown.append(level(record, measured, windows[0]))
            elif not disease:
                others.append(level(record, measured, (0.0, 24.0)))
        gap = sign * (np.nanmedian(shown) - np.nanmedian(others))
        assert gap > {"mean_blood_pressure": 12, "oxygen_saturation": 4, "temperature": 0.8}[measured], key


def test_pressures_are_consistent(hospital: Hospital) -> None:
    (row,) = hospital.query(
        "select count(*), max(abs(m.valuenum - d.valuenum - (s.valuenum - d.valuenum) / 3)) from {icu/chartevents} m "
        "join {icu/chartevents} d using (stay_id, charttime) join {icu/chartevents} s using (stay_id, charttime) "
        "where m.itemid = 220052 and d.itemid = 220051 and s.itemid = 220050 and s.valuenum > 0"
    )
    assert row[0] > 1000
    assert row[1] < 1.6


def test_confounders_are_short(hospital: Hospital) -> None:
    names = Counter(one["name"] for record in hospital.truth for one in record["confounders"])
    assert set(names) == {one.name for one in load_world(None, SHIPPED).confounders}
    assert all(0.04 * PATIENTS < count < 0.3 * PATIENTS for count in names.values())


def test_the_truth_is_read_back_as_it_was_written(hospital: Hospital) -> None:
    found = read_truth(hospital.folder)
    for record in hospital.truth:
        diseases = found.of(record["hadm_id"], record["stay_id"])
        assert diseases is not None
        assert set(diseases) == set(record["diseases"])
        for key, evidence in diseases.items():
            about = record["diseases"][key]
            written = [about["phrase"], *(more["phrase"] for more in about["more_phrases"])]
            assert set(evidence.phrases) == {phrase for phrase in written if phrase}
            assert {one.variable for one in evidence.courses} == {one["variable"] for one in about["effects"]}
            assert all(one.from_hour <= one.to_hour for one in evidence.courses)
    assert found.of(record["hadm_id"], record["stay_id"] + 1) is None


@pytest.mark.parametrize("content", [b"not gzip", b"{", b'{"diseases": {"shock": {}}}'], ids=["text", "half", "other"])
def test_a_missing_or_damaged_truth_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputDataError, match=rf"{TRUTH}: is missing"):
        read_truth(tmp_path)
    (tmp_path / TRUTH).write_bytes(content if content == b"not gzip" else gzip.compress(content))
    with pytest.raises(InputDataError, match=rf"{TRUTH}: is damaged"):
        read_truth(tmp_path)
