"""The vocabulary of a model: its bedside variables, its diseases, and what is low, normal and high. A frozen value.

A cohort folder and a model's processor carry it, so that whoever reads either takes it from there. Nothing in the
project holds a vocabulary in a module: two of them can be used side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from .errors import SettingsError

VOCABULARY_FORMAT = 1
DIRECTIONS = ("low", "high", "rising", "falling", "erratic")
DEFAULT_RANGE_SET = "clinical"


@dataclass(frozen=True)
class Unit:
    """A unit that values of a variable may come in: `value * scale + offset` is in the variable's own unit.

    Spellings are compared without case and blanks.
    """

    spellings: tuple[str, ...]
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_own(self) -> bool:
        """Whether it is the variable's own unit, or a spelling of it."""
        return (self.scale, self.offset) == (1.0, 0.0)

    def to_own(self, values: Any) -> Any:
        """A value, or an array of any shape, in the variable's own unit."""
        return values * self.scale + self.offset


@dataclass(frozen=True)
class Scale:
    """How closely a variable is judged and reported, in its unit.

    Args:
        step: A number written with "about" or "near" is a multiple of this, so it is true within half a step.
        change: A rise or fall between the first and the last measurement of at least this much is a trend.
        swing: A mean step between consecutive measurements of at least this much is erratic.
    """

    step: float
    change: float
    swing: float


@dataclass(frozen=True)
class Range:
    """The normal range of one variable in one range set, in the variable's unit."""

    range_set: str
    low: float
    high: float


@dataclass(frozen=True)
class Condition:
    """Words that name a variable and state something of it at once ("febrile"). `says` is a level or a trend."""

    words: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class VariableWords:
    """How rationales speak of one variable.

    Args:
        names: Names besides the variable's name, short name and aliases.
        units: Spellings of units besides `Variable.units`, as (spelling, unit that it stands for).
        conditions: Words that imply the variable.
        extremes: Words for the variable's extreme, as (word, "max" or "min").
    """

    names: tuple[str, ...] = ()
    units: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    extremes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Variable:
    """One bedside variable.

    Args:
        key: Identifier, such as "heart_rate".
        name, short, aliases: Names in text and in the headers of CSV files.
        unit: The unit of all values.
        text_unit: The unit as a rationale writes it; "" where none is written.
        plausible: Lowest and highest value that can be, inclusive; what lies outside is a measurement error.
        fill: The paper's fill value, for the authors' layout only.
        decimals: Decimals with which the variable is charted.
        units: Units that a CSV or a text may give; the variable's own comes first.
        unitless: Whether a CSV column may come without a unit.
        ranges: Normal ranges, at most one for each range set; without one the variable is never judged.
        scale: None where nothing defines a change of this variable: no signs, and no claims about its trends.
        words: How rationales speak of it.
    """

    key: str
    name: str
    short: str
    unit: str
    text_unit: str
    plausible: tuple[float, float]
    fill: float
    decimals: int
    aliases: tuple[str, ...] = ()
    units: tuple[Unit, ...] = ()
    unitless: bool = False
    ranges: tuple[Range, ...] = ()
    scale: Scale | None = None
    words: VariableWords = VariableWords()


@dataclass(frozen=True)
class Disease:
    """One phenotype. `name` is the exact text that a model writes; `kind` is "acute" or "chronic"."""

    key: str
    name: str
    kind: str


@dataclass(frozen=True)
class RangeSet:
    """Normal ranges by variable key, in the variable's unit. A variable that is absent is never judged."""

    name: str
    low_inclusive: bool
    bounds: Mapping[str, tuple[float, float]]

    def level(self, key: str, value: float) -> str | None:
        """Return "low", "normal" or "high" for one value, or None when the variable has no range in this set."""
        if key not in self.bounds:
            return None
        low, high = self.bounds[key]
        if value < low or (self.low_inclusive and value == low):
            return "low"
        return "high" if value > high else "normal"


@dataclass(frozen=True)
class Vocabulary:
    """Variables and diseases in model order, and the range sets as (name, whether a value at the low bound is low).

    Two vocabularies with the same variables (keys, units, order) and the same diseases (keys, names, order) fit the
    same model: see `require_same`.
    """

    variables: tuple[Variable, ...]
    diseases: tuple[Disease, ...]
    range_sets: tuple[tuple[str, bool], ...]

    @cached_property
    def variable_keys(self) -> tuple[str, ...]:
        """Keys of the variables, in order."""
        return tuple(variable.key for variable in self.variables)

    @cached_property
    def disease_names(self) -> tuple[str, ...]:
        """Names of the diseases, in order."""
        return tuple(disease.name for disease in self.diseases)

    @cached_property
    def key_of_disease(self) -> Mapping[str, str]:
        """Disease keys by name."""
        return {disease.name: disease.key for disease in self.diseases}

    @cached_property
    def name_of_disease(self) -> Mapping[str, str]:
        """Disease names by key."""
        return {disease.key: disease.name for disease in self.diseases}

    def variable(self, key: str) -> Variable:
        """The variable with this key. Raises `KeyError` where there is none."""
        return self._variable_of_key[key]

    @cached_property
    def _variable_of_key(self) -> Mapping[str, Variable]:
        return {variable.key: variable for variable in self.variables}

    def range_set(self, name: str) -> RangeSet:
        """One range set. Raises `SettingsError` for an unknown name."""
        inclusive = dict(self.range_sets)
        if name not in inclusive:
            raise SettingsError(f"unknown range set '{name}'; choose one of {', '.join(sorted(inclusive))}")
        bounds = {
            variable.key: (found.low, found.high)
            for variable in self.variables
            for found in variable.ranges
            if found.range_set == name
        }
        return RangeSet(name, inclusive[name], bounds)

    def require_same(self, other: Vocabulary, here: str, there: str) -> None:
        """Refuse to read one vocabulary's data as another's.

        Args:
            other: The vocabulary to compare with.
            here, there: What carries this vocabulary and the other one, for the message.

        Raises:
            SettingsError: Variables, units, diseases or their order differ; both lists are in the message.
        """
        pairs = (
            (
                "variables",
                [f"{one.key} ({one.unit})" for one in self.variables],
                [f"{one.key} ({one.unit})" for one in other.variables],
            ),
            (
                "diseases",
                [f"{one.name} ({one.key})" for one in self.diseases],
                [f"{one.name} ({one.key})" for one in other.diseases],
            ),
        )
        for what, own, theirs in pairs:
            if own != theirs:
                raise SettingsError(
                    f"{here} and {there} have different {what}: {here} has {', '.join(own)}; {there} has "
                    f"{', '.join(theirs)}; use a model and data of one vocabulary, or build and train again"
                )

    def require_same_ranges(self, other: Vocabulary, range_set: str, here: str, there: str) -> None:
        """Refuse rationales that call other values low or high than the model learned.

        Args:
            other: The vocabulary to compare with; it has the same variables (`require_same`).
            range_set: The range set to compare.
            here, there: What carries this vocabulary and the other one, for the message.

        Raises:
            SettingsError: One of them has no such range set, or it differs; the message names the first variable.
        """
        own, theirs = self.range_set(range_set), other.range_set(range_set)
        if own == theirs:
            return
        keys = [key for key in self.variable_keys if own.bounds.get(key) != theirs.bounds.get(key)]
        what = (
            f"{keys[0]} has {own.bounds.get(keys[0])} in {here} and {theirs.bounds.get(keys[0])} in {there}"
            if keys
            else "a value at the low bound is low in one of them only"
        )
        raise SettingsError(
            f"{here} and {there} have different ranges in the range set '{range_set}': {what}; "
            "use a model and data of one vocabulary, or build and train again"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able content, which `from_dict` reads."""
        return {"format": VOCABULARY_FORMAT, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str = "the vocabulary") -> Vocabulary:
        """Read what `to_dict` wrote. Raises `SettingsError` that begins with `where` for any other content."""
        if content.get("format") != VOCABULARY_FORMAT:
            raise SettingsError(
                f"{where}: has vocabulary format {content.get('format')}, this version reads {VOCABULARY_FORMAT}; "
                "build the cohort and train the model again with this version"
            )
        try:
            return cls(
                variables=tuple(_variable(entry) for entry in content["variables"]),
                diseases=tuple(Disease(**entry) for entry in content["diseases"]),
                range_sets=tuple((str(name), bool(inclusive)) for name, inclusive in content["range_sets"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{where}: malformed vocabulary ({error}); make the folder again") from error


def _variable(entry: Mapping[str, Any]) -> Variable:
    words, scale = entry["words"], entry["scale"]
    return Variable(
        **{
            **entry,
            "plausible": tuple(entry["plausible"]),
            "aliases": tuple(entry["aliases"]),
            "units": tuple(Unit(**{**unit, "spellings": tuple(unit["spellings"])}) for unit in entry["units"]),
            "ranges": tuple(Range(**found) for found in entry["ranges"]),
            "scale": None if scale is None else Scale(**scale),
            "words": VariableWords(
                names=tuple(words["names"]),
                units=tuple((spelling, unit) for spelling, unit in words["units"]),
                conditions=tuple(Condition(tuple(one["words"]), one["says"]) for one in words["conditions"]),
                extremes=tuple((word, extreme) for word, extreme in words["extremes"]),
            ),
        }
    )


__all__ = [
    "DEFAULT_RANGE_SET",
    "DIRECTIONS",
    "Condition",
    "Disease",
    "Range",
    "RangeSet",
    "Scale",
    "Unit",
    "Variable",
    "VariableWords",
    "Vocabulary",
]
