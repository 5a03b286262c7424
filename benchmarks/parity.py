"""Compares our MIMIC-III cohort with that of the original mimic3-benchmarks code on the same tables.

    python benchmarks/parity.py [--root MIMIC-III-DEMO] [--oracle FOLDER]

Both folders default to the reference data ($CLINRAGEN_SHARED, or ../shared beside the project). Prints labels and
series, variable by variable, and writes benchmarks/results/parity.json. Ends with an error when a label differs, when
a value differs for no reason listed in parity_deviations.yaml, or when under 99.9 % of the values agree.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml
from machine import SHARED, commit

from dataset_builder.cohort.build import build_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.schema import SPLITS
from dataset_builder.sources.spec import load_source
from dataset_builder.storage.files import write_json
from modeling_clinragen.vocabulary_clinragen import Variable

ROOT = Path(__file__).resolve().parent.parent
DEVIATIONS = Path(__file__).with_name("parity_deviations.yaml")
PACKAGES = ("duckdb", "ibis-framework", "pandas", "pyarrow")
REQUIRED = 0.999
# float32, and the original's 0.453592 for a pound
TOLERANCE = 1e-5


@dataclass
class Tally:
    """The cells of one variable: both agree, differ for a listed reason, differ for none."""

    same: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0


class RawRows:
    """The tables' own rows of one variable at one time of one stay, read with pandas alone."""

    def __init__(self, root: Path, body_fluids: Mapping[str, list[int]]) -> None:
        items = {int(item.item): item.variable for item in load_source("mimic-iii", shipped_definitions()).items}
        self.body_fluids = {item for listed in body_fluids.values() for item in listed}
        items |= {item: variable for variable, listed in body_fluids.items() for item in listed}
        self.stays = pd.read_csv(root / "ICUSTAYS.csv.gz", parse_dates=["intime"]).set_index("icustay_id")
        columns = ["subject_id", "hadm_id", "itemid", "charttime", "value", "valuenum"]
        read = {"value": str, "charttime": str}
        chart = pd.read_csv(root / "CHARTEVENTS.csv.gz", usecols=[*columns, "error"], dtype=read)
        lab = pd.read_csv(root / "LABEVENTS.csv.gz", usecols=columns, dtype=read)
        rows = pd.concat([chart, lab])
        rows = rows[rows.itemid.isin(items)]
        number = pd.to_numeric(rows.value, errors="coerce").fillna(rows.valuenum)
        rows = rows.assign(variable=rows.itemid.map(items), number=number)
        self.rows: dict[Any, pd.DataFrame] = dict(iter(rows.groupby("subject_id")))

    def at(self, stay_id: int, hours: float, variable: str) -> pd.DataFrame:
        """The rows, most often one or two."""
        stay = self.stays.loc[stay_id]
        time = stay.intime + pd.Timedelta(seconds=round(hours * 3600))
        rows = self.rows[stay.subject_id]
        return rows[(rows.variable == variable) & (rows.charttime == str(time))]


def same(left: float, right: float) -> bool:
    """Whether two values are one, up to rounding."""
    return abs(left - right) <= TOLERANCE * max(1.0, abs(right))


def explain(theirs: float | None, ours: float | None, rows: pd.DataFrame, variable: Variable, fluids: set[int]) -> str:
    """The id of the deviation that explains a difference, or ""; `rows` are the raw rows of the cell."""
    if theirs is None:
        without_admission = len(rows) > 0 and bool(rows.hadm_id.isna().all())
        without_text = len(rows) > 0 and bool(rows.value.isna().all())
        return "row_without_admission" if without_admission else "number_without_text" if without_text else ""
    low, high = variable.plausible
    if not low <= theirs <= high:
        return "implausible_value"
    # The rows that the original's value can come from, by any of its conversions.
    numbers = rows.number.to_numpy() if len(rows) else np.array([])
    scaled = [numbers * scale for scale in (1, 0.01, 100, 0.453592, 0.453592 / 16)]
    made = np.stack([*scaled, (numbers - 32) / 1.8])
    origin = rows[np.isclose(made, theirs, rtol=TOLERANCE).any(axis=0)] if len(rows) else rows
    if not len(origin):
        return ""
    if (origin.error == 1).all():
        return "charted_in_error"
    if origin.itemid.isin(fluids).all():
        return "body_fluid_item"
    if ours is None:
        return ""
    if variable.key == "fraction_inspired_oxygen" and same(theirs * 100, ours):
        return "fraction_divided"
    if variable.key == "temperature" and (same((theirs - 32) / 1.8, ours) or same(ours * 1.8 + 32, theirs)):
        return "temperature_scale"
    return ""


def cells(hours: Any, values: Any) -> dict[float, float]:
    """Values by time, without the missing ones; times as float32, which is what we store."""
    pairs = zip(np.asarray(hours, np.float32).tolist(), values, strict=True)
    return {hour: float(value) for hour, value in pairs if value is not None and not np.isnan(float(value))}


def differing(
    theirs: Mapping[float, float], ours: Mapping[float, float]
) -> Iterator[tuple[float, float | None, float | None]]:
    """Times at which the two sides are not the same, with both values."""
    for hour in sorted({*theirs, *ours}):
        left, right = theirs.get(hour), ours.get(hour)
        if left is None or right is None or not same(left, right):
            yield hour, left, right


def column_of(name: str, columns: pd.Index) -> str:
    """The column of a variable or disease in the original's files, which write the same names in another case."""
    return next(column for column in columns if column.lower() == name.lower())


def compare(root: Path, oracle: Path, cohort: Path) -> dict[str, Any]:
    """Labels and series of every stay of `oracle` against the built `cohort`."""
    deviations = {entry["id"]: entry for entry in yaml.safe_load(DEVIATIONS.read_text(encoding="utf-8"))}
    raw = RawRows(root, deviations["body_fluid_item"]["items"])
    vocabulary = shipped_definitions().vocabulary
    variables, diseases = vocabulary.variables, vocabulary.diseases
    examples = [row for split in SPLITS for row in pq.read_table(cohort / "data" / f"{split}.parquet").to_pylist()]
    by_stay = {row["stay_id"]: row for row in examples}
    listed = pd.read_csv(oracle / "listfile.csv").set_index("stay")
    given = pd.read_csv(oracle / "stays.csv")
    tallies = {variable.key: Tally() for variable in variables}
    wrong_labels = {disease.key: 0 for disease in diseases}
    missing = [stay for stay in given.icustay_id.tolist() if stay not in by_stay]
    for file, stay_id in zip(given.stay.tolist(), given.icustay_id.tolist(), strict=True):
        if stay_id in missing:
            continue
        row, expected = by_stay[stay_id], listed.loc[file]
        for disease, label in zip(diseases, row["labels"], strict=True):
            wrong_labels[disease.key] += int(expected[column_of(disease.name, listed.columns)] != label)
        series = pd.read_csv(oracle / file)
        inside = (series.Hours > -1e-6) & (series.Hours < expected["period_length"] + 1e-6)
        series = series[inside]
        for number, variable in enumerate(variables):
            tally = tallies[variable.key]
            theirs = cells(series.Hours, series[column_of(variable.name, series.columns)])
            ours = cells(row["lab_hours"], [values[number] for values in row["lab_values"]])
            count = len({*theirs, *ours})
            for hour, left, right in differing(theirs, ours):
                count -= 1
                rows = raw.at(stay_id, hour, variable.key)
                reason = explain(left, right, rows, variable, raw.body_fluids)
                if reason:
                    tally.explained[reason] += 1
                else:
                    tally.unexplained += 1
            tally.same += count
    apart = {key for key, entry in deviations.items() if entry["counted"] == "apart"}
    return {
        "stays": {"original": len(given), "missing_here": len(missing), "ours": len(examples)},
        "labels": {"compared": len(diseases) * (len(given) - len(missing)), "different": sum(wrong_labels.values())},
        "variables": {
            key: {
                "same": tally.same,
                "explained": dict(sorted(tally.explained.items())),
                "unexplained": tally.unexplained,
                "agreement": agreement([tally], apart),
            }
            for key, tally in tallies.items()
        },
        "values": sum(tally.same + tally.explained.total() + tally.unexplained for tally in tallies.values()),
        "unexplained": sum(tally.unexplained for tally in tallies.values()),
        "agreement": agreement(list(tallies.values()), apart),
        "agreement_of_all_values": agreement(list(tallies.values()), set()),
        "deviations": {
            key: {**entry, "values": sum(tally.explained[key] for tally in tallies.values())}
            for key, entry in deviations.items()
        },
    }


def agreement(tallies: list[Tally], apart: set[str]) -> float | None:
    """The share of values that agree, those explained by a deviation in `apart` aside; None without any value."""
    agreeing = sum(tally.same for tally in tallies)
    others = sum(tally.unexplained for tally in tallies)
    others += sum(count for tally in tallies for reason, count in tally.explained.items() if reason not in apart)
    return agreeing / (agreeing + others) if agreeing + others else None


def percent(share: float | None) -> str:
    """A share to print."""
    return "-" if share is None else f"{share:.3%}"


def show(result: Mapping[str, Any]) -> None:
    """Print the result as tables."""
    stays, labels = result["stays"], result["labels"]
    print(f"stays   {stays['original']} of the original, {stays['missing_here']} of them missing here")
    print(f"labels  {labels['compared']} compared, {labels['different']} different\n")
    print(f"{'variable':26}{'same':>8}{'explained':>11}{'unexplained':>13}{'agreement':>12}")
    for key, entry in result["variables"].items():
        explained = sum(entry["explained"].values())
        print(f"{key:26}{entry['same']:>8}{explained:>11}{entry['unexplained']:>13}{percent(entry['agreement']):>12}")
    print(
        f"\nagreement {percent(result['agreement'])} of the values; "
        f"{percent(result['agreement_of_all_values'])} with the original's implausible values counted too\n"
    )
    print("explained by")
    for key, entry in result["deviations"].items():
        print(f"  {key} ({entry['values']} values)")
        print(f"      original: {entry['original']}\n      ours:     {entry['ours']}")


def main() -> int:
    """Build, compare, print, record; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=SHARED / "data" / "mimic-iii-demo")
    parser.add_argument("--oracle", type=Path, default=SHARED / "oracle" / "mimic3-benchmarks-phenotyping")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "parity.json")
    chosen = parser.parse_args()
    for folder in (chosen.root, chosen.oracle):
        if not folder.is_dir():
            print(f"{folder}: does not exist; name the folders with --root and --oracle, or set CLINRAGEN_SHARED")
            return 2
    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder) / "cohort"
        # All rows: the original does not stop at the paper's first 1,000.
        config = CohortConfig(note_policy="structured", window="stay", max_steps=None)
        provenance = build_cohort("mimic-iii", chosen.root, cohort, config)
        result = {
            "commit": commit(),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in PACKAGES},
            "settings": provenance["settings"],
            "cohort": provenance["cohort"],
            **compare(chosen.root, chosen.oracle, cohort),
        }
    write_json(chosen.output, result)
    show(result)
    passed = not result["labels"]["different"] and not result["unexplained"] and (result["agreement"] or 0) >= REQUIRED
    complete = not result["stays"]["missing_here"]
    print(f"\n{'passed' if passed and complete else 'FAILED'}; written to {chosen.output}")
    return 0 if passed and complete else 1


if __name__ == "__main__":
    sys.exit(main())
