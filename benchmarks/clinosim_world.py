"""Patients that we did not write: clinosim's hospital, tested with our model, and a model of it tested on ours.

clinosim (MIT) simulates hidden physiological states and writes FHIR R4. In an environment of its own:

    pip install clinosim
    clinosim simulate --country US --population 8000 --seed 1 --start 2024-01-01 --end 2024-12-31 \\
        --format fhir-r4 --output runs/clinosim/simulated

Then, with ours:

    python benchmarks/quickstart.py --keep runs/kept
    python benchmarks/clinosim_world.py runs/clinosim/simulated --run runs/kept/quickstart --work runs/clinosim/work

The inpatient encounters, and all that was recorded in them, are copied. clinosim writes its History and physical as a
Composition, which the FHIR reader does not read; it becomes a DocumentReference with the sections as they are, but
without Assessment and plan, which names the working diagnosis, and without the ICD codes beside past illnesses.
The cohort is built by `clinragen build fhir`, a model is trained by benchmarks/data/clinosim.yaml, and
`clinragen transfer` makes the two tables. Interrupted, the same command goes on. Writes
benchmarks/results/clinosim.json.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import os
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from machine import commit, processor, run

from dataset_builder.storage.files import read_json, write_json

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "clinosim.json"
RECIPE = ROOT / "benchmarks" / "data" / "clinosim.yaml"
HISTORY_AND_PHYSICAL = "34117-2"
LEFT_OUT = "Assessment and plan"
CODE = re.compile(r"\s*\[[A-Z]\d[\w.]*\]")
LICENCE = "Synthetic patients, simulated by clinosim (MIT License). No real person is described.\n"


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The resources of an NDJSON file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def encounter_of(resource: dict[str, Any]) -> str:
    """The id of a resource's encounter; "" without one."""
    return str(resource.get("encounter", {}).get("reference", "")).rpartition("/")[2]


def as_document(composition: dict[str, Any]) -> dict[str, Any]:
    """A Composition as a DocumentReference with its sections as text."""
    parts = []
    for section in composition.get("section", []):
        text = re.sub(r"<[^>]+>", " ", section.get("text", {}).get("div", ""))
        text = CODE.sub("", " ".join(html.unescape(text).split()))
        if text and section.get("title") != LEFT_OUT:
            parts.append(f"{section['title']}:\n{text}")
    data = base64.b64encode("\n\n".join(parts).encode()).decode()
    return {
        "resourceType": "DocumentReference",
        "id": composition["id"],
        "status": "current",
        "type": composition["type"],
        "subject": composition["subject"],
        "date": composition["date"],
        "context": {"encounter": [composition["encounter"]]},
        "content": [{"attachment": {"contentType": "text/plain", "data": data}}],
    }


def prepare(simulated: Path, folder: Path) -> dict[str, int]:
    """Copy what the cohort needs into `folder`; returns how many resources of each type there are."""
    source = simulated / "fhir_r4"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "LICENSE.txt").write_text(LICENCE, encoding="utf-8")
    stays = {one["id"]: one for one in records(source / "Encounter.ndjson") if one["class"]["code"] == "IMP"}
    people = {str(one["subject"]["reference"]).rpartition("/")[2] for one in stays.values()}
    # Comorbidities are conditions of earlier encounters, which a stay refers to.
    named = [part for one in stays.values() for part in one.get("diagnosis", [])]
    conditions = {str(part["condition"]["reference"]).rpartition("/")[2] for part in named}

    def kept(kind: str) -> Iterator[dict[str, Any]]:
        if kind == "Patient":
            yield from (one for one in records(source / "Patient.ndjson") if one["id"] in people)
        elif kind == "Encounter":
            yield from stays.values()
        elif kind == "DocumentReference":
            for one in records(source / "Composition.ndjson"):
                types = [coding["code"] for coding in one["type"]["coding"]]
                if HISTORY_AND_PHYSICAL in types and encounter_of(one) in stays:
                    yield as_document(one)
        else:
            wanted = conditions if kind == "Condition" else ()
            of_kind = records(source / f"{kind}.ndjson")
            yield from (one for one in of_kind if encounter_of(one) in stays or one["id"] in wanted)

    counts = {}
    for kind in ("Patient", "Encounter", "Condition", "Observation", "DocumentReference"):
        counts[kind] = 0
        with (folder / f"{kind}.ndjson").open("w", encoding="utf-8") as file:
            for one in kept(kind):
                file.write(json.dumps(one) + "\n")
                counts[kind] += 1
    return counts


def main() -> None:
    """Build, train, compare both ways, and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="A run of the quickstart.")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=60)
    given = parser.parse_args()
    work: Path = given.work
    counts = prepare(given.simulated, work / "fhir")
    run("run", RECIPE, "--root", work / "fhir", "--output", work / "run")
    asked = ("--texts", given.texts, "--batch-size", 128, "--cpu-threads", 1)
    there, back = work / "there", work / "back"
    cohort = f"clinosim={work / 'run' / 'build'}"
    run("transfer", "--train", given.run, "--test", cohort, "--split", "all", *asked, "--output", there)
    run("transfer", "--train", work / "run", "--test", f"synthetic={given.run}", *asked, "--output", back)
    build = read_json(work / "run" / "build" / "provenance.json")
    metrics = read_json(work / "run" / "evaluation" / "metrics.json")
    evaluated = read_json(there / "clinosim" / "metrics.json")
    write_json(
        RESULT,
        {
            "command": "python benchmarks/clinosim_world.py SIMULATED --run RUN --work FOLDER",
            "commit": commit(),
            "machine": {"processor": processor(), "cores": os.cpu_count()},
            "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
            "simulation": read_json(given.simulated / "cif" / "metadata.json"),
            "resources": counts,
            "build": {name: build[name] for name in ("examples", "cohort", "labels", "left_out", "records")},
            # Codes that nothing was measured by say nothing.
            "items": [item for item in build["items"] if item["rows"]],
            "ours_there": read_json(there / "transfer.json"),
            "theirs_here": read_json(back / "transfer.json"),
            "precision_there": evaluated["systems"]["full"]["micro_precision"],
            "recall_there": evaluated["systems"]["full"]["micro_recall"],
            "per_disease_there": evaluated["per_disease"]["full"],
            "notes_cut_there": evaluated["notes_cut"]["full"],
            "boosting_there": metrics["systems"]["gradient_boosting"],
        },
    )
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
