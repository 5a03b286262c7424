"""The claim checker as a scorer of the evaluation framework Inspect (`pip install 'clinragen[inspect]'`).

    from clinragen.inspect_scorer import claims_scorer

    Task(dataset=..., solver=generate(), scorer=claims_scorer())

A sample's metadata have `note`, the patient's note, and `series`, with `hours` and `values` as
`clinragen.checking.inputs.patient_of` takes them; one of the two may be missing. Inspect writes samples into its logs,
notes included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinragen.checking.checked import check_text
from clinragen.checking.inputs import patient_of, read_standards
from clinragen.checking.render_text import render_text
from clinragen.claims.sentences import Patient
from modeling_clinragen.errors import ModelInputError, SettingsError
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET, Vocabulary

try:
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import TaskState
except ModuleNotFoundError as error:
    raise SettingsError("inspect_ai is not installed; run: pip install 'clinragen[inspect]'") from error


@scorer(metrics=[mean(), stderr()])
def claims_scorer(
    knowledge: str | None = None, vocabulary: str | None = None, range_set: str = DEFAULT_RANGE_SET
) -> Scorer:
    """Scores 1 where nothing in the completion is contradicted by the patient's data, and 0 where something is.

    The explanation has every claim with its verdict and reason; the metadata count sentences and claims by verdict. A
    completion that claims nothing scores 1: look at the number of supported claims as well.

    Args:
        knowledge, vocabulary, range_set: As the options of `clinragen check`.

    Raises:
        InputDataError: A file is missing or malformed.
        SettingsError: The vocabulary has no such range set.
        ModelInputError: When scoring, a sample's metadata have neither note nor series, or a malformed one.
    """
    checking = read_standards(
        None if vocabulary is None else Path(vocabulary), None if knowledge is None else Path(knowledge), range_set
    )

    async def score(state: TaskState, target: Target) -> Score:
        text = state.output.completion
        checked = check_text(text, _patient(state.metadata, checking.vocabulary), checking)
        return Score(
            value=0 if checked.contradicted else 1,
            answer=text,
            explanation=render_text(checked),
            metadata={"sentences": checked.sentence_counts, "claims": checked.claim_counts},
        )

    return score


def _patient(metadata: Mapping[str, Any], vocabulary: Vocabulary) -> Patient:
    note, series = metadata.get("note"), metadata.get("series")
    if note is None and series is None:
        raise ModelInputError("a sample's metadata need 'note', 'series' or both to check the completion against")
    if note is not None and not isinstance(note, str):
        raise ModelInputError("a sample's note must be a text")
    if series is None:
        return patient_of(vocabulary, note)
    if not isinstance(series, Mapping) or not {"hours", "values"} <= set(series):
        raise ModelInputError("a sample's series must have 'hours' and 'values'")
    return patient_of(vocabulary, note, series["hours"], series["values"])
