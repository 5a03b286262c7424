"""The task "clinical-rationale" of transformers' `pipeline`: a note or measurements in, diagnoses and reasons out.

The text is written freely, as the model learned to: nothing of it is checked against the patient. Explanations in
which every sentence is checked come from the package `clinragen` (`clinragen.Explainer`, `clinragen predict`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import Pipeline

from .custom_tasks_clinragen import TASK
from .diagnosing_clinragen import diagnose_patients, write_targets
from .errors import InputDataError, ModelInputError
from .reading_clinragen import require_input
from .series_input_clinragen import is_table

HOURS = "hours"
FORWARD = ("note", "labs", "batch_size")


class ClinicalRationalePipeline(Pipeline):
    """Diagnoses patients and writes why, as `pipeline("clinical-rationale", model=folder, trust_remote_code=True)`.

    With `import clinragen`, `pipeline(model=folder)` is enough.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, model: Any, processor: Any, task: str = TASK, **settings: Any) -> None:
        super().__init__(model=model, processor=processor, task=task, **settings)
        self.model.eval()

    def __call__(
        self,
        note: str | Sequence[str | None] | None = None,
        labs: Any = None,
        *,
        batch_size: int = 8,
        **generation: Any,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Diagnose one patient, or as many as there are notes or series in a list.

        Args:
            note: The note(s); None for a patient without one.
            labs: A CSV file with a column `hours` (since ICU admission) and one for each variable that was measured,
                by its key or name, perhaps with a unit in brackets; or a series as the processor takes it. A list of
                either for several patients; None where nothing was measured.
            batch_size: Patients whose texts are written at once.
            generation: Options of `generate`, such as `num_beams`; greedy by default.

        Returns:
            For each patient `text` (as written), `diagnoses` (the list parsed from it), `rationale`, `problem` (a
            format error, or None), `probabilities` by disease (None where the model has no disease head), and
            `warnings` (what of the patient was not read, or is unlike the training data).

        Raises:
            ModelInputError: Nothing is given of a patient, or another number of notes than of series.
            InputDataError: A CSV file cannot be read; the message names row and column.
        """
        several = not (isinstance(note, str | None) and _one(labs))
        notes: Any = [note] if not several else note
        series: Any = [labs] if not several else labs
        if several and (isinstance(notes, str) or (series is not None and _one(series))):
            raise ModelInputError("one note or series is given beside a list; give a list of both, or one of each")
        size = len(notes if notes is not None else series)
        notes = [None] * size if notes is None else list(notes)
        series = [None] * size if series is None else list(series)
        if len(notes) != len(series):
            raise ModelInputError(f"{len(notes)} notes and {len(series)} series are given; give as many of each")
        patients = list(zip(notes, series, strict=True))
        found: list[dict[str, Any]] = []
        for start in range(0, size, batch_size):
            prepared = self.preprocess(patients[start : start + batch_size])
            found += self.postprocess(self.forward(prepared, **{**self._forward_params, **generation}))
        return found if several else found[0]

    def _sanitize_parameters(self, **settings: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {name: value for name, value in settings.items() if name not in FORWARD}, {}

    def preprocess(self, input_: Sequence[tuple[str | None, Any]], **settings: Any) -> dict[str, Any]:
        """The patients of a batch, their CSV files read."""
        patients = []
        for note, labs in input_:
            series = read_columns(labs) if isinstance(labs, str | Path) else labs
            series = self.processor.standard_series(series)
            require_input(note, series)
            patients.append((note, series))
        return {"patients": patients}

    def _forward(self, input_tensors: dict[str, Any], **generation: Any) -> dict[str, Any]:
        patients = input_tensors["patients"]
        settings = {"do_sample": False, "num_beams": 1, **generation}
        texts = write_targets(self.model, self.processor, patients, **settings)
        probabilities = None
        if self.model.disease_head is not None:
            probabilities = diagnose_patients(self.model, self.processor, patients)
        return {"patients": patients, "texts": texts, "probabilities": probabilities}

    def postprocess(self, model_outputs: dict[str, Any], **settings: Any) -> list[dict[str, Any]]:
        """Parse the texts of a batch."""
        notes, series = zip(*model_outputs["patients"], strict=True)
        reports = self.processor.read_reports(notes, series)
        chances = model_outputs["probabilities"]
        rows = [None] * len(notes) if chances is None else chances.tolist()
        found = []
        for text, report, row in zip(model_outputs["texts"], reports, rows, strict=True):
            parsed = self.processor.parse(text)
            found.append(
                {
                    "text": text,
                    "diagnoses": list(parsed.diagnoses),
                    "rationale": parsed.rationale,
                    "problem": parsed.problem,
                    "probabilities": None if row is None else dict(zip(self.model.config.diseases, row, strict=True)),
                    "warnings": [*([] if report.whole else [report.sentence]), *self.processor.unlike(report)],
                }
            )
        return found


def read_columns(path: str | Path) -> dict[str, list[float | None]]:
    """Read a CSV file as columns by title; an empty cell is None. A semicolon may separate as well as a comma.

    Raises:
        InputDataError: The file cannot be read, has no column `hours`, or a cell is not a number. The message never
            has a value.
    """
    name = Path(path).name
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InputDataError(
            f"{name}: cannot be read as a text file in UTF-8; check the path, or save it so"
        ) from error
    first = text.partition("\n")[0]
    rows = [row for row in csv.reader(text.splitlines(), delimiter=";" if ";" in first else ",") if any(row)]
    titles = [title.strip() for title in rows[0]] if rows else []
    if HOURS not in [title.casefold() for title in titles]:
        raise InputDataError(f"{name}: has no column '{HOURS}' in its first line; add the hours since ICU admission")
    if len(set(titles)) < len(titles):
        raise InputDataError(f"{name}: has two columns of one name; keep one")
    columns: dict[str, list[float | None]] = {title: [] for title in titles}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(titles):
            raise InputDataError(f"{name}: row {number} has {len(row)} cells, the first line {len(titles)}")
        for title, cell in zip(titles, row, strict=True):
            columns[title].append(_number(cell.strip(), f"{name}: row {number}, column '{title}'"))
    return columns


def _number(cell: str, where: str) -> float | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        # The cause would show the cell.
        raise InputDataError(f"{where}: is not a number; leave the cell empty where nothing was measured") from None


def _one(labs: Any) -> bool:
    """Whether this is the series of one patient."""
    return labs is None or isinstance(labs, str | Path | Mapping) or is_table(labs)


__all__ = ["ClinicalRationalePipeline", "read_columns"]
