"""The task that a model folder brings to transformers' `pipeline`, as its config.json names it."""

from __future__ import annotations

from typing import Any

TASK = "clinical-rationale"
MODEL_CLASS = "AutoModelForSeq2SeqLM"
CUSTOM_PIPELINES: dict[str, Any] = {
    TASK: {"impl": "pipeline_clinragen.ClinicalRationalePipeline", "pt": [MODEL_CLASS], "type": "multimodal"}
}


class CustomTasks(dict[str, Any]):
    """A config's `custom_pipelines`, for which `pipeline` runs code of the folder.

    A task that is registered in this process is not among them: the installed class is taken then, and nobody needs
    to trust the folder's code. `pipeline(model=folder)` still learns the task's name from here.
    """

    def __contains__(self, task: object) -> bool:
        from transformers.pipelines import PIPELINE_REGISTRY

        return super().__contains__(task) and task not in PIPELINE_REGISTRY.supported_tasks


__all__ = ["CUSTOM_PIPELINES", "MODEL_CLASS", "TASK", "CustomTasks"]
