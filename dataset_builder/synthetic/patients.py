"""Patients of the synthetic hospital: their demographics, diseases and stays.

Diseases follow a Gaussian liability model: a disease is present when its liability, a weighted sum of a few latent
factors and its own noise, exceeds the threshold of its prevalence. Prevalences are therefore exact by construction and
correlations come from shared factors. Two diseases that exclude each other share one liability; the first takes its
upper end. On a later admission the factors and the chronic diseases stay, the acute ones are drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from dataset_builder.synthetic.identifiers import ADMISSIONS_EACH, STAYS_EACH, identifier
from dataset_builder.synthetic.world import World

T = TypeVar("T")


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of `choices`, all equally likely. (Much faster than `rng.choice` for one draw.)"""
    return choices[int(rng.random() * len(choices))]


def pick_weighted(rng: np.random.Generator, choices: Sequence[T], weights: Sequence[float]) -> T:
    """One of `choices` with the given weights."""
    left = rng.random() * sum(weights)
    for choice, weight in zip(choices, weights, strict=True):
        left -= weight
        if left < 0:
            return choice
    return choices[-1]


@dataclass(frozen=True)
class Finding:
    """A present disease: how its evidence shows (a key of `WorldDisease.evidence`), and whether it is coded."""

    evidence: str
    coded: bool

    @property
    def in_note(self) -> bool:
        """Whether the admission part of the note speaks of it."""
        return self.evidence != "labs"

    @property
    def in_series(self) -> bool:
        """Whether the series shows its course."""
        return self.evidence != "note"


@dataclass(frozen=True)
class Stay:
    """One ICU stay."""

    stay_id: int
    intime: datetime
    outtime: datetime
    first_unit: str
    last_unit: str

    @property
    def hours(self) -> float:
        """Length in hours."""
        return (self.outtime - self.intime).total_seconds() / 3600


@dataclass(frozen=True)
class Admission:
    """One hospital admission with one or two ICU stays."""

    hadm_id: int
    number: int
    admittime: datetime
    dischtime: datetime
    icd_version: int
    service: str
    died: bool
    findings: dict[str, Finding]
    stays: tuple[Stay, ...]


@dataclass(frozen=True)
class Patient:
    """One person; `anchor_age` is the age in `anchor_year`, `weight` in kg."""

    index: int
    subject_id: int
    gender: str
    anchor_age: int
    anchor_year: int
    anchor_year_group: str
    died: datetime | None
    weight: float
    admissions: tuple[Admission, ...]


class PatientMaker:
    """Draws patients from a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = tuple(world.diseases)
        index = {name: n for n, name in enumerate(world.factors)}
        self.loadings = np.zeros((len(self.keys), len(world.factors)))
        for row, disease in enumerate(world.diseases.values()):
            for name, value in disease.loadings.items():
                self.loadings[row, index[name]] = value
        self.own = np.sqrt(1 - (self.loadings**2).sum(axis=1))
        self.chronic = np.array([disease.chronic for disease in world.diseases.values()])
        self.low = np.array([_threshold(disease.prevalence) for disease in world.diseases.values()])
        self.high = np.full(len(self.keys), np.inf)
        self.source = np.arange(len(self.keys))
        for upper, lower in world.exclusive:
            first, second = self.keys.index(upper), self.keys.index(lower)
            both = world.diseases[upper].prevalence + world.diseases[lower].prevalence
            self.source[second] = first
            self.high[second] = self.low[first]
            self.low[second] = _threshold(both)
        self.age_factor = index["age"]

    def make(self, index: int, rng: np.random.Generator) -> Patient:
        """Draw patient `index`."""
        world = self.world
        factors = rng.standard_normal(len(world.factors))
        own = rng.standard_normal(len(self.keys))
        age = float(np.clip(world.age[0] + world.age[1] * factors[self.age_factor], *world.age_limits))
        gender = "F" if rng.random() < 0.45 else "M"
        body = world.physiology["weight"]
        weight = body.mean + (-6.0 if gender == "F" else 5.0) + body.between * rng.standard_normal()
        year = int(rng.integers(2110, 2200))
        admissions: list[Admission] = []
        start = datetime(year, 1, 1) + timedelta(minutes=int(rng.integers(0, 365 * 24 * 60)))
        for number in range(2 if rng.random() < world.rates.second_admission else 1):
            if number:
                own = np.where(self.chronic, own, rng.standard_normal(len(self.keys)))
                start = admissions[0].dischtime + timedelta(minutes=int(rng.integers(20, 900) * 1440 + 60))
            admissions.append(self._admission(index, number, start, self._present(factors, own), rng))
            if admissions[0].died:
                break
        last = admissions[-1]
        return Patient(
            index=index,
            subject_id=identifier(10_000_000, index),
            gender=gender,
            anchor_age=round(age),
            anchor_year=year,
            anchor_year_group=pick(rng, world.registration["anchor_year_group"]),
            died=last.dischtime if last.died else None,
            weight=float(np.clip(weight, 42, 170)),
            admissions=tuple(admissions),
        )

    def _present(self, factors: np.ndarray, own: np.ndarray) -> list[str]:
        liability = (self.loadings @ factors + self.own * own)[self.source]
        present = (liability > self.low) & (liability <= self.high)
        return [key for key, here in zip(self.keys, present, strict=True) if here]

    def _admission(
        self, index: int, number: int, start: datetime, present: list[str], rng: np.random.Generator
    ) -> Admission:
        world = self.world
        findings = {}
        for key in present:
            evidence = world.diseases[key].evidence
            realised = pick_weighted(rng, tuple(evidence), tuple(evidence.values()))
            findings[key] = Finding(realised, bool(rng.random() >= world.rates.uncoded))
        wanted = [world.diseases[key].service for key in present if world.diseases[key].service]
        service = pick(rng, wanted) if wanted else next(iter(world.services))
        into = start + timedelta(minutes=int(rng.integers(40, 600)), seconds=int(rng.integers(0, 60)))
        serial = (index * ADMISSIONS_EACH + number) * (STAYS_EACH // ADMISSIONS_EACH)
        twice = rng.random() < world.rates.second_icu_stay
        # Only the first stay has a truth: it must not be dropped for a transfer and leave the second one alone.
        moves = not twice and rng.random() < world.rates.icu_transfer
        stays = [self._stay(serial, into, service, moves, rng)]
        if twice:
            again = stays[0].outtime + timedelta(minutes=int(rng.integers(600, 4000)))
            stays.append(self._stay(serial + 1, again, service, False, rng))
        risk = world.rates.base_mortality + sum(world.diseases[key].mortality for key in present)
        died = bool(rng.random() < min(risk, 0.6))
        after = int(rng.integers(20, 400)) if died else int(rng.integers(900, 9000))
        return Admission(
            hadm_id=identifier(20_000_000, index * ADMISSIONS_EACH + number),
            number=number,
            admittime=start,
            dischtime=stays[-1].outtime + timedelta(minutes=after),
            icd_version=9 if rng.random() < world.rates.icd9 else 10,
            service=service,
            died=died,
            findings=findings,
            stays=tuple(stays),
        )

    def _stay(self, serial: int, into: datetime, service: str, moves: bool, rng: np.random.Generator) -> Stay:
        world = self.world
        days = world.stay_median_days * float(np.exp(world.stay_sigma * rng.standard_normal()))
        days = float(np.clip(days, *world.stay_limits_days))
        units = world.services[service].units
        first = pick(rng, units)
        last = first
        if moves:
            every = [unit for known in world.services.values() for unit in known.units if unit != first]
            last = pick(rng, every)
        out = into + timedelta(seconds=int(days * 86400))
        return Stay(identifier(30_000_000, serial), into, out, first, last)


def _threshold(prevalence: float) -> float:
    return NormalDist().inv_cdf(1 - prevalence) if prevalence > 0 else float("inf")
