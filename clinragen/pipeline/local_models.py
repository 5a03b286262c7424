"""Language models that lie in folders of the user's: their files decide the result, not where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinragen.llm.providers import LLMConfig
from dataset_builder.storage.config_fields import deciding

IN_PROCESS = "transformers"


def llm_content(config: LLMConfig | None) -> dict[str, Any] | None:
    """Everything that decides a language model's answers: its settings, and of one in this process the files.

    The name of its folder counts too: it stands in the provenance.
    """
    if config is None:
        return None
    found = deciding(config)
    folder = Path(config.model_name)
    if config.provider == IN_PROCESS and folder.is_dir():
        found["model_name"] = [folder.resolve().name, folder]
    return found
