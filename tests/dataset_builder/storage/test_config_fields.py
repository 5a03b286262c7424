"""Settings dataclasses: made from YAML, checked in Python, and described in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.storage.config_fields import (
    LARGEST_SEED,
    check_mapping,
    check_values,
    deciding,
    expected,
    make_config,
    setting,
    setting_types,
)
from modeling_clinragen.errors import SettingsError


@dataclass(frozen=True)
class Inner:
    rate: float = setting(0.5, help="A share.", at_least=0, at_most=1)
    where: Path | None = setting(None, help="A folder.", decides=False)

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class Outer:
    name: str = setting(help="A name.", choices=("a", "b"))
    steps: int | None = setting(3, help="A number.", unit="rows", at_least=1)
    kinds: tuple[str, ...] = setting((), help="Several.", choices=("x", "y"))
    sizes: list[int] = setting([1, 2], help="A list.")
    inner: Inner = setting(Inner(), help="More.")
    batch: int = setting(8, help="Does not decide.", decides=False)

    def __post_init__(self) -> None:
        check_values(self)


def test_a_mapping_becomes_a_config() -> None:
    content = {"name": "a", "kinds": ["x"], "inner": {"rate": "1e-3", "where": "here"}, "steps": None}
    made = make_config(Outer, content, "file.yaml", batch=2)
    assert made == Outer("a", None, ("x",), [1, 2], Inner(0.001, Path("here")), 2)
    assert make_config(Outer, {"name": "a", "batch": 4}, "file.yaml", batch=2).batch == 4
    assert make_config(Inner, None, "file.yaml") == Inner()
    assert Outer("a").sizes is not Outer("a").sizes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "file: missing setting 'name'; expected one of a, b"),
        ([], "file: expected settings"),
        ({"name": "a", "colour": 1}, "file: unknown setting 'colour'; expected one of name, steps"),
        ({"name": "c"}, "file: name: expected one of a, b, got 'c'"),
        ({"name": 1}, "file: name: expected one of a, b, got '1'"),
        ({"name": "a", "steps": 0}, r"file: steps: expected a whole number of at least 1 \(rows\), or nothing, got 0"),
        ({"name": "a", "steps": True}, r"file: steps: expected a whole number of at least 1 \(rows\), or nothing"),
        ({"name": "a", "steps": 1.5}, "file: steps: expected a whole number"),
        ({"name": "a", "kinds": "x"}, "file: kinds: expected a list of any of x, y, got 'x'"),
        ({"name": "a", "kinds": ["z"]}, "file: kinds: expected one of x, y, got 'z'"),
        ({"name": "a", "sizes": ["1"]}, "file: sizes: expected a list of whole numbers, got '1' as entry 1"),
        ({"name": "a", "inner": 5}, r"file: inner: expected settings \(rate, where\), got '5'"),
        ({"name": "a", "inner": {"rate": 2}}, "file: inner: rate: expected a number from 0 to 1, got 2"),
        ({"name": "a", "inner": {"rate": "nan"}}, "file: inner: rate: expected a number from 0 to 1"),
        ({"name": "a", "inner": {"rte": 1}}, "file: inner: unknown setting 'rte'"),
        ({"name": "a", "inner": {"where": ""}}, "file: inner: where: expected a path or nothing"),
    ],
)
def test_a_fault_is_named_with_what_was_expected(content: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{message}") as caught:
        make_config(Outer, content, "file")
    assert "\n" not in str(caught.value)


@dataclass(frozen=True)
class Listed:
    shares: tuple[float, float] = setting((0.5, 0.5), help="Two shares.", at_least=0, at_most=1)
    folders: tuple[Path, ...] = setting((), help="Folders.")
    counts: Mapping[str, int] = setting({}, help="Counts.")
    files: Mapping[str, Path] = setting({}, help="Files.")
    price: float = setting(1.0, help="A price.")
    seed: int = setting(0, help="A seed.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)


def test_every_entry_becomes_what_the_config_wants() -> None:
    content = {
        "shares": ["8e-1", 0.2],
        "folders": ["a", "b"],
        "counts": {"x": 1},
        "files": {"y": "z"},
        "price": "2e-1",
    }
    made = make_config(Listed, content, "file")
    assert made.shares == (0.8, 0.2)
    assert made.folders == (Path("a"), Path("b"))
    assert (made.counts, made.files, made.price) == ({"x": 1}, {"y": Path("z")}, 0.2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"shares": [0.8, "much"]}, "shares: expected a list of 2 numbers from 0 to 1, got 'much' as entry 2"),
        ({"shares": [1]}, "shares: expected a list of 2 numbers from 0 to 1, got a list of 1"),
        ({"shares": [0.5, 2]}, "shares: expected a list of 2 numbers from 0 to 1, got 2"),
        ({"shares": [0.5, float("nan")]}, "shares: expected a list of 2 numbers from 0 to 1, got 'nan' as entry 2"),
        ({"folders": ["a", 5]}, "folders: expected a list of paths, got '5' as entry 2"),
        ({"counts": {"x": "no"}}, "counts: expected a mapping of names to whole numbers, got 'no' for 'x'"),
        ({"counts": {1: 1}}, "counts: expected a mapping of names to whole numbers, got the name '1'"),
        ({"price": float("nan")}, "price: expected a number, got 'nan'"),
        ({"price": "inf"}, "price: expected a number, got 'inf'"),
        ({"seed": 2**32}, "seed: expected a whole number from 0 to 4294967295, got 4294967296"),
    ],
)
def test_a_wrong_entry_is_named(content: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_config(Listed, content, "file")
    assert str(caught.value) == f"file: {message}"


def test_python_gives_numbers_not_texts() -> None:
    with pytest.raises(SettingsError, match=r"shares: expected .*, got '0.5' as entry 1"):
        Listed(shares=("0.5", 0.5))  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="price: expected a number, got '1'"):
        Listed(price="1")  # type: ignore[arg-type]


def test_a_config_made_in_python_is_checked_too() -> None:
    with pytest.raises(SettingsError, match=r"^rate: expected a number from 0 to 1, got 3"):
        Inner(rate=3)


def test_settings_from_elsewhere_may_be_missing_in_a_part() -> None:
    check_mapping(Outer, {"steps": 1}, "file", partial=True)
    with pytest.raises(SettingsError, match="missing setting 'name'"):
        check_mapping(Outer, {"steps": 1}, "file")


def test_only_what_decides_is_kept() -> None:
    assert deciding(Outer("a", inner=Inner(where=Path("x")))) == {
        "name": "a",
        "steps": 3,
        "kinds": [],
        "sizes": [1, 2],
        "inner": {"rate": 0.5},
    }


def test_every_setting_is_described() -> None:
    hints = setting_types(Outer)
    words = {one.name: expected(one, hints[one.name]) for one in fields(Outer)}
    assert words["name"] == "one of a, b"
    assert words["steps"] == "a whole number of at least 1 (rows), or nothing"
    assert words["kinds"] == "a list of any of x, y"
    assert words["inner"] == "settings (rate, where)"
