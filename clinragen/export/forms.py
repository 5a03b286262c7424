"""The forms that an answer can be written in, by the ending of the file. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from dataset_builder.storage.files import require_apart
from modeling_clinragen.errors import SettingsError

FHIR, JSON, PDF = ".fhir.json", ".json", ".pdf"
ENDINGS = (FHIR, JSON, PDF)
"""The longer of two that fit comes first."""
MISSING = "a PDF needs fpdf2; install it with `pip install 'clinragen[demo]'`"


def require_exportable(path: Path, inputs: Iterable[Path] = ()) -> str:
    """The ending of a file that an answer can be written to, checked before there is an answer.

    Args:
        path: The file.
        inputs: Files that it must not replace.

    Raises:
        SettingsError: There is no form with this ending, or the library for it is not installed.
        InputDataError: It would replace one of the inputs.
    """
    ending = next((one for one in ENDINGS if path.name.lower().endswith(one)), None)
    if ending is None:
        raise SettingsError(f"{path}: cannot be exported to; end the name with {PDF}, {JSON} or {FHIR}")
    if ending == PDF and find_spec("fpdf") is None:
        raise SettingsError(MISSING)
    require_apart(path, inputs)
    return ending
