"""The parts of a synthetic hospital's world; `world_file` reads them from world.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effect:
    """Effect of a course on one variable. `kind`: to, by, trend (per day) or spread; sizes in the variable's unit."""

    variable: str
    kind: str
    mild: float
    severe: float
    chance: float

    @property
    def direction(self) -> str:
        """ "up", "down" or "erratic"; of a level, seen from a healthy value (mild is nearer to it)."""
        if self.kind == "spread":
            return "erratic"
        rising = self.severe > self.mild if self.kind == "to" else self.severe > 0
        return "up" if rising else "down"


@dataclass(frozen=True)
class Course:
    """A course over time; all times in hours. `chronic`: the whole stay, the times are unused."""

    share: float
    chronic: bool
    onset: tuple[float, float]
    ramp: tuple[float, float]
    plateau: tuple[float, float]
    recovery: tuple[float, float]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class WorldDisease:
    """One disease of the world; `evidence` weighs how a patient's evidence is realised."""

    key: str
    chronic: bool
    prevalence: float
    loadings: dict[str, float]
    evidence: dict[str, float]
    group: str
    courses: tuple[Course, ...]
    codes: dict[int, tuple[str, ...]]
    drugs: tuple[str, ...]
    mortality: float
    service: str


@dataclass(frozen=True)
class Physiology:
    """A healthy variable: baseline between patients, lasting and reading noise (standard deviations), its limits."""

    mean: float
    between: float
    drift: float
    reading: float
    limits: tuple[float, float]
    decimals: int


@dataclass(frozen=True)
class Charting:
    """Hours between readings, early and late in the stay, and the share of due values that is charted."""

    early: tuple[float, float]
    late: tuple[float, float]
    keep: float


@dataclass(frozen=True)
class Schedule:
    """How often each group of measurements is charted."""

    early_hours: float
    vitals: Charting
    temperature: Charting
    oxygen: Charting
    fingerstick: Charting
    chemistry: Charting
    gas: Charting
    daily_weight: Charting


@dataclass(frozen=True)
class Confounder:
    """A short event without any meaning."""

    name: str
    variable: str
    by: tuple[float, float]
    readings: int
    share: float


@dataclass(frozen=True)
class Artifact:
    """One implausible reading, as charted."""

    item: str
    value: float
    share: float


@dataclass(frozen=True)
class Rates:
    """Shares (0 to 1) of everything that makes the tables untidy; see world.yaml for each one's denominator."""

    second_admission: float
    second_icu_stay: float
    icu_transfer: float
    events_outside_stay: float
    icd9: float
    uncoded: float
    mild: float
    mild_scale: float
    late_onset: float
    low_flow_oxygen: float
    gas_taken: float
    arterial_line: float
    not_charted: float
    celsius: float
    mixed_temperature: float
    fio2_as_fraction: float
    duplicate_rows: float
    shuffled: float
    base_mortality: float


@dataclass(frozen=True)
class NoteRules:
    """How many mentions, conditions and drugs a note has, how often a phrase is elsewhere too, which organs."""

    mentions: tuple[float, float]
    kinds: dict[str, float]
    second_phrase: float
    history_in_opening: float
    conditions: tuple[float, float]
    general_drugs: tuple[float, float]
    organs: float


@dataclass(frozen=True)
class Item:
    """A row of d_items or d_labitems."""

    itemid: int
    label: str
    abbreviation: str
    fluid: str
    category: str
    unit: str
    normal: tuple[float, float] | None


@dataclass(frozen=True)
class Condition:
    """A condition other than the diseases. Codes may be "" (not coded), `sex` "" (any).

    `surgical`: a past operation, which is only in the list of past history.
    """

    names: tuple[str, ...]
    drug: str
    codes: dict[int, str]
    sex: str
    surgical: bool


@dataclass(frozen=True)
class Service:
    """A clinical service: its intensive care units, its ward and its name in a note."""

    units: tuple[str, ...]
    ward: str
    note: str


@dataclass(frozen=True)
class World:
    """Everything the generator interprets."""

    factors: tuple[str, ...]
    exclusive: tuple[tuple[str, str], ...]
    groups: dict[str, tuple[str, ...]]
    diseases: dict[str, WorldDisease]
    physiology: dict[str, Physiology]
    pulse_ratio: tuple[float, float]
    memory: float
    schedule: Schedule
    confounders: tuple[Confounder, ...]
    artifacts: tuple[Artifact, ...]
    rates: Rates
    stay_median_days: float
    stay_sigma: float
    stay_limits_days: tuple[float, float]
    age: tuple[float, float]
    age_limits: tuple[float, float]
    notes: NoteRules
    services: dict[str, Service]
    registration: dict[str, tuple[str, ...]]
    items: dict[str, Item]
    lab_items: dict[str, Item]
    conditions: tuple[Condition, ...]
    ward_drugs: tuple[str, ...]
    home_drugs: tuple[str, ...]
