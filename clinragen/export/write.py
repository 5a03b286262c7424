"""An answer into a file, whose ending says in which form."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from clinragen.export.fhir import render_fhir
from clinragen.export.forms import JSON, PDF, require_exportable
from clinragen.export.origin import ModelOrigin
from clinragen.export.pdf import render_pdf
from clinragen.export.result import explanation_json
from clinragen.inference import Explanation
from dataset_builder.storage.files import atomic_file


def export_explanation(path: Path, explanation: Explanation, origin: ModelOrigin, moment: datetime) -> None:
    """Write an answer, for its owner alone (0600); the file appears whole or not at all.

    Args:
        path: The file; its ending says in which form.
        explanation: The answer.
        origin: The model that gave it.
        moment: When it did, with its time zone.

    Raises:
        SettingsError: As `require_exportable`.
        InputDataError: The file cannot be written.
    """
    content = rendered(require_exportable(path), explanation, origin, moment)
    with atomic_file(path, private=True) as beside:
        beside.write_bytes(content)


def rendered(ending: str, explanation: Explanation, origin: ModelOrigin, moment: datetime) -> bytes:
    """The content of a file with one of the endings of `clinragen.export.forms`."""
    if ending == PDF:
        return render_pdf(explanation, origin, moment)
    text = explanation_json(explanation) if ending == JSON else render_fhir(explanation, origin, moment)
    return text.encode("utf-8")
