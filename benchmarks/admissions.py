"""Scores models on thirty hand-written admissions, a test set that no program generated.

    python benchmarks/admissions.py MODEL... [--boosting COHORT] [--device auto] [--seed 0] [--output FILE]

Each MODEL is a model folder. It explains every admission of data/admissions.yaml, verified as its users see it and
freely as it writes. Counted are the listed diseases against those of the reader, of them the ones that the note names
in plain words, those that the note denies, the claims by verdict, diagnoses without evidence, warnings that the input
is unlike the training data, and abstentions. With --boosting the baselines are fitted on the train and validation
splits of that cohort (setting "light") and decide about the same admissions. Intervals are 95 % percentile intervals
over resampled admissions. benchmarks/results/admissions.json gets every number and every answer, with versions, commit
and machine. See docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from admissions_set import ADMISSIONS, KINDS, Admission, load_admissions
from machine import commit, processor

from clinragen.claims.types import VERDICTS, Claim
from clinragen.evaluation.baselines.fit import fit_baselines
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.diagnosis import match_diagnoses
from clinragen.evaluation.metrics import system_scores
from clinragen.evaluation.scores.claims import GROUPS
from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer, Explanation
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import write_json
from modeling_clinragen.errors import ClinRaGenError, ModelInputError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks" / "results" / "admissions.json"
PACKAGES = ("torch", "transformers", "lightgbm", "scikit-learn", "clinragen")
BOOSTING = "light"
SEED = 0
WEIGHTS = "*.safetensors"


@dataclass(frozen=True, eq=False)
class Answer:
    """A model's answer about one admission.

    Args:
        admission: The admission.
        shown, raw: The explanation as users see it, and as the model writes freely; None where it refused the input.
        unlike: The sentences about the note and about the series that say what is unlike the training data.
    """

    admission: Admission
    shown: Explanation | None
    raw: Explanation | None
    unlike_note: tuple[str, ...] = ()
    unlike_series: tuple[str, ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """The diseases that users see."""
        return self.shown.diagnoses if self.shown is not None else ()


class Scorer:
    """Scores of decisions and answers about the same admissions, on the same resamples.

    Args:
        admissions: The admissions.
        vocabulary: The diseases.
        seed: Of the resamples.
    """

    def __init__(self, admissions: Sequence[Admission], vocabulary: Vocabulary, seed: int = SEED) -> None:
        self.admissions = admissions
        self.vocabulary = vocabulary
        self.bootstrap = Bootstrap(range(len(admissions)), seed=seed)
        self.labels = match_diagnoses([one.present for one in admissions], vocabulary.diseases).predictions

    def decisions(self, given: np.ndarray) -> dict[str, Any]:
        """Scores of 0/1 decisions `(admissions, diseases)`.

        `micro_precision`, `micro_recall` and `micro_f1`; `named`, the share of the diseases named in plain words that
        are listed, and `not_named`, the same of the other present ones; `denied`, the share of the diseases that the
        note denies, or has in the past or in the family, that are listed all the same; `listed_per_admission`; and
        `micro_f1_by_kind`.
        """
        columns = {name: column for column, name in enumerate(self.vocabulary.disease_names)}

        def share(wanted: Callable[[Admission], Sequence[str]]) -> dict[str, Any]:
            of = [wanted(one) for one in self.admissions]
            hit = [sum(int(row[columns[name]]) for name in names) for row, names in zip(given, of, strict=True)]
            return self.bootstrap.quotient(np.array(hit), np.array([len(names) for names in of]))

        scores = system_scores(self.labels, given, self.bootstrap)
        return {
            **{name: score for name, score in scores.items() if name.startswith("micro_")},
            "named": share(lambda one: [name for name in one.present if one.named[name]]),
            "not_named": share(lambda one: [name for name in one.present if not one.named[name]]),
            "denied": share(lambda one: list(one.absent)),
            "listed_per_admission": self._each(given.sum(axis=1)),
            "micro_f1_by_kind": {kind: self._f1(given, kind) for kind in KINDS},
        }

    def answers(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Scores of a model's answers: `decisions` of what is shown, claims, evidence, warnings and abstentions."""
        matched = match_diagnoses([answer.listed for answer in answers], self.vocabulary.diseases)
        raw = [answer.raw for answer in answers]
        listed = np.array([len(answer.listed) for answer in answers])
        bare = [0 if answer.shown is None else len(answer.shown.without_evidence) for answer in answers]
        unlike = [answer.unlike_note + answer.unlike_series for answer in answers]
        return {
            **self.decisions(matched.predictions),
            "raw_unparsed": self._each([one is not None and one.problem is not None for one in raw]),
            "claims": {
                "shown": self._claims([answer.shown for answer in answers]),
                "raw": self._claims(raw),
            },
            "without_evidence": self.bootstrap.quotient(np.array(bare), listed),
            "unlike": self._each([bool(sentences) for sentences in unlike]),
            "unlike_note": self._each([bool(answer.unlike_note) for answer in answers]),
            "not_read_whole": self._each([_is_cut(answer) for answer in answers]),
            "no_diagnosis": self._each([answer.shown is not None and not answer.listed for answer in answers]),
            "refused": self._each([answer.shown is None for answer in answers]),
        }

    def _claims(self, explanations: Sequence[Explanation | None]) -> dict[str, Any]:
        """By group of claims, their number for each rationale and the share of each verdict."""
        claims = [_claims_of(one) for one in explanations]
        written = np.array([one is not None for one in explanations])
        found: dict[str, Any] = {}
        for group, kinds in GROUPS.items():
            inside = [[claim for claim in some if claim.kind in kinds] for some in claims]
            total = np.array([len(some) for some in inside])
            found[group] = {"per_rationale": self.bootstrap.quotient(total, written)}
            for verdict in VERDICTS:
                number = np.array([sum(claim.verdict == verdict for claim in some) for some in inside])
                found[group][verdict] = self.bootstrap.quotient(number, total)
        return found

    def _each(self, values: Sequence[Any] | np.ndarray) -> dict[str, Any]:
        return self.bootstrap.quotient(np.asarray(values, dtype=float), np.ones(len(self.admissions)))

    def _f1(self, given: np.ndarray, kind: str) -> float | None:
        rows = [place for place, one in enumerate(self.admissions) if one.kind == kind]
        truth, listed = self.labels[rows].astype(bool), given[rows].astype(bool)
        total = int(truth.sum() + listed.sum())
        return 2 * int((truth & listed).sum()) / total if total else None


def explain_all(explainer: Explainer, admissions: Sequence[Admission]) -> list[Answer]:
    """Let a model explain every admission, verified and freely."""
    config, knowledge = explainer.config, explainer.checking.knowledge
    freely = Explainer(
        explainer.model,
        explainer.processor,
        ExplainConfig(config.num_beams, raw=True, device=config.device),
        knowledge,
    )
    return [_answer(explainer, freely, admission) for admission in admissions]


def _answer(explainer: Explainer, freely: Explainer, admission: Admission) -> Answer:
    try:
        shown = explainer.explain(admission.note, admission.series)
    except ModelInputError:
        return Answer(admission, None, None)
    processor, series = explainer.processor, admission.series
    given = {"hours": series.hours, "values": series.values} if series.observed.any() else None
    # Whatever is said of the same series without the note is said of the series.
    about_series = processor.unlike(processor.read_report(None, given))
    unlike = processor.unlike(processor.read_report(admission.note, given))
    return Answer(
        admission,
        shown,
        freely.explain(admission.note, series),
        tuple(sentence for sentence in unlike if sentence not in about_series),
        tuple(sentence for sentence in unlike if sentence in about_series),
    )


def _is_cut(answer: Answer) -> bool:
    others = (*answer.unlike_note, *answer.unlike_series)
    return answer.shown is not None and any(warning not in others for warning in answer.shown.warnings)


def _claims_of(explanation: Explanation | None) -> list[Claim]:
    return [] if explanation is None else [claim for sentence in explanation.sentences for claim in sentence.claims]


def decide_with_baselines(cohort: CohortSplits, admissions: Sequence[Admission]) -> dict[str, np.ndarray]:
    """Decisions `(admissions, diseases)` of the baselines, fitted on the train and validation splits of a cohort."""
    from datasets import Dataset

    names = cohort.vocabulary.disease_names
    rows = [
        {
            "subject_id": place,
            "note": one.note,
            "lab_hours": one.series.hours.tolist(),
            "lab_values": [[None if np.isnan(value) else float(value) for value in row] for row in one.series.values],
            "lab_observed": one.series.observed.tolist(),
            # No baseline reads labels of the test split.
            "labels": [0] * len(names),
        }
        for place, one in enumerate(admissions)
    ]
    splits = {**cohort, "test": Dataset.from_list(rows)}
    changed = CohortSplits(splits, cohort.provenance, cohort.vocabulary)
    fitted = fit_baselines(changed, cohort.vocabulary.range_set(cohort.range_set), BOOSTING)
    return {name: one.predictions for name, one in fitted.items()}


def measure(models: Sequence[Path], cohort: Path | None, *, device: str, seed: int, path: Path) -> dict[str, Any]:
    """All systems' scores, and the models' answers.

    Raises:
        ClinRaGenError: A folder cannot be loaded, its vocabulary lacks names of the set, or two have the same name.
    """
    systems: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    loaded: dict[str, Any] = {}
    for name, folder in _named(models).items():
        explainer = Explainer.from_pretrained(folder, device=device)
        admissions = load_admissions(explainer.vocabulary, path)
        found = explain_all(explainer, admissions)
        systems[name] = Scorer(admissions, explainer.vocabulary, seed).answers(found)
        answers[name] = {answer.admission.id: _in_full(answer) for answer in found}
        loaded[name] = {"device": explainer.model.device.type, "weights": _digest(*sorted(folder.glob(WEIGHTS)))}
    if cohort is not None:
        examples = load_examples(cohort)
        admissions = load_admissions(examples.vocabulary, path)
        scorer = Scorer(admissions, examples.vocabulary, seed)
        for name, given in decide_with_baselines(examples, admissions).items():
            systems[name] = scorer.decisions(given)
    return {"set": _set_of(path, admissions), "models": loaded, "systems": systems, "answers": answers}


def _named(models: Sequence[Path]) -> dict[str, Path]:
    """The folders by their last two names: that of a run's model is "model" each time."""
    named = {"/".join(folder.resolve().parts[-2:]): folder for folder in models}
    if len(named) < len(models):
        raise ClinRaGenError("two of the models have the same folder names; rename one")
    return named


def _in_full(answer: Answer) -> dict[str, Any]:
    """An answer as it may be published, since the admissions are invented."""
    present, listed = set(answer.admission.present), set(answer.listed)
    return {
        "right": sorted(listed & present),
        "missed": sorted(present - listed),
        "wrong": sorted(listed - present),
        "denied": sorted(listed & set(answer.admission.absent)),
        "rationale": "" if answer.shown is None else answer.shown.rationale,
        "unlike_note": list(answer.unlike_note),
        "unlike_series": list(answer.unlike_series),
    }


def _set_of(path: Path, admissions: Sequence[Admission]) -> dict[str, Any]:
    named = sum(bool(words) for one in admissions for words in one.named.values())
    return {
        "sha256": _digest(path),
        "admissions": len(admissions),
        "present": sum(len(one.present) for one in admissions),
        "named": named,
        "denied": sum(len(one.absent) for one in admissions),
    }


def _digest(*paths: Path) -> str:
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--boosting", type=Path, metavar="COHORT", help="also fit the baselines on this cohort")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=SEED, help="of the resamples")
    parser.add_argument("--admissions", type=Path, default=ADMISSIONS, help="another file of the same form")
    parser.add_argument("--output", type=Path, default=RESULT)
    chosen = parser.parse_args()
    try:
        found = measure(chosen.models, chosen.boosting, device=chosen.device, seed=chosen.seed, path=chosen.admissions)
    except ClinRaGenError as error:
        parser.error(str(error))
    words = [*found["answers"], *(["--boosting", "COHORT"] if chosen.boosting is not None else [])]
    result = {
        "command": f"python benchmarks/admissions.py {' '.join(words)} --seed {chosen.seed}",
        "seed": chosen.seed,
        "commit": commit(),
        "cores": os.cpu_count(),
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        **found,
    }
    write_json(chosen.output, result)
    for name, scores in found["systems"].items():
        print(f"{name:28} {_line(scores)}")
    print(f"written to {chosen.output}")


def _line(scores: Mapping[str, Any]) -> str:
    parts = [f"{key[6:]} {scores[key]['value']:.3f}" for key in ("micro_recall", "micro_precision", "micro_f1")]
    wanted = ("named", "denied", "unlike", "no_diagnosis")
    parts += [f"{key} {scores[key]['count']}/{scores[key]['of']}" for key in wanted if key in scores]
    return ", ".join(parts)


if __name__ == "__main__":
    main()
