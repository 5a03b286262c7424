"""The records of the synthetic hospital's monitors and laboratory for one ICU stay.

Every present disease whose evidence is in the series gets a course (onset, ramp, plateau, recovery). A variable's path
is the patient's own baseline, plus additions by courses, pulled towards the levels that courses aim at; the most
extreme course wins. Noise that lasts for hours and reading noise are added. Readings are irregular; units and items
are mixed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dataset_builder.synthetic.patients import Finding, Stay, pick_weighted
from dataset_builder.synthetic.world import Charting, Course, Effect, World

EARLY_ONSET_HOURS = 30.0
PRESSURE_KEYS = ("mean_blood_pressure", "systolic_blood_pressure", "diastolic_blood_pressure")


@dataclass(frozen=True)
class ActiveEffect:
    """One effect of one patient's disease: `size` in the variable's unit, times in hours since ICU admission."""

    disease: str
    effect: Effect
    size: float
    knots: tuple[float, float, float, float]
    chronic: bool
    stay_hours: float

    def profile(self, hours: np.ndarray) -> np.ndarray:
        """How much of the effect shows at `hours`, 0 to 1."""
        if self.chronic:
            return np.ones_like(hours)
        return np.interp(hours, self.knots, (0.0, 1.0, 1.0, 0.0))

    @property
    def window(self) -> tuple[float, float]:
        """From when to when it shows, within the stay."""
        if self.chronic:
            return 0.0, round(self.stay_hours, 1)
        return round(self.knots[0], 1), round(min(self.knots[3], self.stay_hours), 1)


@dataclass
class Events:
    """Event columns under construction: seconds since ICU admission, item id, value."""

    seconds: list[np.ndarray] = field(default_factory=list)
    items: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)

    def add(self, hours: np.ndarray, item: int, values: np.ndarray) -> None:
        """Append readings of one item."""
        self.seconds.append(np.round(hours * 60).astype(np.int64) * 60)
        self.items.append(np.full(len(hours), item, dtype=np.int64))
        self.values.append(values)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(events,) seconds, (events,) item ids, (events,) values."""
        if not self.seconds:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
        return np.concatenate(self.seconds), np.concatenate(self.items), np.concatenate(self.values)


@dataclass
class Charted:
    """The events of one stay, and the short events without any meaning."""

    chart: tuple[np.ndarray, np.ndarray, np.ndarray]
    labs: tuple[np.ndarray, np.ndarray, np.ndarray]
    confounders: list[dict]


def plan_effects(
    world: World, findings: dict[str, Finding], hours: float, rng: np.random.Generator
) -> list[ActiveEffect]:
    """Draw the course of every disease that the series shows."""
    active = []
    for key, finding in findings.items():
        if not finding.in_series:
            continue
        courses = world.diseases[key].courses
        course = pick_weighted(rng, courses, [one.share for one in courses])
        severity = float(rng.beta(2.0, 2.0))
        scale = world.rates.mild_scale if rng.random() < world.rates.mild else 1.0
        knots = _knots(world, course, hours, rng)
        for effect in course.effects:
            if effect.chance < 1 and rng.random() >= effect.chance:
                continue
            own = min(1.0, max(0.0, severity + 0.12 * float(rng.standard_normal())))
            size = effect.mild + own * (effect.severe - effect.mild)
            if effect.kind == "spread":
                size = 1 + (size - 1) * scale
            elif effect.kind == "to":
                healthy = world.physiology[effect.variable].mean
                size = healthy + (size - healthy) * scale
            else:
                size *= scale
            active.append(ActiveEffect(key, effect, size, knots, course.chronic, hours))
    return active


def _knots(world: World, course: Course, hours: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    onset = float(rng.uniform(*course.onset))
    if rng.random() < world.rates.late_onset and hours > 2 * EARLY_ONSET_HOURS and not course.chronic:
        onset = float(rng.uniform(EARLY_ONSET_HOURS, hours - 24))
    onset = min(onset, 0.4 * hours)
    ramp = onset + max(float(rng.uniform(*course.ramp)), 0.05)
    plateau = ramp + float(rng.uniform(*course.plateau))
    return onset, ramp, plateau, plateau + max(float(rng.uniform(*course.recovery)), 0.05)


def describe_effects(active: list[ActiveEffect], disease: str) -> list[dict]:
    """The truth about one disease's course: variable, direction, from_hour, to_hour; all pressures move together."""
    described = []
    for one in active:
        if one.disease != disease:
            continue
        first, last = one.window
        names = PRESSURE_KEYS if one.effect.variable == PRESSURE_KEYS[0] else (one.effect.variable,)
        for name in names:
            described.append(
                {"variable": name, "direction": one.effect.direction, "from_hour": first, "to_hour": last}
            )
    return described


@lru_cache(maxsize=4)
def _memory_matrix(memory: float, size: int) -> np.ndarray:
    """(size, size) matrix that turns independent draws into noise of standard deviation 1 with hourly memory."""
    lag = np.arange(size)[:, None] - np.arange(size)[None, :]
    weights = np.where(lag >= 0, memory ** np.maximum(lag, 0), 0.0) * np.sqrt(1 - memory**2)
    weights[:, 0] /= np.sqrt(1 - memory**2)
    return weights


class StayChart:
    """Charts one stay. `active` are the effects of its diseases, `weight` is the patient's own in kg."""

    def __init__(
        self, world: World, stay: Stay, active: list[ActiveEffect], weight: float, rng: np.random.Generator
    ) -> None:
        self.world = world
        self.rng = rng
        self.hours = stay.hours
        self.active: dict[str, list[ActiveEffect]] = {}
        for one in active:
            self.active.setdefault(one.effect.variable, []).append(one)
        keys = list(world.physiology)
        draws = rng.standard_normal(len(keys))
        self.baseline = {
            key: world.physiology[key].mean + world.physiology[key].between * float(draw)
            for key, draw in zip(keys, draws, strict=True)
        }
        self.baseline["weight"] = weight
        grid = int(np.ceil(world.stay_limits_days[1] * 24)) + 2
        length = int(np.ceil(self.hours)) + 2
        matrix = _memory_matrix(world.memory, grid)[:length, :length]
        noise = rng.standard_normal((len(keys), length)) @ matrix.T
        self.lasting = dict(zip(keys, noise, strict=True))
        self.grid = np.arange(length, dtype=float)
        self.flow_until = 0.0
        if rng.random() < world.rates.low_flow_oxygen:
            self.flow_until = float(rng.uniform(4, 30))
            self.flow = float(rng.uniform(0.28, 0.40))
        shown = set(self.active)
        spare = [key for key in keys if key not in shown]
        self.missing = ""
        if spare and rng.random() < world.rates.not_charted * len(spare):
            self.missing = spare[int(rng.random() * len(spare))]
        self.confounders: list[dict] = []

    def path(self, key: str, hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(readings,) the variable's true value without noise, and the factor of its noise."""
        value = np.full(hours.shape, self.baseline[key])
        spread = np.ones(hours.shape)
        effects = self.active.get(key, [])
        for one in effects:
            if one.effect.kind == "by":
                value += one.size * one.profile(hours)
            elif one.effect.kind == "trend":
                first, last = one.window
                value += one.size * np.clip(hours - first, 0, last - first) / 24
            elif one.effect.kind == "spread":
                spread = np.maximum(spread, 1 + (one.size - 1) * one.profile(hours))
        start = value.copy()
        if key == "fraction_inspired_oxygen" and self.flow_until:
            value = np.where(hours < self.flow_until, np.maximum(value, self.flow), value)
        for one in effects:
            if one.effect.kind == "to":
                aim = start + (one.size - start) * one.profile(hours)
                value = np.maximum(value, aim) if one.effect.direction == "up" else np.minimum(value, aim)
        return value, spread

    def readings(self, key: str, hours: np.ndarray, *, disturb: bool = False) -> np.ndarray:
        """(readings,) noisy values within the body's limits; with `disturb`, a confounder may strike."""
        body = self.world.physiology[key]
        value, spread = self.path(key, hours)
        noise = body.drift * np.interp(hours, self.grid, self.lasting[key])
        noise += body.reading * self.rng.standard_normal(len(hours))
        value += spread * noise
        if disturb:
            self._disturb(key, hours, value)
        return np.clip(value, *body.limits)

    def _disturb(self, key: str, hours: np.ndarray, value: np.ndarray) -> None:
        for confounder in self.world.confounders:
            if confounder.variable != key or self.rng.random() >= confounder.share or not len(hours):
                continue
            at = int(self.rng.random() * len(hours))
            value[at : at + confounder.readings] += self.rng.uniform(*confounder.by)
            first = round(float(hours[at]), 1)
            self.confounders.append({"name": confounder.name, "variable": key, "at_hour": first})

    def times(self, charting: Charting, *, start: float = 0.1) -> np.ndarray:
        """(readings,) irregular charting times in hours; none after the stay."""
        split = min(self.hours, self.world.schedule.early_hours)
        found = []
        for gaps, first, last in ((charting.early, start, split), (charting.late, split, self.hours)):
            if last - first <= 0:
                continue
            count = int((last - first) / gaps[0]) + 1
            steps = self.rng.uniform(gaps[0], gaps[1], count)
            steps[0] *= float(self.rng.random())
            at = first + np.cumsum(steps)
            found.append(at[at < last])
        return np.concatenate(found) if found else np.empty(0)

    def kept(self, hours: np.ndarray, charting: Charting) -> np.ndarray:
        """(readings,) mask of the due values that are charted."""
        return self.rng.random(len(hours)) < charting.keep

    def shows(self, key: str) -> bool:
        """Whether a course shows in this variable."""
        return key in self.active

    def chart(self) -> Charted:
        """Chart everything."""
        chart, labs = Events(), Events()
        self._vitals(chart)
        if self.missing != "temperature":
            self._temperature(chart)
        if self.missing != "fraction_inspired_oxygen":
            self._oxygen(chart)
        if self.missing != "glucose":
            self._glucose(chart, labs)
        if self.missing != "ph":
            self._gases(chart, labs)
        if self.missing != "weight":
            self._weight(chart)
        return Charted(self._untidy(chart), labs.columns(), self.confounders)

    def _vitals(self, chart: Events) -> None:
        items, charting = self.world.items, self.world.schedule.vitals
        hours = self.times(charting)
        for key, name in (
            ("heart_rate", "heart_rate"),
            ("respiratory_rate", "respiratory_rate"),
            ("oxygen_saturation", "spo2"),
        ):
            if key != self.missing:
                charted = hours[self.kept(hours, charting)]
                chart.add(charted, items[name].itemid, np.round(self.readings(key, charted, disturb=True)))
        if self.missing != "mean_blood_pressure":
            self._pressures(chart, hours[self.kept(hours, charting)])

    def _pressures(self, chart: Events, hours: np.ndarray) -> None:
        items, rng = self.world.items, self.rng
        mean = self.readings("mean_blood_pressure", hours, disturb=True)
        center, between = self.world.pulse_ratio
        ratio = center + between * float(rng.standard_normal()) + 0.02 * rng.standard_normal(len(hours))
        ratio = np.clip(ratio, 0.3, 0.9)
        low = any(one.effect.direction == "down" for one in self.active.get("mean_blood_pressure", []))
        line = low or rng.random() < self.world.rates.arterial_line
        # Under an arterial line the cuff is still used now and then.
        invasive = (rng.random(len(hours)) < 0.88) if line else np.zeros(len(hours), dtype=bool)
        parts = {"systolic": mean * (1 + 2 / 3 * ratio), "diastolic": mean * (1 - ratio / 3), "mean": mean}
        for part, values in parts.items():
            rounded = np.round(values)
            for kind, chosen in (("abp", invasive), ("nbp", ~invasive)):
                if chosen.any():
                    chart.add(hours[chosen], items[f"{kind}_{part}"].itemid, rounded[chosen])

    def _temperature(self, chart: Events) -> None:
        items, charting, rates = self.world.items, self.world.schedule.temperature, self.world.rates
        hours = self.times(charting, start=0.3)
        hours = hours[self.kept(hours, charting)]
        celsius = self.readings("temperature", hours, disturb=True)
        draw = self.rng.random()
        if draw < rates.celsius:
            in_celsius = np.ones(len(hours), dtype=bool)
        elif draw < rates.celsius + rates.mixed_temperature:
            in_celsius = self.rng.random(len(hours)) < 0.5
        else:
            in_celsius = np.zeros(len(hours), dtype=bool)
        chart.add(hours[in_celsius], items["temperature_c"].itemid, np.round(celsius[in_celsius], 1))
        chart.add(hours[~in_celsius], items["temperature_f"].itemid, np.round(celsius[~in_celsius] * 1.8 + 32, 1))

    def _oxygen(self, chart: Events) -> None:
        charting = self.world.schedule.oxygen
        hours = self.times(charting, start=0.2)
        hours = hours[self.kept(hours, charting)]
        # Oxygen is set in steps of 5 %, and charted only while some is given.
        fraction = np.round(self.readings("fraction_inspired_oxygen", hours) * 20) / 20
        given = fraction > 0.27
        as_fraction = self.rng.random() < self.world.rates.fio2_as_fraction
        values = np.round(fraction, 2) if as_fraction else np.round(fraction * 100)
        chart.add(hours[given], self.world.items["fio2"].itemid, values[given])

    def _glucose(self, chart: Events, labs: Events) -> None:
        schedule, items = self.world.schedule, self.world.items
        hours = self.times(schedule.fingerstick, start=0.5)
        hours = hours[self.kept(hours, schedule.fingerstick)]
        chart.add(hours, items["fingerstick"].itemid, np.round(self.readings("glucose", hours, disturb=True)))
        drawn = self.times(schedule.chemistry, start=-5.0)
        drawn = drawn[self.kept(drawn, schedule.chemistry)]
        values = np.round(self.readings("glucose", drawn))
        labs.add(drawn, self.world.lab_items["blood_glucose"].itemid, values)
        copied = (drawn > 0) & (self.rng.random(len(drawn)) < 0.8)
        chart.add(drawn[copied], items["serum_glucose"].itemid, values[copied])

    def _gases(self, chart: Events, labs: Events) -> None:
        charting = self.world.schedule.gas
        if not self.shows("ph") and self.rng.random() >= self.world.rates.gas_taken:
            return
        hours = self.times(charting, start=0.4)
        hours = hours[self.kept(hours, charting)]
        values = np.round(self.readings("ph", hours), 2)
        labs.add(hours, self.world.lab_items["blood_ph"].itemid, values)
        copied = self.rng.random(len(hours)) < 0.75
        chart.add(hours[copied], self.world.items["arterial_ph"].itemid, values[copied])

    def _weight(self, chart: Events) -> None:
        items, charting = self.world.items, self.world.schedule.daily_weight
        first = np.array([float(self.rng.uniform(0.1, 2.5))])
        kilograms = np.round(self.readings("weight", first), 1)
        chart.add(first, items["admission_weight_kg"].itemid, kilograms)
        if self.rng.random() < 0.9:
            chart.add(first, items["admission_weight_lbs"].itemid, np.round(kilograms * 2.20462, 1))
        hours = self.times(charting, start=6.0)
        hours = hours[self.kept(hours, charting)]
        chart.add(hours, items["daily_weight"].itemid, np.round(self.readings("weight", hours), 1))

    def _untidy(self, chart: Events) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng, rates, items = self.rng, self.world.rates, self.world.items
        for artifact in self.world.artifacts:
            if rng.random() < artifact.share:
                at = np.array([float(rng.uniform(0, self.hours))])
                chart.add(at, items[artifact.item].itemid, np.array([artifact.value]))
        seconds, item, values = chart.columns()
        again = np.flatnonzero(rng.random(len(seconds)) < rates.duplicate_rows)
        order = np.concatenate([np.arange(len(seconds)), again])
        order = order[np.argsort(seconds[order], kind="stable")]
        if rng.random() < rates.shuffled:
            order = rng.permutation(order)
        seconds, item, values = seconds[order], item[order], values[order]
        if rng.random() < rates.events_outside_stay and len(seconds):
            some = rng.random(len(seconds)) < 0.03
            some[int(rng.random() * len(seconds))] = True
            last = int(self.hours * 3600)
            before = rng.random(len(seconds)) < 0.5
            away = rng.integers(600, 5 * 3600, len(seconds)) // 60 * 60
            seconds = np.where(some, np.where(before, -away, last + away), seconds)
        return seconds, item, values
