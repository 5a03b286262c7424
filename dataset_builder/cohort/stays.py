"""Selects the ICU stays that become examples: the filters of mimic3-benchmarks' phenotyping, by name and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ibis

from dataset_builder.cohort.expressions import hours_between, number_in
from dataset_builder.cohort.rejects import Rejects, most_frequent
from dataset_builder.cohort.session import count_rows, read_table, store
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.sources.spec import COLUMN_TYPES
from modeling_clinragen.errors import InputDataError

ADULT_AGE = 18
MAX_AGE = 90  # MIMIC groups everyone older; the exact age of such a patient is not in the data


def select_stays(
    con: Any, located: LocatedSource, filters: Sequence[str], rejects: Rejects
) -> tuple[ibis.Table, list[dict[str, Any]]]:
    """The stays that pass every filter but "has_events", and the count of stays left after each filter.

    Times that cannot be read are added to `rejects`.

    Columns: subject_id, hadm_id, stay_id, in_time, admit_time, stay_hours, age, sex, admission_type,
    admission_location, first_unit, race, insurance; the last two are null where the source does not say.
    """
    keys = {"stays": "stay_id", "admissions": "hadm_id", "patients": "subject_id"}
    tables = {}
    for name, key in keys.items():
        if name not in located.source.tables:
            continue
        times = [column for column, kind in COLUMN_TYPES.items() if kind == "timestamp"]
        read = read_table(con, located, name, forms=times)
        tables[name] = store(con, f"{name}_read", read, located.paths[name])
        _check_ids(tables[name], located, name, only_one=key)
    for name, table in tables.items():
        _count_unreadable_times(table, located, name, rejects)
        tables[name] = table.drop(*(column for column in table.columns if column.endswith("_form")))
    stays = tables["stays"]
    for name, key in (("admissions", "hadm_id"), ("patients", "subject_id")):
        if name in tables and key in stays.columns:
            lost = count_rows(stays.anti_join(tables[name], key))
            if lost:
                column = located.source.tables["stays"].columns[key]
                raise InputDataError(
                    f"{located.paths['stays']}: {lost} stays have a '{column}' that {located.paths[name]} lacks; use "
                    "tables of one version, as they were published"
                )
    if "admissions" in tables:
        stays = stays.drop("subject_id").join(tables["admissions"], "hadm_id")
    if "patients" in tables:
        stays = stays.join(tables["patients"], "subject_id")
    if "subject_code" in stays.columns:
        stays = _number_subjects(stays, located)
    hours = hours_between(stays.out_time, stays.in_time)
    stays = stays.mutate(stay_hours=hours, age=_age(stays).clip(upper=MAX_AGE))
    stays = store(con, "all_stays", stays.filter(stays.stay_hours > 0))
    steps: dict[str, Callable[[ibis.Table], ibis.Table]] = {
        "no_transfers": _no_transfers,
        "single_stay": _single_stay,
        "adults": lambda table: table.filter(table.age >= ADULT_AGE),
    }
    # Without the table the labels of every stay are unknown, and recorded as such.
    if "diagnoses" in located.paths:
        steps["coded"] = _coded(con, located)
    counts = [
        {"filter": "all ICU stays", "stays": count_rows(tables["stays"])},
        {"filter": "known_times", "stays": count_rows(stays)},
    ]
    for name in filters:
        if name in steps:
            stays = steps[name](stays)
            counts.append({"filter": name, "stays": count_rows(stays)})
    said = {name: stays[name] if name in stays.columns else ibis.null("string") for name in ("race", "insurance")}
    columns = ["subject_id", "hadm_id", "stay_id", "in_time", "admit_time", "stay_hours", "age", "sex"]
    columns += ["admission_type", "admission_location", "first_unit"]
    return store(con, "cohort", stays.select(*columns, **said)), counts


def refuse_empty(
    counts: Sequence[Mapping[str, Any]], located: LocatedSource, reject_log: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Raises `InputDataError` naming the first filter that left no stay, and why no measurement was used."""
    for step in counts:
        if step["stays"] == 0:
            reasons: Counter[str] = Counter()
            for item in reject_log:
                reasons.update(item["rejected"])
            why = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
            times = step["filter"] == "known_times" or "no_time" in reasons
            raise InputDataError(
                f"{located.root}: no ICU stay is left after the cohort filter '{step['filter']}'"
                + (f" (measurements rejected: {why})" if why else "")
                + "; check that the tables belong together"
                + (" and that times are written like 2150-03-01 09:00:00" if times else "")
                + ", or skip filters (skip_filters)"
            )


def _check_ids(table: ibis.Table, located: LocatedSource, name: str, *, only_one: str | None = None) -> None:
    """Refuse ids that are not numbers, and repeated values of the column `only_one`."""
    keys = [key for key in ("subject_id", "hadm_id", "stay_id") if key in table.columns]
    counts = {"rows": table.count(), **{key: table[key].count() for key in keys}}
    if only_one is not None:
        counts["different"] = table[only_one].nunique()
    (found,) = table.aggregate(**counts).to_pyarrow().to_pylist()
    columns = located.source.tables[name].columns
    for key in keys:
        if found[key] != found["rows"]:
            raise InputDataError(
                f"{located.paths[name]}: column '{columns[key]}' has values that are not integers (at most 18 "
                "digits); use the table as it was published"
            )
    if only_one is not None and found["different"] != found["rows"]:
        raise InputDataError(
            f"{located.paths[name]}: column '{columns[only_one]}' has duplicate values; keep one row of each"
        )


def _count_unreadable_times(table: ibis.Table, located: LocatedSource, name: str, rejects: Rejects) -> None:
    for column in (column for column in table.columns if column.endswith("_form")):
        found = table.group_by(form=table[column]).agg(rows=table.count()).to_pyarrow().to_pylist()
        forms = {row["form"]: row["rows"] for row in found if row["form"] is not None}
        rows = sum(row["rows"] for row in found)
        rejects.add(located.paths[name], rows, {"no_time": sum(forms.values())}, most_frequent(forms))


def _number_subjects(stays: ibis.Table, located: LocatedSource) -> ibis.Table:
    """Patients that are named "<digits>-<digits>" by number: first part times 10^9, plus the second; reversible."""
    first, second = (stays.subject_code.re_extract("^([0-9]{1,9})-([0-9]{1,9})$", part) for part in (1, 2))
    fits = stays.subject_code.re_search("^[0-9]{1,9}-[0-9]{1,9}$").fill_null(False)
    if count_rows(stays.filter(~fits)):
        column = located.source.tables["stays"].columns["subject_code"]
        raise InputDataError(
            f"{located.paths['stays']}: column '{column}' has values that are not patient names (two numbers with a "
            "hyphen); use the table as it was published"
        )
    return stays.mutate(subject_id=first.cast("int64") * 1_000_000_000 + second.cast("int64"))


def _coded(con: Any, located: LocatedSource) -> Callable[[ibis.Table], ibis.Table]:
    diagnoses = read_table(con, located, "diagnoses")
    diagnoses = diagnoses.filter(diagnoses.icd_code.strip() != "")
    coded_by = "stay_id" if "stay_id" in diagnoses.columns else "hadm_id"
    coded = store(con, "coded", diagnoses.select(coded_by).distinct(), located.paths["diagnoses"])
    _check_ids(coded, located, "diagnoses")
    return lambda table: table.semi_join(coded, coded_by)


def _no_transfers(stays: ibis.Table) -> ibis.Table:
    stays = stays.filter(stays.first_unit == stays.last_unit)
    return stays.filter(stays.first_ward == stays.last_ward) if "first_ward" in stays.columns else stays


def _single_stay(stays: ibis.Table) -> ibis.Table:
    alone = stays.group_by("hadm_id").agg(stays=stays.count())
    return stays.semi_join(alone.filter(alone.stays == 1), "hadm_id")


def _age(stays: ibis.Table) -> ibis.Column:
    """Age in years at admission: written ("87", "> 89"), by birth time, or by a year with a known age."""
    if "age" in stays.columns:
        return ibis.ifelse(stays.age.contains(">"), MAX_AGE, number_in(stays.age).cast("int64"))
    if "birth_time" in stays.columns:
        born, now = stays.birth_time, stays.admit_time
        before_birthday = (now.month() * 100 + now.day()) < (born.month() * 100 + born.day())
        return (now.year() - born.year() - before_birthday.cast("int64")).cast("int64")
    return (stays.anchor_age + stays.admit_time.year() - stays.anchor_year).cast("int64")
