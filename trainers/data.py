"""From a cohort split to the batches of a phase."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch
from datasets import Dataset

from dataset_builder.contract.arrays import require_labels, series_column
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.modeling_clinragen import IGNORED, MULTIPLE
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
from modeling_clinragen.reading_clinragen import Reading
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.encoding import EncodingCache
from trainers.evidence import CitedEvidence
from trainers.phases import Phase

logger = logging.getLogger(__name__)

ROWS = "rows"
"""Key of a batch that the model is not given: the rows of the split that its examples are."""
MODALITY_COLUMNS = {"note": "rationale_note", "labs": "rationale_lab"}
"""The rationale that each modality gives."""


def check_split(examples: Dataset, vocabulary: Vocabulary) -> None:
    """Check that a cohort split can be in a vocabulary: the widths of its series and labels, and its diseases' names.

    The order of variables is not recorded in a split; `Vocabulary.require_same` compares it for a whole cohort.

    Args:
        examples: A cohort split; columns that it lacks are not checked.
        vocabulary: That of the model's processor.

    Raises:
        SettingsError: The split has another number of variables or diseases, or an unknown disease.
        InputDataError: It has unknown labels.
    """
    require_labels(examples)
    checked = (("lab_values", "variables", vocabulary.variable_keys), ("labels", "diseases", vocabulary.disease_names))
    for column, what, names in checked:
        width = _width(examples, column)
        if width is not None and width != len(names):
            raise SettingsError(
                f"the examples' {column} are of {width} {what} but the model has {len(names)}: {', '.join(names)}; "
                "use a model and data of one vocabulary"
            )
    unknown = sorted({name for names in examples["diagnoses"] for name in names} - set(vocabulary.disease_names))
    if unknown:
        raise SettingsError(
            f"the examples have the disease '{unknown[0]}', which is not in the model's vocabulary: "
            f"{', '.join(vocabulary.disease_names)}; use a model and data of one vocabulary"
        )


def _width(examples: Dataset, column: str) -> int | None:
    """Length of the innermost lists of a column; None where there is no such column, or its lists have any length."""
    if column not in examples.column_names:
        return None
    kind = examples.data.schema.field(column).type
    while pa.types.is_list(kind):
        kind = kind.value_type
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else None


class PhaseExamples(torch.utils.data.Dataset[dict[str, Any]]):
    """A cohort split as a phase reads it. Examples with a rejected rationale are excluded.

    Args:
        examples: A cohort split (see `dataset_builder.contract.schema`) with rationales.
        phase: What is read and which rationales are targets.
        processor: The model's processor.
        rationale: Whether rationales are learned; without, an example needs none.

    Raises:
        StageError: There are examples, but none has a rationale.
    """

    def __init__(
        self, examples: Dataset, phase: Phase, processor: ClinRaGenProcessor, *, rationale: bool = True
    ) -> None:
        columns = {name: list(examples[name]) for name in phase.rationales}
        complete = (
            [all(texts) for texts in zip(*columns.values(), strict=True)] if rationale else [True] * len(examples)
        )
        if complete and not any(complete):
            raise StageError(
                f"no example has a text in {' and in '.join(columns)}; run `clinragen rationales` first, and see its "
                "rationales.json if all were rejected"
            )
        if not all(complete):
            logger.info("%d of %d examples have no rationale and are excluded", complete.count(False), len(complete))
        notes = list(examples["note"])
        # Without patients in the data, every example counts as one.
        subjects = list(examples["subject_id"]) if "subject_id" in examples.column_names else range(len(notes))
        series = series_column(examples) if phase.reads_labs else None
        self.items: list[dict[str, Any]] = [
            {
                "note": notes[row] if phase.reads_note else "",
                "series": series[row] if series is not None else None,
                "diagnoses": diagnoses,
                "subject": subjects[row],
                "rationales": {name: column[row] for name, column in columns.items()},
                "row": row,
            }
            for row, diagnoses in enumerate(examples["diagnoses"])
            if complete[row]
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.items[index]

    def lengths(self, collate: PhaseCollator) -> list[tuple[int, int]]:
        """Positions of each example's input and of its target, as a collator reads them whole."""
        patches = collate.processor.feature_extractor.num_positions
        return [
            (
                len(collate.cache.reading(item, item["note"], item["series"]).ids)
                + (0 if item["series"] is None else patches(len(item["series"]["hours"]))),
                len(collate.cache.target_ids(item, collate.target(item))),
            )
            for item in self.items
        ]


def _rationales(item: Mapping[str, Any], shown: set[str]) -> dict[str, str]:
    """The rationales of what is shown of an item, by column."""
    columns = {MODALITY_COLUMNS[modality] for modality in shown}
    return {name: text for name, text in item["rationales"].items() if name in columns}


def disease_targets(items: Sequence[Mapping[str, Any]], diseases: Sequence[str]) -> torch.Tensor:
    """Which of the diseases each item of `PhaseExamples` has, 0 or 1, `(items, diseases)`."""
    column = {name: place for place, name in enumerate(diseases)}
    targets = torch.zeros(len(items), len(column))
    for row, item in enumerate(items):
        targets[row, [column[name] for name in item["diagnoses"]]] = 1.0
    return targets


class PhaseCollator:
    """Collates items of `PhaseExamples` to a padded batch. A phase that reads no labs gets no lab tensors.

    What is drawn at random (`text_share`, `token_dropout`, `modality_dropout`) is drawn from torch's own generator,
    which the Trainer restores when it resumes; `whole` makes a collator that draws nothing.

    Args:
        processor: The model's processor.
        phase: What the batches are read for.
        diagnosis_weight: Loss weight of a token in the list of diseases, relative to one of the rationale; the weights
            of an example have mean 1, so that losses stay comparable.
        diseases: Names of the diseases of the model's head, whose labels batches then have.
        evidence: Whether batches also have the evidence that the rationales cite, for the head's attention.
        text_share: Share of a batch that has a target; without a head every example has one.
        token_dropout: Probability that a token of the note is masked.
        modality_dropout: Probability that an example loses its note or, as often, its labs; its target is then the
            rationale of what is left.
        rationale: Whether a target has the rationale behind the list of diseases.
        rows: Whether a batch also says which rows of the split it is of, as `ROWS`.

    Raises:
        SettingsError: Examples are to be without a target, but there is no head that could learn from them, or a
            modality is to be dropped in a phase that has only one.
    """

    def __init__(  # noqa: PLR0913 (settings of a phase)
        self,
        processor: ClinRaGenProcessor,
        phase: Phase,
        *,
        diagnosis_weight: float = 1.0,
        diseases: Sequence[str] | None = None,
        evidence: bool = False,
        text_share: float = 1.0,
        token_dropout: float = 0.0,
        modality_dropout: float = 0.0,
        rationale: bool = True,
        rows: bool = False,
    ) -> None:
        if text_share < 1 and diseases is None:
            raise SettingsError("text_share below 1 needs a model with a disease head; set it to 1")
        if evidence and diseases is None:
            raise SettingsError("evidence_loss_weight needs a model with a disease head; set it to 0")
        if modality_dropout and not (phase.reads_note and phase.reads_labs):
            raise SettingsError(f"modality_dropout needs two modalities, and the phase '{phase.name}' reads one")
        self.processor = processor
        self.phase = phase
        self.diagnosis_weight = diagnosis_weight
        self.diseases = diseases
        self._cited = CitedEvidence(processor) if evidence else None
        self.text_share = text_share
        self.token_dropout = token_dropout
        self.modality_dropout = modality_dropout
        self.rationale = rationale
        self.rows = rows
        self.cache = EncodingCache(processor)

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Collate.

        The batch has the keys of `ClinRaGenProcessor.__call__`, and `target_weights`, `disease_targets` and
        `disease_evidence` where needed.
        """
        shown = self._shown(items) if self.modality_dropout else [set(MODALITY_COLUMNS)] * len(items)
        pairs = list(zip(items, shown, strict=True))
        series = [item["series"] if "labs" in own else None for item, own in pairs]
        targets = [self._target(item, own) for item, own in pairs]
        readings = [
            self.cache.reading(item, item["note"] if "note" in own else "", one)
            for (item, own), one in zip(pairs, series, strict=True)
        ]
        described = [self.cache.features(item, one) for item, one in zip(items, series, strict=True)]
        labs = series if self.phase.reads_labs else None
        batch = dict(self.processor.inputs(readings, labs, described=described))
        tokens = [self.cache.target_ids(item, text) for item, text in zip(items, targets, strict=True)]
        labels = torch.from_numpy(self.processor.labels(tokens))
        # Rounded up, so that few different lengths occur and kernels and memory are reused.
        batch["labels"] = torch.nn.functional.pad(labels, (0, -labels.shape[1] % MULTIPLE), value=IGNORED)
        if self.diagnosis_weight != 1.0:
            batch["target_weights"] = self._weights(targets, batch["labels"].shape)
        if self.diseases is not None:
            batch["disease_targets"] = disease_targets(items, self.diseases)
            if self._cited is not None:
                batch["disease_evidence"] = self._evidence(pairs, readings, batch, self._cited)
        if self.text_share < 1:
            batch["labels"][torch.randperm(len(items))[round(self.text_share * len(items)) :]] = IGNORED
        if self.token_dropout:
            mask = batch["attention_mask"]
            kept = mask * (torch.rand(mask.shape) >= self.token_dropout)
            # At least one token stays where there was one.
            batch["attention_mask"] = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
        if self.rows:
            batch[ROWS] = torch.tensor([item["row"] for item in items])
        return batch

    def whole(self) -> PhaseCollator:
        """The same without anything left out, for evaluation; both keep encodings within one limit."""
        made = PhaseCollator(
            self.processor,
            self.phase,
            diagnosis_weight=self.diagnosis_weight,
            diseases=self.diseases,
            rationale=self.rationale,
        )
        made._cited = self._cited
        made.cache = self.cache
        return made

    def _shown(self, items: Sequence[dict[str, Any]]) -> list[set[str]]:
        draws = torch.rand(len(items)).tolist()
        return [
            {"labs"}
            if draw < self.modality_dropout / 2 and item["series"] is not None and len(item["series"]["hours"])
            else {"note"}
            if self.modality_dropout / 2 <= draw < self.modality_dropout and item["note"].strip()
            else {"note", "labs"}
            for item, draw in zip(items, draws, strict=True)
        ]

    def target(self, item: dict[str, Any]) -> str:
        """The target of an item of which nothing is left out."""
        return self._target(item, set(MODALITY_COLUMNS))

    def _target(self, item: dict[str, Any], shown: set[str]) -> str:
        rationales = _rationales(item, shown).values() if self.rationale else ()
        return self.processor.target(item["diagnoses"], *rationales)

    def _evidence(
        self,
        pairs: Sequence[tuple[dict[str, Any], set[str]]],
        readings: Sequence[Reading],
        batch: Mapping[str, torch.Tensor],
        cited: CitedEvidence,
    ) -> torch.Tensor:
        """`(batch, tokens, diseases)`, or with the variables behind the tokens where the batch has labs."""
        tokens = batch["input_ids"].shape[1]
        variables = len(self.processor.feature_extractor.variables) if "lab_mask" in batch else 0
        found = torch.zeros(len(pairs), tokens + variables, len(self.diseases or ()), dtype=torch.bool)
        before = self.processor.note_start()
        first = batch["attention_mask"].argmax(dim=1).tolist()
        marks: list[tuple[int, int, int]] = []
        for row, ((item, shown), reading) in enumerate(zip(pairs, readings, strict=True)):
            start = first[row] + before
            for column in _rationales(item, shown):
                quoted, named = self.cache.evidence(item, reading, column, cited)
                marks += [(row, start + place, disease) for place, disease in quoted]
                marks += [(row, tokens + place, disease) for place, disease in named] if variables else []
        if marks:
            found[tuple(torch.tensor(marks).T)] = True
        return found

    def _weights(self, targets: Sequence[str], shape: torch.Size) -> torch.Tensor:
        weights = torch.zeros(shape)
        for row, target in enumerate(targets):
            listed = torch.tensor(self.processor.diagnosis_positions(target))
            weight = torch.where(listed, self.diagnosis_weight, 1.0)
            weights[row, : len(listed)] = weight / weight.mean()
        return weights
