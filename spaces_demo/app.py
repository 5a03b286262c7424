"""The page of one model as a Space. README.md says how it is deployed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from clinragen.demo.access import LOOPBACK, Access
from clinragen.demo.page import open_page
from clinragen.demo.serve import listening_socket, run_page
from clinragen.demo.uploads import private_uploads
from dataset_builder.storage.governance import is_synthetic, read_provenance, require_publishable
from modeling_clinragen.errors import GovernanceError

EVERYWHERE, PORT = "0.0.0.0", 7860


def make_page(uploads: Path | None = None) -> Any:
    """The page of the model folder in the variable CLINRAGEN_MODEL, by default of `model` beside this file.

    Args:
        uploads: The folder of uploaded files (see `private_uploads`).

    Raises:
        StageError: There is no model.
        GovernanceError: The model was not made from synthetic patients alone: whoever opens a Space could question it.
    """
    folder = Path(os.environ.get("CLINRAGEN_MODEL") or Path(__file__).parent / "model")
    page = open_page(folder, uploads=uploads)
    require_publishable(folder, "a Space")
    if not is_synthetic(read_provenance(folder)):
        raise GovernanceError(f"{folder}: is not recorded as made from synthetic patients, and a Space shows no other")
    return page


def main() -> None:
    """Serve the page: on a Space to everybody under the Space's names, elsewhere as `clinragen demo` does."""
    # The names that Spaces gives, separated by commas where it is reached under a domain of its owner's as well.
    names = [name.strip() for name in os.environ.get("SPACE_HOST", "").split(",") if name.strip()]
    with listening_socket(EVERYWHERE if names else LOOPBACK, PORT) as taken, private_uploads() as uploads:
        access = Access.of_everybody(names) if names else Access.of_this_machine(taken.getsockname()[1])
        run_page(make_page(uploads), access, taken, uploads)


if __name__ == "__main__":
    main()
