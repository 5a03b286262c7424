"""Makes the Auto classes know ClinRaGen as soon as somebody imports transformers, and no earlier."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def register_with_transformers() -> None:
    """Register now if transformers is imported, else as soon as it is.

    `clinragen --help` must answer at once, and importing transformers takes seconds. So `import clinragen` does not
    import it; whoever does afterwards finds the classes registered all the same.
    """
    if "transformers" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _RegisterAfterImport())


def _register() -> None:
    from modeling_clinragen.registration import register_auto_classes

    register_auto_classes()


class _RegisterAfterImport(MetaPathFinder, Loader):
    """Runs the registration right after transformers' own module code."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "transformers":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            self.real, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.real
        self.real.exec_module(module)
        _register()
