"""Makes transformers' Auto classes know ClinRaGen without importing transformers.

`import clinragen` shall cost nothing to a program that only loads a cohort, and the Auto classes shall know the model
whether transformers was imported before or after. So a finder on `sys.meta_path` waits for transformers' auto modules
and registers the model's classes in those that have been loaded. Two things keep this from disturbing an import:

- It waits until no import of a part of transformers is under way. The auto modules are often loaded in the middle of
  another one, whose half-made module the model's config would meet.
- It registers stand-ins, which import the model at their first use: peft, for instance, loads an auto module while it
  is itself being imported, and the model needs peft.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType
from typing import Any

WATCHED = ("transformers.", "modeling_clinragen.")
AUTO = "transformers.models.auto"
PIPELINES = "transformers.pipelines"
CLASSES: dict[str, dict[str, str]] = {
    f"{AUTO}.configuration_auto": {"AutoConfig": "ClinRaGenConfig"},
    f"{AUTO}.modeling_auto": {
        "AutoModel": "ClinRaGenForConditionalGeneration",
        "AutoModelForSeq2SeqLM": "ClinRaGenForConditionalGeneration",
        "AutoModelForMultimodalLM": "ClinRaGenForConditionalGeneration",
        "AutoModelForTextEncoding": "ClinRaGenModel",
    },
    f"{AUTO}.feature_extraction_auto": {"AutoFeatureExtractor": "ClinRaGenLabFeatureExtractor"},
    f"{AUTO}.processing_auto": {"AutoProcessor": "ClinRaGenProcessor"},
    PIPELINES: {"PIPELINE_REGISTRY": "ClinicalRationalePipeline"},
}


class _StandIn:
    """A class of the model, imported at its first use, which puts the real classes in place of the stand-ins."""

    def __init__(self, name: str, config_class: type) -> None:
        self.__name__ = name
        self.__module__ = "modeling_clinragen"
        self.config_class = config_class

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(getattr(import_module("modeling_clinragen"), self.__name__), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module("modeling_clinragen"), self.__name__)(*args, **kwargs)


class _AutoModuleFinder(MetaPathFinder):
    """Registers the model's classes in every loaded auto module as soon as no import of `WATCHED` is under way."""

    def __init__(self) -> None:
        self.waiting = [name for name in CLASSES if name in sys.modules]
        # Depth of the watched imports that are under way, by thread.
        self.under_way: Counter[int] = Counter()

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not fullname.startswith(WATCHED):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((one for one in found if one is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module: ModuleType) -> None:
                thread = get_ident()
                self.under_way[thread] += 1
                try:
                    execute(module)
                finally:
                    self.under_way[thread] -= 1
                if fullname in CLASSES:
                    self.waiting.append(fullname)
                if not self.under_way[thread]:
                    self.register()

            # On the instance, which belongs to this one module: everything else of the loader stays as it is.
            spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec

    def register(self) -> None:
        """Register in the auto modules that have been loaded since the last time."""
        while self.waiting:
            # Taken first: importing the config below may load and register further auto modules.
            module = self.waiting.pop()
            config = import_module("modeling_clinragen.configuration_clinragen").ClinRaGenConfig
            for auto, name in CLASSES[module].items():
                registry = getattr(sys.modules[module], auto)
                if module == PIPELINES:
                    _register_pipeline(registry, _StandIn(name, config), sys.modules[module])
                elif auto == "AutoConfig":
                    registry.register(config.model_type, config, exist_ok=True)
                else:
                    registry.register(config, _StandIn(name, config), exist_ok=True)


def _register_pipeline(registry: Any, stand_in: _StandIn, module: Any) -> None:
    tasks = import_module("modeling_clinragen.custom_tasks_clinragen")
    # Unless importing the config above has registered the real one.
    if tasks.TASK not in registry.supported_tasks:
        kind = getattr(module, tasks.MODEL_CLASS)
        registry.register_pipeline(tasks.TASK, pipeline_class=stand_in, pt_model=(kind,), type="multimodal")


def install() -> None:
    """Let the Auto classes know the model from now on. A second call changes nothing."""
    if not any(isinstance(finder, _AutoModuleFinder) for finder in sys.meta_path):
        finder = _AutoModuleFinder()
        sys.meta_path.insert(0, finder)
        finder.register()
