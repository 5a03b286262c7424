"""Makes a study: draws cases, blinds the sources, and writes what each rater gets apart from the key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.claims.sentences import CheckedSentence, Patient
from clinragen.study.config import StudyConfig
from clinragen.study.contents import check_sources, is_contradicted, patient_content, patient_of, rationale_content
from clinragen.study.criteria import Criteria, shipped_criteria
from clinragen.study.design import Design, Entry, Form, make_design
from clinragen.study.draw import Candidate, draw_cases
from clinragen.study.folder import ANSWERS, CASES, FORMAT, KEY, PAGE, RATERS, SHEET, STUDY
from clinragen.study.page import rater_page
from clinragen.study.sheet import write_sheet
from clinragen.study.sources import Source, read_sources
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.storage.files import (
    OUTPUT_MARKERS,
    atomic_folder,
    fingerprint,
    output_folder,
    private_folder,
    write_json,
)
from dataset_builder.storage.governance import carry_provenance, is_credentialed, provenance_notices, write_provenance
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.errors import InputDataError, SettingsError

# So many times the wanted cases are checked, of which the strata are drawn.
_POOL = 10


@dataclass(frozen=True)
class _Case:
    """A drawn case: the patient, and every source's rationale with the checker's verdicts."""

    example: str
    patient: Patient
    listed: tuple[tuple[str, ...], ...]
    sentences: tuple[tuple[CheckedSentence, ...], ...]


def make_study(
    output: Path,
    cohort: CohortSplits,
    evaluations: Mapping[Path, Mapping[str, Any]],
    config: StudyConfig,
    checking: Checking,
    *,
    criteria: Criteria | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
    report: Report = no_report,
) -> str:
    """Draw, blind and write a study.

    Args:
        output: Its folder, which must be new: a study with answers is never replaced.
        cohort: Splits whose test patients were evaluated.
        evaluations: Folders of evaluations with their provenances.
        config: How it is drawn.
        checking: What the flags are made by.
        criteria: Its questions; the shipped ones by default.
        parents: Provenances of whatever else it is made from, such as a knowledge base.
        report: Called with the number of cases checked.

    Returns:
        The study's id.

    Raises:
        InputDataError: The folder is there already or lies in another output, or the evaluations do not fit.
        SettingsError: A source is not there, or there are fewer patients than cases.
    """
    require_new(output)
    criteria = criteria or shipped_criteria()
    sources = read_sources(config.sources, list(evaluations), cohort)
    rng = np.random.default_rng(config.seed)
    cases = _draw(cohort, sources, config, checking, rng, report)
    design = make_design(config, rng)
    provenance = carry_provenance(
        [cohort.provenance, *evaluations.values(), *parents], "study", {"seed": config.seed, "cases": config.cases}
    )
    diseases = [{"key": one.key, "name": one.name} for one in cohort.vocabulary.diseases]
    key = _key(config, design, cases)
    contents = [_content(entry, cases[entry.case], checking) for entry in design.entries]
    identity = f"s{fingerprint(criteria.content(), key, contents)[:11]}"
    about = {
        "format": FORMAT,
        "id": identity,
        "criteria": criteria.content(),
        "diseases": diseases,
        "raters": [form.rater for form in design.forms],
        "notices": provenance_notices(provenance),
        "checked_by": {"range_set": checking.range_set.name},
    }
    with atomic_folder(output, private=is_credentialed(provenance)) as folder:
        write_provenance(folder, provenance)
        write_json(folder / STUDY, about)
        first = [content for entry, content in zip(design.entries, contents, strict=True) if not entry.repeat]
        write_json(folder / CASES, {"study": identity, "cases": first})
        write_json(folder / KEY, {"study": identity, **key})
        private_folder(folder / ANSWERS)
        for form in design.forms:
            shown = [_shown(place, order, form, design, cases, checking) for place, order in form.order]
            for_rater = {**about, "rater": form.rater, "cases": shown}
            del for_rater["raters"]
            place = folder / RATERS / form.rater
            write_json(place / CASES, for_rater)
            (place / PAGE).write_text(rater_page(for_rater), encoding="utf-8")
            write_sheet(place / SHEET, for_rater, criteria)
            write_provenance(place, provenance)
    return identity


def require_new(output: Path) -> None:
    """Raise `InputDataError` unless a study can be made at `output`."""
    real = output_folder(output)
    if real.exists() and any(real.iterdir()):
        raise InputDataError(f"{output}: is there already, perhaps with answers; choose another output folder")
    for above in real.parents:
        if any((above / name).is_file() for name in (*OUTPUT_MARKERS, STUDY)):
            raise InputDataError(f"{output}: lies in {above}, which is another output; choose another output folder")


def _draw(
    cohort: CohortSplits,
    sources: Sequence[Source],
    config: StudyConfig,
    checking: Checking,
    rng: np.random.Generator,
    report: Report,
) -> list[_Case]:
    test = cohort["test"]
    keys = cohort.vocabulary.key_of_disease
    eligible = [row for row, example in enumerate(test["example_id"]) if all(example in one.texts for one in sources)]
    if not eligible:
        raise SettingsError("sources: no patient has a rationale of every source; leave one out, or evaluate again")
    pool = rng.permutation(eligible)[: max(_POOL * config.cases, _POOL)]
    found: dict[str, _Case] = {}
    candidates = []
    for done, number in enumerate(pool.tolist(), start=1):
        row = test[number]
        patient = patient_of(row, checking)
        texts = [one.texts[row["example_id"]] for one in sources]
        checked = check_sources(texts, patient, checking)
        listed = tuple(one.listed for one in texts)
        found[row["example_id"]] = _Case(row["example_id"], patient, listed, checked)
        diseases = tuple(keys[name] for name in row["diagnoses"])
        flagged = any(map(is_contradicted, checked))
        candidates.append(Candidate(row["example_id"], row["subject_id"], diseases, flagged))
        report(Progress(done, len(pool), "patients"))
    return [found[one.example] for one in draw_cases(candidates, config.cases, rng)]


def _key(config: StudyConfig, design: Design, cases: Sequence[_Case]) -> dict[str, Any]:
    rationales = {}
    for entry in design.entries:
        case = cases[entry.case]
        for item, source, sentences in zip(entry.items, config.sources, case.sentences, strict=True):
            rationales[item] = {
                "case": entry.case,
                "source": source,
                "repeat": entry.repeat,
                "shown": entry.name,
                "verdicts": [one.verdict for one in sentences],
            }
    forms = {form.rater: {"flagged": sorted(form.flagged)} for form in design.forms}
    return {
        "sources": list(config.sources),
        "rationales": rationales,
        "forms": forms,
        "examples": [case.example for case in cases],
    }


def _content(entry: Entry, case: _Case, checking: Checking) -> dict[str, Any]:
    """A case without flags, its rationales in an order that says nothing of their sources."""
    rationales = [
        rationale_content(item, listed, sentences, flags=False)
        for item, listed, sentences in zip(entry.items, case.listed, case.sentences, strict=True)
    ]
    rationales.sort(key=lambda one: str(one["item"]))
    return {"case": entry.name, **patient_content(case.patient, checking), "rationales": rationales}


def _shown(
    place: int, order: Sequence[int], form: Form, design: Design, cases: Sequence[_Case], checking: Checking
) -> dict[str, Any]:
    """A case as one rater gets it."""
    entry = design.entries[place]
    case = cases[entry.case]
    flags = entry.name in form.flagged
    rationales = [
        rationale_content(entry.items[source], case.listed[source], case.sentences[source], flags=flags)
        for source in order
    ]
    return {"case": entry.name, "flags": flags, **patient_content(case.patient, checking), "rationales": rationales}
