"""Which model an answer is from, and what it was trained on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.storage.files import fingerprint
from modeling_clinragen.loading_clinragen import locate
from modeling_clinragen.provenance_clinragen import CONFIG, PROVENANCE, origins_of, recorded_in

_DIGITS = 16
"""Of a digest that stands for a revision: enough to tell models apart, and short enough to be compared by eye."""


@dataclass(frozen=True)
class ModelOrigin:
    """A model, for whoever reads one of its answers.

    Args:
        name: The folder's own name, or owner and name on the Hub; never a path, which may say whose machine it is.
        revision: The commit on the Hub, or the first digits of a digest of configuration and weights.
        data: What it was trained on, in words.
    """

    name: str
    revision: str
    data: str


def model_origin(folder: str | Path) -> ModelOrigin:
    """The origin of a model, from its folder or from the Hub's copy on this machine.

    Args:
        folder: The folder, or `hf://owner/name`.

    Raises:
        InputDataError, GovernanceError: As `Explainer.from_pretrained`.
    """
    source, where = locate(folder)
    if where["local_files_only"]:
        own = Path(source)
        files = [own / CONFIG, *sorted(own.glob("*.safetensors"))]
        revision = fingerprint(files=[file for file in files if file.is_file()])[:_DIGITS]
        return ModelOrigin(own.resolve().name, revision, _data_of(own))
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    # The library keeps the files of a commit in a folder of its name.
    snapshot = Path(hf_hub_download(source, CONFIG, **where)).parent
    with suppress(EntryNotFoundError):
        hf_hub_download(source, PROVENANCE, **where)
    return ModelOrigin(source, snapshot.name, _data_of(snapshot))


def _data_of(folder: Path) -> str:
    record = recorded_in(folder)
    if record is None:
        return "training data not recorded"
    described = []
    for origin in origins_of(record):
        licence = origin["licence"]
        name = licence.get("name", licence.get("id", "")) if isinstance(licence, dict) else str(licence)
        version = "" if origin["version"] in (None, "", "unknown") else f", version {origin['version']}"
        described.append(f"{origin['title']}{version} ({name or 'licence not recorded'})")
    return "; ".join(dict.fromkeys(described))
