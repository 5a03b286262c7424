"""Structured notes: text written from tables for a source without notes, using only what is known at ICU admission."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

import ibis

from dataset_builder.cohort.expressions import hours_between, seconds
from dataset_builder.cohort.rejects import Rejects, most_frequent
from dataset_builder.cohort.session import read_table, store
from dataset_builder.cohort.stays import MAX_AGE
from dataset_builder.sources.locate import LocatedSource
from dataset_builder.storage.files import read_yaml

RESOURCES = files("dataset_builder.cohort") / "resources"


@lru_cache(maxsize=1)
def _template() -> Mapping[str, Any]:
    content: Mapping[str, Any] = read_yaml(RESOURCES / "structured_note.yaml")
    return content


def structured_notes(con: Any, located: LocatedSource, stays: ibis.Table, rejects: Rejects) -> dict[int, str]:
    """A note per stay of `stays` (see `dataset_builder.cohort.stays`), from rows dated before its ICU admission.

    Diagnosis codes, results of tests, and rows with a time after the ICU admission or none are never read; times that
    cannot be read are added to `rejects`.
    """
    has_admissions = "admissions" in located.source.tables
    admissions = _admissions_of_patients(con, located, stays) if has_admissions else _own_admissions(stays)
    entries = {
        table: _entries_before(con, located, admissions, table, rejects)
        for table in ("services", "prescriptions", "microbiology", "past_history")
        if table in located.paths
    }
    lists = {
        "service": _latest(entries.get("services"), earlier=False, limit=1),
        "drugs": _latest(entries.get("prescriptions"), earlier=False),
        "earlier_drugs": _latest(entries.get("prescriptions"), earlier=True),
        "cultures": _latest(entries.get("microbiology"), earlier=False),
        "past_history": _latest(entries.get("past_history"), earlier=False),
    }
    earlier = admissions.filter(admissions.is_earlier)
    earlier = earlier.group_by("stay_id").agg(count=earlier.count(), last=earlier.days_before.min()).to_pyarrow()
    history = {row["stay_id"]: row for row in earlier.to_pylist()}
    otherwise = "" if not has_admissions else _template()["no_earlier"]
    columns = ("stay_id", "age", "sex", "admission_type", "admission_location", "first_unit")
    notes = {}
    for row in stays.select(*columns).to_pyarrow().to_pylist():
        stay_id = row["stay_id"]
        entries_of_stay = {name: found.get(stay_id, []) for name, found in lists.items()}
        earlier_in_words = _earlier_in_words(history[stay_id]) if stay_id in history else otherwise
        notes[stay_id] = _write(row, earlier_in_words, entries_of_stay)
    return notes


def _admissions_of_patients(con: Any, located: LocatedSource, stays: ibis.Table) -> ibis.Table:
    """Per stay, its own admission and those of the same patient that had ended before it began."""
    admissions = read_table(con, located, "admissions").select("subject_id", "hadm_id", "discharge_time")
    keys = stays.select("stay_id", "subject_id", "in_time", "admit_time", stay_hadm_id="hadm_id")
    pairs = admissions.join(keys, "subject_id")
    days = hours_between(pairs.admit_time, pairs.discharge_time) / 24.0
    is_earlier = (pairs.hadm_id != pairs.stay_hadm_id) & (pairs.discharge_time <= pairs.admit_time)
    pairs = pairs.mutate(days_before=days.floor().cast("int64"), is_earlier=is_earlier.fill_null(False))
    pairs = pairs.filter(pairs.is_earlier | (pairs.hadm_id == pairs.stay_hadm_id))
    return store(con, "patient_admissions", pairs.drop("subject_id", "discharge_time"), located.paths["admissions"])


def _own_admissions(stays: ibis.Table) -> ibis.Table:
    """The same for a source that does not say which of a patient's admissions came first."""
    own = stays.select("stay_id", "hadm_id", "in_time", "admit_time", stay_hadm_id="hadm_id")
    return own.mutate(days_before=ibis.null("int64"), is_earlier=False)


def _entries_before(
    con: Any, located: LocatedSource, admissions: ibis.Table, table: str, rejects: Rejects
) -> ibis.Table:
    """Distinct entries of a table with their last time before the stay: stay_id, is_earlier, entry, last."""
    rows = read_table(con, located, table, forms=("time",))
    if "specimen" in rows.columns:
        rows = rows.mutate(name=rows.specimen.lower() + ibis.literal(": ") + rows.name.lower())
    elif table != "services":
        rows = rows.mutate(name=rows.name.strip().lower())
    key = "stay_id" if "stay_id" in rows.columns else "hadm_id"
    form = rows.time_form if "time_form" in rows.columns else ibis.null("string")
    rows = rows.select(key, "time", "name", form=form).join(admissions, key)
    limit = ibis.ifelse(rows.is_earlier, rows.admit_time, rows.in_time)
    last = seconds(rows.time) + (86400 if located.source.tables[table].whole_days else 0)
    # One pass over the table: what is before the stay, and how many rows there are of the cohort's and in which form.
    before = (last < seconds(limit)) & rows.name.notnull() & (rows.name != "")
    rows = rows.mutate(name=ibis.ifelse(before, rows.name, ibis.null("string")))
    rows = rows.group_by("stay_id", "is_earlier", "name", "form").agg(last=rows.time.max(), rows=rows.count())
    rows = store(con, f"{table}_before", rows, located.paths[table])
    counted = rows.group_by("form").agg(rows=rows["rows"].sum()).to_pyarrow().to_pylist()
    forms = {row["form"]: row["rows"] for row in counted if row["form"] is not None}
    known = sum(row["rows"] for row in counted)
    rejects.add(located.paths[table], known, {"no_time": sum(forms.values())}, most_frequent(forms))
    return rows.filter(rows.name.notnull()).select("stay_id", "is_earlier", "name", "last")


def _latest(entries: ibis.Table | None, *, earlier: bool, limit: int | None = None) -> dict[int, list[str]]:
    """Per stay the names, latest first (then by name), at most `limit`."""
    if entries is None:
        return {}
    entries = entries.filter(entries.is_earlier == earlier)
    rank = ibis.row_number().over(group_by="stay_id", order_by=[entries["last"].desc(), entries.name])
    ranked = entries.mutate(rank=rank)
    ranked = ranked.filter(ranked["rank"] < (limit or _template()["limit"])).order_by("stay_id", "rank").to_pyarrow()
    found: dict[int, list[str]] = {}
    for stay_id, name in zip(ranked["stay_id"].to_pylist(), ranked["name"].to_pylist(), strict=True):
        found.setdefault(stay_id, []).append(name)
    return found


def _earlier_in_words(history: Mapping[str, Any]) -> str:
    days = history["last"]
    return f"{history['count']}, the last ended {days} day{'' if days == 1 else 's'} before this admission"


def _write(row: Mapping[str, Any], earlier: str, lists: Mapping[str, list[str]]) -> str:
    template = _template()
    if row["age"] is None:
        age = ""
    elif row["age"] < MAX_AGE:
        age = f"{row['age']}-year-old "
    else:
        age = template["oldest"].format(age=MAX_AGE) + " "
    sex = template["sex"].get(row["sex"], template["sex"]["otherwise"])
    kind = template["admission_types"].get(row["admission_type"], (row["admission_type"] or "").lower())
    location = (row["admission_location"] or "").lower()
    services = [template["services"].get(name, name) for name in lists["service"]]
    fields = {
        "patient": f"{age}{sex}",
        "admission": f"{kind}, from {location}" if kind and location else kind or location,
        "service": ", ".join(services),
        "unit": row["first_unit"] or "",
        "earlier": earlier,
        "earlier_drugs": ", ".join(lists["earlier_drugs"]),
        "drugs": ", ".join(lists["drugs"]),
        "cultures": ", ".join(lists["cultures"]),
        "past_history": ", ".join(lists["past_history"]),
    }
    lines = [line for line in template["lines"] if all(fields[name] for name in fields if f"{{{name}}}" in line)]
    return "\n".join(line.format(**fields) for line in lines)
