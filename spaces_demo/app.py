"""The page of one model as a Space. README.md says how it is deployed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clinragen.demo.page import LAUNCH, open_page
from dataset_builder.storage.governance import require_publishable


def make_page() -> Any:
    """The page of the model folder in the variable CLINRAGEN_MODEL, by default of `model` beside this file.

    Raises:
        StageError: There is no model.
        GovernanceError: The model was made from credentialed data: whoever opens a Space could question it.
    """
    folder = Path(os.environ.get("CLINRAGEN_MODEL") or Path(__file__).parent / "model")
    page = open_page(folder)
    require_publishable(folder, "a Space")
    return page


if __name__ == "__main__":
    make_page().launch(**LAUNCH)
