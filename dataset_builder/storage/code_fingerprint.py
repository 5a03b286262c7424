"""Digest of the code that a function depends on: its module's imports, their data files and installed libraries.

Nothing is imported: the source files are parsed. A change to a module outside the closure leaves the digest as it is.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("modeling_clinragen", "dataset_builder", "trainers", "clinragen", "spaces_demo")
# Libraries whose distribution has another name; any other such is looked up among all installed ones, which is slow.
DISTRIBUTIONS = {"Bio": "biopython", "ibis": "ibis-framework", "sklearn": "scikit-learn", "yaml": "PyYAML"}
DATA_SUFFIXES = (".yaml", ".json", ".csv", ".md", ".jsonl")


@dataclass(frozen=True)
class _Import:
    """One imported name: `module`, and in `from module import name` the name; `lazy` inside a function."""

    module: str
    name: str | None
    lazy: bool


@lru_cache(maxsize=64)
def code_fingerprint(module: str) -> str:
    """Digest of everything that `module` is made of.

    That is the source of the modules in its import closure, the data files of their folders (beside a module, and
    below `resources/`; not one that is named like another module), and the installed versions of the libraries that
    these modules import at any level.

    Args:
        module: Full name of a module of this project, e.g. "dataset_builder.cohort.build".
    """
    modules, libraries = _closure(module)
    paths = {_path(name) for name in modules}
    digest = hashlib.sha256()
    data = {file for folder in {path.parent for path in paths} for file in _data(folder)}
    # What has the name of a module beside it, such as a template, is that module's alone.
    data = {file for file in data if (owner := file.with_suffix(".py")) in paths or not owner.is_file()}
    for path in sorted(paths | data):
        digest.update(f"{_shown(path)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for distribution, installed in sorted(_versions(libraries).items()):
        digest.update(f"{distribution}=={installed}\0".encode())
    return digest.hexdigest()


def import_closure(module: str) -> frozenset[str]:
    """Names of all modules of this project that `module` imports, itself included.

    Imports inside functions count, those under `if TYPE_CHECKING:` do not. With a module come the packages around it;
    what their `__init__` imports inside functions (lazy exports) counts only where such an export is used.

    Raises:
        ModuleNotFoundError: `module` is not a module of this project.
    """
    return _closure(module)[0]


@lru_cache(maxsize=64)
def _closure(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """The modules of this project, and the names of libraries that any of them imports."""
    if not _exists(module):
        raise ModuleNotFoundError(f"{module} is not a module of {', '.join(PACKAGES)}", name=module)
    modules: set[str] = set()
    libraries: set[str] = set()
    exporting: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        modules.add(name)
        package = name.rpartition(".")[0]
        waiting += [package] if package else []
        for found in _imports(name):
            if found.lazy and _is_package(name) and name not in exporting:
                continue
            top = found.module.partition(".")[0]
            if top not in PACKAGES:
                libraries.add(top)
                continue
            waiting.append(found.module)
            if found.name is None:
                continue
            submodule = f"{found.module}.{found.name}"
            if _exists(submodule):
                waiting.append(submodule)
            elif found.module not in exporting and _is_package(found.module) and not _binds(found.module, found.name):
                # A lazy export: it may come from any module of the package.
                exporting.add(found.module)
                modules.discard(found.module)
                waiting += [found.module, *_modules_in(found.module)]
    return frozenset(modules), frozenset(libraries - set(sys.stdlib_module_names))


@lru_cache(maxsize=1024)
def _imports(module: str) -> tuple[_Import, ...]:
    package = module if _is_package(module) else module.rpartition(".")[0]
    return tuple(_walk(ast.parse(_path(module).read_bytes()), package, lazy=False))


def _walk(node: ast.AST, package: str, *, lazy: bool) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        yield from (_Import(alias.name, None, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*parents, *([node.module] if node.module else [])])
        yield from (_Import(source, alias.name, lazy) for alias in node.names)
    elif isinstance(node, ast.If) and _is_type_checking(node):
        for child in node.orelse:
            yield from _walk(child, package, lazy=lazy)
    else:
        inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else ():
                # Only blocks of statements: an expression cannot import, and there are many.
                if isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case)):
                    yield from _walk(child, package, lazy=inside)


def _is_type_checking(node: ast.If) -> bool:
    test = node.test
    if isinstance(test, ast.Attribute):
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _binds(package: str, name: str) -> bool:
    """Whether the package's `__init__` itself defines or imports `name`, outside functions."""
    tree = ast.parse(_path(package).read_bytes())
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and name in {one.asname or one.name for one in node.names}:
            return True
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in {target.id for target in targets if isinstance(target, ast.Name)}:
                return True
    return False


@lru_cache(maxsize=len(PACKAGES))
def _top_folder(package: str) -> Path | None:
    spec = find_spec(package)  # of a top-level name: this imports nothing
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _candidate(module: str) -> Path | None:
    top, *rest = module.split(".")
    folder = _top_folder(top) if top in PACKAGES else None
    if folder is None:
        return None
    inner = folder.joinpath(*rest)
    return inner / "__init__.py" if inner.is_dir() or not rest else inner.with_name(f"{rest[-1]}.py")


def _exists(module: str) -> bool:
    path = _candidate(module)
    return path is not None and path.is_file()


def _path(module: str) -> Path:
    path = _candidate(module)
    if path is None or not path.is_file():
        raise ModuleNotFoundError(f"{module} has no source file", name=module)
    return path


def _is_package(module: str) -> bool:
    return _path(module).name == "__init__.py"


def _modules_in(package: str) -> list[str]:
    return [f"{package}.{path.stem}" for path in _path(package).parent.glob("*.py") if path.stem != "__init__"]


def _data(folder: Path) -> Iterator[Path]:
    for path in (*folder.glob("*"), *(folder / "resources").rglob("*")):
        if path.suffix in DATA_SUFFIXES and path.is_file():
            yield path


def _shown(path: Path) -> str:
    """The path from the package on, the same wherever the project is installed."""
    for package in PACKAGES:
        folder = _top_folder(package)
        if folder is not None and path.is_relative_to(folder):
            return f"{package}/{path.relative_to(folder).as_posix()}"
    return path.name


def _versions(libraries: frozenset[str]) -> dict[str, str]:
    found = {}
    for library in libraries:
        name = DISTRIBUTIONS.get(library, library)
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if find_spec(library) is not None:
                found |= {name: version(name) for name in packages_distributions().get(library, ())}
    return found
