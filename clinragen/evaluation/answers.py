"""The systems' answers about the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from clinragen.claims.check import Checking
from clinragen.claims.sentences import Patient
from clinragen.evaluation.config import EvaluateConfig
from clinragen.evaluation.cost import measure_cost
from clinragen.evaluation.examples import count_cut, require_vocabulary, sizes_of
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.shared_batches import SharedBatches, Worked
from clinragen.evaluation.systems import MAIN, OTHER_LISTS, System, system_name
from clinragen.verification import VerifiedRationale, Verifier, VerifyConfig
from clinragen.verification.generate import size_of
from dataset_builder.contract.arrays import series_column
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.truth import HospitalTruth
from dataset_builder.storage.processes import ALONE, Processes
from dataset_builder.storage.progress import Progress, Report, no_report
from modeling_clinragen.diagnosing_clinragen import diagnose_patients, write_lists, write_targets
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError
from modeling_clinragen.loading_clinragen import load_part
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.profile_clinragen import Cut
from modeling_clinragen.registration import register_auto_classes
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.device import resolve_device
from trainers.run_phase import load_parent


@dataclass(frozen=True)
class Answers:
    """One system's outputs on the test split: freely written texts, and diagnoses.

    `rows` are the examples whose rationales were written, and `texts` and `verified` have these only: the rationales
    freely written, and as written and as shown. `notes_cut` is how much of the notes was read (None where the system
    reads none). `other_list` has the key (see `OTHER_LISTS`) and the diagnoses of the full model's decoder where its
    head lists, and the other way round. `head` has what a disease head gives, where there is one. `cost` is what the
    full model costs to ask (see `measure_cost`).
    """

    system: System
    texts: list[str]
    diagnoses: list[tuple[str, ...]]
    verified: list[Verified]
    notes_cut: Cut | None
    rows: Sequence[int]
    head: HeadAnswers | None = None
    other_list: tuple[str, list[tuple[str, ...]]] | None = None
    cost: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class HeadAnswers:
    """The answers of a disease head.

    Args:
        test, validation: Probabilities of the two splits, `(examples, diseases)`.
        thresholds: From which probability on a disease is listed, `(modalities, diseases)`.
        listed: The diseases that it lists of the test split.
    """

    test: np.ndarray
    validation: np.ndarray
    thresholds: np.ndarray
    listed: list[tuple[str, ...]]


def answer_systems(
    cohort: CohortSplits,
    systems: Mapping[str, System],
    config: EvaluateConfig,
    *,
    checking: Checking,
    truth: HospitalTruth | None = None,
    processes: Processes = ALONE,
    kept: Path | None = None,
    report: Report = no_report,
) -> dict[str, Answers]:
    """Let every system answer about the test split; the first half of `evaluate_systems`.

    Args:
        cohort, systems, config, checking: As for `evaluate_systems`.
        truth: Of the synthetic hospital; only whether it is that of the cohort is looked at.
        processes: Those that share the examples; each gets all answers.
        kept: A folder where the answers of finished batches are kept: a call that was interrupted goes on from what it
            left there. It belongs to one cohort, these systems and this config. None keeps nothing.
        report: Called with the number of examples of a pass of a system that this process has done.

    Raises:
        SettingsError, InputDataError: As `evaluate_systems`.
        StageError: Another of the processes has failed.
    """
    test = cohort["test"]
    if MAIN not in systems:
        raise SettingsError(f"there is no system '{MAIN}' to compare with; give a model of the multimodal phase")
    if len(test) == 0:
        raise InputDataError("the cohort's test split is empty; build a larger cohort")
    if truth is not None:
        truth.require_any(zip(test["hadm_id"], test["stay_id"], strict=True))
    _require_vocabularies(systems, cohort, checking)
    work = _Work(cohort, config, checking, SharedBatches(config.batch_size, processes, kept), report)
    return {name: work.answers(system) for name, system in systems.items()}


@dataclass(frozen=True)
class _Work:
    """The examples that all systems answer about, and how they are put into batches."""

    cohort: CohortSplits
    config: EvaluateConfig
    checking: Checking
    batches: SharedBatches
    report: Report

    def answers(self, system: System) -> Answers:
        model, processor = load_parent(system.folder)
        model.to(resolve_device(self.config.device, self.batches.processes.local_rank))
        head = None if model.disease_head is None else self._by_head(system, model, processor)
        listed = head.listed if head is not None and model.config.list_from == "head" else None
        others = listed
        if listed is None and len(self.rows) < len(self.cohort["test"]):
            if processor.layout != "diagnosis-first":
                raise SettingsError(
                    f"texts is {self.config.texts}, but {system.folder} lists the diseases after the rationale, so "
                    "the other patients have no list; leave texts out"
                )
            others = self._listed_by_decoder(system, model, processor)
        texts, cost = self._texts(system, model, processor)
        parsed = [processor.parse(text) for text in texts]
        rationales = [answer.rationale if answer.problem is None else None for answer in parsed]
        verified = [Verified.unchecked(text) for text in rationales]
        written = [answer.diagnoses for answer in parsed]
        if not self.config.raw:
            written, verified = self._verified(system, model, processor, rationales)
        test = self.cohort["test"]
        diagnoses: list[tuple[str, ...]] = [()] * len(test) if others is None else list(others)
        for row, names in zip(self.rows, written, strict=True):
            diagnoses[row] = names
        other = None
        if head is not None and system.name == MAIN and processor.layout == "diagnosis-first":
            lists = head.listed if listed is None else self._listed_by_decoder(system, model, processor)
            other = OTHER_LISTS[model.config.list_from][0], lists
        cut = count_cut(processor, test, labs=system.reads_labs) if system.reads_note else None
        return Answers(system, texts, diagnoses, verified, cut, self.rows, head, other, cost)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """The examples whose rationales are written: all, or as many as are wanted, the same in every evaluation."""
        total = len(self.cohort["test"])
        if self.config.texts is None or self.config.texts >= total:
            return tuple(range(total))
        return tuple(sorted(np.random.default_rng(0).permutation(total)[: self.config.texts].tolist()))

    @cached_property
    def _written(self) -> Dataset:
        test = self.cohort["test"]
        return test if len(self.rows) == len(test) else test.select(self.rows)

    def _by_head(self, system: System, model: Any, processor: Any) -> HeadAnswers:
        """The head's answers about the test split, and about the validation split for those who calibrate by it."""

        def probabilities(split: str) -> np.ndarray:
            found = self._pass(
                system,
                f"{split} diagnoses",
                shown[split],
                sizes_of(self.cohort[split]),
                lambda batch: diagnose_patients(model, processor, batch).tolist(),
            )
            return np.array(found.results).reshape(len(shown[split]), len(self.cohort.vocabulary.diseases))

        shown = {split: _shown(system, self.cohort[split]) for split in ("test", "validation")}
        test = probabilities("test")
        modality = [processor.modality(*one) for one in shown["test"]]
        listed = model.listed(torch.tensor(test, dtype=torch.float32), modality)
        thresholds = model.disease_head.thresholds.float().cpu().numpy()
        return HeadAnswers(test, probabilities("validation"), thresholds, listed)

    def _listed_by_decoder(self, system: System, model: Any, processor: Any) -> list[tuple[str, ...]]:
        test = self.cohort["test"]
        found = self._pass(
            system,
            "lists",
            _shown(system, test),
            sizes_of(test),
            lambda batch: write_lists(model, processor, batch),
        )
        return [tuple(names) for names in found.results]

    def _pass(
        self,
        system: System,
        name: str,
        items: Sequence[Any],
        sizes: Sequence[tuple[int, int]],
        work: Callable[[list[Any]], Sequence[Any]],
    ) -> Worked:
        """One pass of a system over the examples, batch by batch."""

        def report(progress: Progress) -> None:
            self.report(replace(progress, remark=f"{system_name(system.name).lower()}: {name}"))

        return self.batches.work(f"{system.name}-{name.replace(' ', '-')}", items, sizes, work, report)

    def _texts(self, system: System, model: Any, processor: Any) -> tuple[list[str], dict[str, Any] | None]:
        patients = _shown(system, self._written)
        found = self._pass(
            system,
            "texts",
            patients,
            sizes_of(self._written),
            # The metrics count what is cut.
            lambda batch: write_targets(model, processor, batch, do_sample=False, num_beams=self.config.num_beams),
        )
        cost = None
        if system.name == MAIN and self.batches.processes.first:
            own = [patients[row] for row in found.own]
            size = self.batches.size
            cost = measure_cost(system.folder, model, processor, own, batch_size=size, seconds=found.seconds)
        return found.results, cost

    def _verified(
        self, system: System, model: Any, processor: Any, raw: Sequence[str | None]
    ) -> tuple[list[tuple[str, ...]], list[Verified]]:
        patients = [_patient(row, self.cohort.vocabulary, system) for row in self._written]
        config = VerifyConfig(num_beams=self.config.num_beams, batch_size=self.config.batch_size)
        verifier = Verifier(model, processor, self.checking, config)

        def write(batch: list[tuple[str | None, Patient]]) -> list[Any]:
            results = verifier.generate([patient for _, patient in batch])
            return [
                [result.diagnoses, asdict(_verified(text, result))]
                for (text, _), result in zip(batch, results, strict=True)
            ]

        items, sizes = list(zip(raw, patients, strict=True)), [size_of(patient) for patient in patients]
        found = self._pass(system, "checked texts", items, sizes, write).results
        return [tuple(names) for names, _ in found], [Verified(**verified) for _, verified in found]


def _shown(system: System, examples: Dataset) -> list[tuple[str | None, Any]]:
    """Note and series of every example as the system is shown them."""
    notes = [note if system.reads_note else None for note in examples["note"]]
    series = series_column(examples) if system.reads_labs else [None] * len(examples)
    return list(zip(notes, series, strict=True))


def _patient(row: Mapping[str, Any], vocabulary: Vocabulary, system: System) -> Patient:
    """An example as the system is shown it."""
    series = LabSeries.from_example(vocabulary, row) if system.reads_labs else LabSeries.empty(vocabulary)
    return Patient(series, (row["note"] or None) if system.reads_note else None)


def _verified(raw: str | None, result: VerifiedRationale) -> Verified:
    if result.problem is not None:
        return Verified(raw, None)
    sentences = len(result.sentences) + len(result.withheld)
    return Verified(raw, result.rationale, sentences, len(result.withheld), result.rewritten, result.asked)


def _require_vocabularies(systems: Mapping[str, System], cohort: CohortSplits, checking: Checking) -> None:
    # Before the first model generates: the last one may be the one that does not fit.
    checking.vocabulary.require_same(cohort.vocabulary, "the checking of claims", "the cohort")
    register_auto_classes()
    for system in systems.values():
        if (system.folder / "processor_config.json").is_file():
            try:
                processor = load_part(ClinRaGenProcessor, system.folder)
            except ClinRaGenError:
                raise
            except (OSError, ValueError) as error:
                raise InputDataError(
                    f"{system.folder}: its processor cannot be loaded; copy the folder anew, or train the phase again"
                ) from error
            require_vocabulary(processor, cohort.vocabulary, str(system.folder))
