"""The two kinds of scores, of diagnoses and of generated rationales; `scores/` has their files and the two lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import Decisions
from modeling_clinragen.errors import InputDataError


@dataclass(frozen=True)
class DiagnosisScore:
    """A score of 0/1 decisions. It appears with its interval in metrics.json and in the report, for every system, and
    so does the full model's difference to every other system.

    Args:
        name: Key in metrics.json, such as "micro_f1".
        title: Column in the report, such as "micro F1".
        compute: From the decisions to one value per resample, `(resamples + 1,)`; the first is that of the split.
        in_terminal: Whether the table in the terminal shows it, too.
    """

    name: str
    title: str
    compute: Callable[[Decisions], np.ndarray]
    in_terminal: bool = False


@dataclass(frozen=True)
class WrittenRationales:
    """The rationales that one system generated for a split.

    Args:
        generated: One rationale per example; None where the output could not be parsed.
        references: The teacher's rationale for what the system reads; "" where there is none.
        examples: Rows of the data contract (`dataset_builder.contract.schema`).
        checking: Vocabulary, normal ranges and what else claims are checked with.

    Raises:
        InputDataError: The three differ in length or are empty.
    """

    generated: Sequence[str | None]
    references: Sequence[str]
    examples: Any
    checking: Checking

    def __post_init__(self) -> None:
        require_one_each(self.generated, self.references)
        if len(self.examples) != len(self.references):
            raise InputDataError(
                f"{len(self.references)} rationales for {len(self.examples)} examples; give one for every example"
            )


@dataclass(frozen=True)
class RationaleScore:
    """A score of generated rationales.

    Args:
        compute: From the rationales to its entries in metrics.json (`rationale.<system>`).
        columns: Columns of the report: title, and the cell made from all entries of a system.
        explain: Sentences below the report's table, made from the entries of all systems.
    """

    compute: Callable[[WrittenRationales], Mapping[str, Any]]
    columns: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...]
    explain: Callable[[Sequence[Mapping[str, Any]]], str]


def require_one_each(generated: Sequence[str | None], references: Sequence[str]) -> None:
    """Raise `InputDataError` unless there is one rationale and one reference for every example."""
    if len(generated) != len(references) or not references:
        raise InputDataError(
            f"{len(generated)} rationales for {len(references)} references; give one of each for every example"
        )
