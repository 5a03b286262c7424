"""The synthetic world's data files: complete, realistic where numbers were published, and errors name the entry."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from own_vocabulary import write_vocabulary
from tiny_mimic import SHIPPED, VOCABULARY, make_cohort

from dataset_builder.contract.definitions import load_definitions
from dataset_builder.synthetic.hospital import fill_hospital
from dataset_builder.synthetic.identifiers import identifier
from dataset_builder.synthetic.notes import HELD, WIDTH, listing, wrap
from dataset_builder.synthetic.patients import pick_weighted
from dataset_builder.synthetic.phrasebook import load_phrasebook
from dataset_builder.synthetic.world_file import load_world
from modeling_clinragen.errors import InputDataError

FILES = files("dataset_builder.synthetic")


def test_every_disease_of_the_vocabulary_is_in_the_world() -> None:
    world = load_world(None, SHIPPED)
    book = load_phrasebook(None, world)
    keys = [disease.key for disease in VOCABULARY.diseases]
    assert list(world.diseases) == keys == list(book.diseases)
    places = {frozenset(disease.evidence) for disease in world.diseases.values()}
    assert {frozenset({place}) for place in ("note", "labs", "ambiguous")} < places


def test_at_least_six_paraphrases_and_no_phrase_of_two_diseases() -> None:
    world = load_world(None, SHIPPED)
    book = load_phrasebook(None, world)
    seen: dict[str, str] = {}
    for owner, phrases in (
        *((key, words.evidence) for key, words in book.diseases.items()),
        *book.groups.items(),
    ):
        texts = {phrase.text for phrase in phrases}
        if phrases:
            assert len(texts) >= 6, owner
        for text in texts:
            assert seen.setdefault(text, owner) == owner
    for key, words in book.diseases.items():
        assert words.evidence or set(world.diseases[key].evidence) <= {"labs", "ambiguous"}
        assert words.mentions


def test_wording_is_clean() -> None:
    text = (FILES / "phrases.yaml").read_text(encoding="utf-8")
    book = yaml.safe_load(text)

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        assert isinstance(value, str), value
        return [value]

    for one in texts(book):
        assert one == one.strip()
        assert not re.search(r"  |\.\.|[“”’]", one), one
    for name, frames in book["frames"].items():
        allowed = {"man", "He", "he", "his", "Title", "phrase", "list", "background", "complaint", "endorsed"}
        for frame in frames:
            assert set(re.findall(r"\{(\w+)\}", frame)) <= allowed | {"relative", "Relative"}, name


GOUT_WORDS = {
    "evidence": {
        "history": ["gout", "podagra", "tophaceous gout", "gouty arthritis", "gout flares", "crystal arthritis"]
    },
    "plain": ["Gout"],
    "course": ["Gout was treated with colchicine."],
    "denied": ["toe pain"],
    "family": ["gout"],
}


@pytest.fixture
def faulty(tmp_path: Path) -> Callable[..., Path]:
    """A copy of the shipped world with one value replaced; a value of None removes the entry."""

    def make(file: str, place: list[Any], value: Any) -> Path:
        for name in ("world.yaml", "phrases.yaml"):
            with (FILES / name).open("rb") as source, (tmp_path / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        content = yaml.safe_load((tmp_path / file).read_text(encoding="utf-8"))
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        if value is None:
            del inner[place[-1]]
        else:
            inner[place[-1]] = value
        (tmp_path / file).write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("file", "place", "value", "named"),
    [
        ("world.yaml", ["diseases", "measles"], {}, "diseases has the unknown key 'measles'"),
        ("world.yaml", ["variables", "heart_rate"], None, "variables lacks 'heart_rate'"),
        ("world.yaml", ["variables", "lactate"], {}, "variables has the unknown key 'lactate'"),
        ("world.yaml", ["diseases", "shock", "prevalence"], 1.2, "diseases.shock.prevalence"),
        ("world.yaml", ["diseases", "shock", "colour"], "red", "diseases.shock has the unknown key 'colour'"),
        ("world.yaml", ["diseases", "shock", "loadings"], {"luck": 0.5}, "diseases.shock.loadings"),
        ("world.yaml", ["diseases", "shock", "loadings"], {"age": 0.8, "renal": 0.7}, "diseases.shock.loadings"),
        ("world.yaml", ["diseases", "shock", "evidence"], {"labs": 0.5}, "diseases.shock.evidence"),
        ("world.yaml", ["diseases", "shock", "evidence"], {"ambiguous": 1.0}, "diseases.shock needs a group"),
        ("world.yaml", ["diseases", "shock", "courses"], [], "diseases.shock has evidence in the series"),
        (
            "world.yaml",
            ["diseases", "shock", "courses", 0, "effects", 1, "variable"],
            "mood",
            r"diseases.shock.courses\[1\].effects\[2\].variable names the unknown variable",
        ),
        ("world.yaml", ["diseases", "shock", "courses", 0, "onset"], [9, 3], r"diseases.shock.courses\[1\].onset"),
        ("world.yaml", ["diseases", "shock", "codes"], {9: ["78552"]}, "diseases.shock.codes lacks '10'"),
        ("world.yaml", ["diseases", "pneumonia", "group"], "renal", "diseases.pneumonia.group"),
        ("world.yaml", ["groups", "renal"], ["shock"], "renal"),
        ("world.yaml", ["exclusive"], [["shock", "septicemia"]], r"exclusive\[1\]"),
        ("world.yaml", ["schedule", "gas", "early"], [0, 2], "schedule.gas.early"),
        ("world.yaml", ["rates", "mild"], "often", "rates.mild must be a number"),
        ("world.yaml", ["rates", "celsius"], None, "rates lacks 'celsius'"),
        ("world.yaml", ["items", "spo2"], None, "items lacks 'spo2'"),
        ("world.yaml", ["artifacts", 0, "item"], "toaster", r"artifacts\[1\].item"),
        ("world.yaml", ["notes", "kinds"], {"negated": 0.3}, "notes.kinds"),
        ("world.yaml", ["factors"], ["luck"], "factors"),
        ("phrases.yaml", ["diseases", "shock"], None, "diseases lacks 'shock'"),
        ("phrases.yaml", ["diseases", "septicemia", "evidence"], {"hpi": ["a"]}, "diseases.septicemia.evidence"),
        ("phrases.yaml", ["diseases", "shock", "plain"], [], "diseases.shock"),
        ("phrases.yaml", ["frames", "opening"], None, "frames lacks 'opening'"),
        ("phrases.yaml", ["groups", "renal"], None, "groups lacks 'renal'"),
    ],
)
def test_errors_name_the_entry(
    faulty: Callable[..., Path], tmp_path: Path, file: str, place: list[Any], value: Any, named: str
) -> None:
    world = faulty(file, place, value)
    with pytest.raises(InputDataError, match=named) as caught:
        fill_hospital(tmp_path / "out", patients=1, world=world)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_world_of_ones_own_changes_the_hospital(faulty: Callable[..., Path], tmp_path: Path) -> None:
    world = faulty("world.yaml", ["rates", "second_admission"], 0.0)
    counts = fill_hospital(tmp_path / "out", patients=60, world=world)
    assert counts["admissions"] == counts["patients"] == 60


def test_a_vocabulary_of_more_or_fewer_diseases_and_variables_leaves_the_hospital_as_it_is(tmp_path: Path) -> None:
    fill_hospital(tmp_path / "shipped", patients=5)
    index = {"variables": ["lactate", "ph"], "diseases": ["gout", "shock", "asthma"]}
    own = load_definitions(write_vocabulary(tmp_path / "own", **index))
    fill_hospital(tmp_path / "out", patients=5, definitions=own)
    for path in (tmp_path / "shipped").rglob("*.gz"):
        assert path.read_bytes() == (tmp_path / "out" / path.relative_to(tmp_path / "shipped")).read_bytes()


def test_a_disease_of_ones_own_can_be_part_of_the_world(faulty: Callable[..., Path], tmp_path: Path) -> None:
    own = load_definitions(write_vocabulary(tmp_path / "own", diseases=["gout", "shipped"]))
    gout = {
        "prevalence": 0.9,
        "loadings": {"age": 0.3},
        "evidence": {"note": 1.0},
        "codes": {9: ["2740"], 10: ["M109"]},
    }
    faulty("phrases.yaml", ["diseases", "gout"], GOUT_WORDS)
    content = yaml.safe_load((FILES / "world.yaml").read_text(encoding="utf-8"))
    content["diseases"]["gout"] = gout
    (tmp_path / "world.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.raises(InputDataError, match="diseases has the unknown key 'gout'"):
        fill_hospital(tmp_path / "out", patients=60, world=tmp_path)
    fill_hospital(tmp_path / "out", patients=60, world=tmp_path, definitions=own)
    provenance = make_cohort(
        "mimic-iv", tmp_path / "out", tmp_path / "cohort", note_policy="admission", vocabulary=tmp_path / "own"
    )
    assert provenance["positives"]["gout"] > 0.7 * provenance["examples"]["total"]


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match=r"world\.yaml: cannot be read"):
        fill_hospital(tmp_path / "out", patients=1, world=tmp_path)
    (tmp_path / "world.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(InputDataError, match=r"world\.yaml: is not a readable YAML file"):
        fill_hospital(tmp_path / "out", patients=1, world=tmp_path)


@given(st.sets(st.integers(0, 9_999_999), min_size=2, max_size=50))
def test_identifiers_never_collide(numbers: set[int]) -> None:
    made = {identifier(30_000_000, number) for number in numbers}
    assert len(made) == len(numbers)
    assert all(30_000_000 <= value < 40_000_000 for value in made)


@given(st.lists(st.text("ab_.", min_size=1, max_size=20), min_size=1, max_size=60), st.integers(0, 59))
def test_wrapping_keeps_the_words_and_held_phrases(words: list[str], place: int) -> None:
    held = f"one{HELD}long{HELD}phrase"
    words = [*words[:place], held, *words[place:]]
    wrapped = wrap(" ".join(words))
    assert wrapped.split() == " ".join(words).replace(HELD, " ").split()
    assert "one long phrase" in wrapped
    assert all(len(line) <= WIDTH for line in wrapped.splitlines())


def test_listing_and_weighted_picks() -> None:
    assert [listing(["a"], "or"), listing(["a", "b"], "or"), listing(["a", "b", "c"], "and")] == [
        "a",
        "a or b",
        "a, b and c",
    ]
    rng = np.random.default_rng(0)
    drawn = [pick_weighted(rng, "xyz", (0.2, 0.0, 0.8)) for _ in range(2000)]
    assert drawn.count("y") == 0
    assert 0.15 < drawn.count("x") / 2000 < 0.25
