"""Files to be sent to a repository of the Hub, their sizes and the licence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from clinragen.pipeline.digests import file_names, read_stamp
from clinragen.pipeline.publish import PublishConfig
from clinragen.pipeline.publish import run as publish
from dataset_builder.storage.files import private_folder, read_json
from dataset_builder.storage.governance import read_provenance, require_publishable
from dataset_builder.storage.progress import no_report
from modeling_clinragen.errors import GovernanceError, InputDataError, SettingsError

CARD = "README.md"
CONFIG = "config.json"
BASE = "base_model_name_or_path"
MODEL_SUFFIXES = (".json", ".safetensors", ".py", ".md", ".txt", ".model", ".jinja")
"""What a model folder consists of; whatever else somebody laid there stays."""


@dataclass(frozen=True)
class Shipment:
    """Files for one repository.

    Args:
        kind: "model", "dataset" or "space".
        repository: Its id, `owner/name`.
        files: By path in the repository, the file here or the content itself.
        licence: Id of the licence that its card names.
    """

    kind: str
    repository: str
    files: Mapping[str, Path | bytes]
    licence: str

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes by path in the repository."""
        return {
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in sorted(self.files.items())
        }

    @property
    def lines(self) -> list[str]:
        """The files and the licence, as lines for people."""
        sizes = self.sizes
        return [
            f"{self.kind.capitalize()} for {self.repository}, licence {self.licence}:",
            *(f"{size:>12,} bytes  {name}" for name, size in sizes.items()),
            f"{sum(sizes.values()):>12,} bytes  in {len(sizes)} files",
        ]


def require_repository(name: str) -> None:
    """Raise `SettingsError` where a name is not that of a repository, or has no owner."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise SettingsError(f"--to: '{name}' is not a repository of the Hub; write OWNER/NAME") from error
    if "/" not in name:
        raise SettingsError(f"--to: '{name}' has no owner; write OWNER/NAME")


def require_open_model(folder: Path, destination: str) -> None:
    """Raise `GovernanceError` unless a model folder says, in every place, that it was made of open data.

    Raises:
        InputDataError: There is no model, or its files are damaged.
    """
    if not (folder / CONFIG).is_file():
        raise InputDataError(f"{folder}: has no {CONFIG}; give a model folder")
    require_publishable(folder, destination)
    # The provenance may be of another model; the config is saved with the weights.
    if read_json(folder / CONFIG).get("credentialed") is not False:
        raise GovernanceError(
            f"{folder}: its {CONFIG} says that the model learned from credentialed data, or not from what, so it "
            f"cannot go to {destination}; keep it here, or submit it to PhysioNet under the source's own licence"
        )


@contextmanager
def model_shipment(
    folder: Path,
    repository: str,
    *,
    evaluation: Path,
    cohort: Path,
    knowledge: Path | None = None,
    dataset: str | None = None,
) -> Iterator[Shipment]:
    """The files of a model, while the block runs.

    A folder of `clinragen train`, which has no card, gets one, and the knowledge base that its rationales are checked
    by, as in the stage `publish`; the folder itself is left as it is. The path of a language model on this machine
    stays here.

    Args:
        folder: The model folder.
        repository: Its id.
        evaluation, cohort: Of the model, for its card.
        knowledge: Folder with the knowledge base, where the model folder has none.
        dataset: Id of the cohort's repository, for the card.

    Raises:
        InputDataError: There is no knowledge base.
    """
    from clinragen.knowledge.reader import KNOWLEDGE

    with TemporaryDirectory(prefix="clinragen-push-") as temporary:
        source = folder
        if not (folder / CARD).is_file() or not (folder / KNOWLEDGE).is_file():
            if knowledge is None and not (folder / KNOWLEDGE).is_file():
                raise InputDataError(
                    f"{folder}: has no {KNOWLEDGE}, which its rationales are checked by; give its folder with "
                    "--knowledge"
                )
            source = private_folder(Path(temporary) / "model")
            inputs = {"model": folder, "evaluation": evaluation, "cohort": cohort}
            if knowledge is not None:
                inputs["knowledge"] = knowledge
            publish(PublishConfig(phases=_phases(folder)), inputs, source, no_report)
        files: dict[str, Path | bytes] = {
            name: source / name
            for name in _names(source)
            if "/" not in name and Path(name).suffix in MODEL_SUFFIXES and name != "curve.json"
        }
        files[CONFIG] = _config(source / CONFIG)
        card = (source / CARD).read_text(encoding="utf-8")
        if dataset is not None:
            card = _with_dataset(card, dataset)
            files[CARD] = card.encode()
        yield Shipment("model", repository, files, _licence(card))


def dataset_shipment(folder: Path, repository: str) -> Shipment:
    """The files of a cohort.

    Raises:
        InputDataError: The folder has no card.
    """
    if not (folder / CARD).is_file():
        raise InputDataError(f"{folder}: has no {CARD}; give a cohort folder, made by `build` or `rationales`")
    files: dict[str, Path | bytes] = {name: folder / name for name in _names(folder)}
    return Shipment("dataset", repository, files, _licence((folder / CARD).read_text(encoding="utf-8")))


def space_shipment(folder: Path, repository: str) -> Shipment:
    """The files of a Space that has been written."""
    files: dict[str, Path | bytes] = {name: folder / name for name in file_names(folder)}
    shipment = Shipment("space", repository, files, _licence((folder / CARD).read_text(encoding="utf-8")))
    model = folder / "model" / CARD
    if not model.is_file():
        return shipment
    return replace(shipment, licence=f"{shipment.licence}, its model {_licence(model.read_text(encoding='utf-8'))}")


def _names(folder: Path) -> list[str]:
    """A stage's own files where a stage wrote the folder, else all of them."""
    stamp = read_stamp(folder)
    return [name for name in file_names(folder) if stamp is None or name in stamp["files"]]


def _phases(folder: Path) -> tuple[str, ...]:
    steps = (str(step.get("step")) for step in read_provenance(folder).get("steps", ()))
    return tuple(step.removeprefix("train ") for step in steps if step.startswith("train "))


def _config(path: Path) -> Path | bytes:
    """config.json, without a path that tells who works where."""
    content: dict[str, Any] = read_json(path)
    base = content.get(BASE)
    if base is None or not (Path(base).exists() or Path(base).is_absolute()):
        return path
    return (json.dumps({**content, BASE: Path(base).name}, indent=2, sort_keys=True) + "\n").encode()


def _licence(card: str) -> str:
    from huggingface_hub import RepoCard

    return str(RepoCard(card, ignore_metadata_errors=True).data.get("license") or "not named")


def _with_dataset(card: str, dataset: str) -> str:
    from huggingface_hub import ModelCard

    loaded = ModelCard(card)
    loaded.data["datasets"] = [dataset]
    return str(loaded)
