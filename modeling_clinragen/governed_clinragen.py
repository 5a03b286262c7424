"""The origin of a model and its processor, and what follows from it: private folders, and nothing on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .errors import GovernanceError
from .hub_guard_clinragen import refuse_hub_writes
from .provenance_clinragen import UNRECORDED, credentialed_folder, is_credentialed, recorded_folder, recorded_in


class GovernedModel:
    """The part of a ClinRaGen model that keeps credentialed data where they are; mixed into `PreTrainedModel`.

    Attributes:
        provenance: Where the model comes from, as the provenance.json beside its weights says; None where there is
            none. Whoever trains it on more sets it; every folder that the model is saved to carries it.
    """

    config: Any
    language_model: Any
    provenance: Mapping[str, Any] | None = None

    def mark_credentialed(self) -> None:
        """Record that the model learned, or is about to learn, from credentialed data or data of unknown origin.

        Nothing takes it back. The language model inside is marked too, so that it stays so when it is saved alone. The
        process writes nothing to the Hub any more (see `refuse_hub_writes`).
        """
        self.config.credentialed = True
        self.language_model.config.credentialed = True
        refuse_hub_writes()

    def set_provenance(self, provenance: Mapping[str, Any] | None) -> None:
        """Set where the model comes from. A credentialed provenance marks the model as credentialed.

        Args:
            provenance: What a provenance.json holds; None where it is not known, which changes nothing.
        """
        if provenance is None:
            return
        self.provenance = dict(provenance)
        if is_credentialed(provenance):
            self.mark_credentialed()

    def recorded(self, folder: str | Path) -> AbstractContextManager[None]:
        """A context in which the model is saved into `folder`, as private as it must be and with its provenance."""
        closed = self.config.credentialed is not False
        record = self.provenance
        if closed:
            self.mark_credentialed()
        if closed and (record is None or not is_credentialed(record)):
            # More was learned than the record says.
            record = UNRECORDED if record is None else {**record, "credentialed": True}
        return recorded_folder(folder, record, private=closed)

    def require_publishable(self, destination: str) -> None:
        """Raise `GovernanceError` when the model learned from credentialed data, or when its origin is unrecorded."""
        # Only an explicit False allows it.
        if self.config.credentialed is not False:
            raise GovernanceError(
                f"{destination}: this model learned from credentialed data (or its config does not say from what), "
                "which binds its weights too; keep it on this machine, or submit it to PhysioNet under that licence"
            )

    def push_to_hub(self, repo_id: str, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, for models that learned from open data alone.

        Raises `GovernanceError` for all others, private repositories included: `private` does not change a
        repository that exists, and a private one is one click from being public.
        """
        self.require_publishable(f"the Hub repository {repo_id}")
        return super().push_to_hub(repo_id, *args, **kwargs)  # type: ignore[misc]


class GovernedProcessor:
    """The same for a processor, whose tokenizer and statistics may come from patients; mixed into `ProcessorMixin`.

    Attributes:
        provenance: What the provenance.json of the model's folder says; None where it is not known. Every folder that
            the processor is saved to carries it.
    """

    provenance: Mapping[str, Any] | None = None

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """As in transformers. One from credentialed data keeps the process off the Hub (see `refuse_hub_writes`)."""
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)  # type: ignore[misc]
        processor = loaded[0] if isinstance(loaded, tuple) else loaded
        # What is on the Hub has been published already.
        if Path(pretrained_model_name_or_path).is_dir():
            processor.provenance = recorded_in(pretrained_model_name_or_path)
            if credentialed_folder(pretrained_model_name_or_path):
                refuse_hub_writes()
        return loaded

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> Any:
        """As in transformers; for the owner alone unless it, or the folder it is saved to, is known to be open."""
        known = self.provenance
        closed = credentialed_folder(save_directory) if known is None else is_credentialed(known)
        with recorded_folder(save_directory, known, private=closed):
            # transformers splits it as a text.
            return super().save_pretrained(str(save_directory), *args, **kwargs)  # type: ignore[misc]

    def to_dict(self) -> dict[str, Any]:
        """As in transformers, without the provenance, which is a file of its own."""
        content: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        content.pop("provenance", None)
        return content
