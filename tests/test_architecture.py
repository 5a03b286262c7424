"""The plan of the house: which room may import which, where state may live, and what an installation brings.

The floors stand once, in pyproject.toml (`tool.importlinter`, checked by `make check`). Tested here is what an import
linter does not see: modules named in strings, circles between single modules, state, and the tests' own folders.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import distribution

import pytest
from conftest import ROOT
from source_files import LINTER, PACKAGES, PROJECT, sources, trees, where

MAX_LINES = 400
FLAT = "modeling_clinragen"
# Of a package with rooms: the modules directly in it (`clinragen/__init__.py`) hand on what its rooms offer, so they
# stand above all of them; the command line, which asks the package for its version, stands above these.
ABOVE_THE_FACE = ("clinragen.cli",)
STATE = {"dataset_builder.storage.files": {"_held"}}
"""Module state that is allowed: which locks the running context holds, which decides no result."""
# Where a user chose nothing, so that the shipped vocabulary is what is meant.
MAY_TAKE_THE_SHIPPED = {
    "dataset_builder.contract.definitions",
    "clinragen.cli.knowledge",
    "clinragen.cli.stage_commands",
    # A model has no codes; those of a disease that is the shipped one by key and name.
    "clinragen.export.fhir_codes",
    # A model folder without a knowledge base of its own.
    "clinragen.inference",
    "clinragen.knowledge.shipped",
    "clinragen.pipeline.synthesize",
    # A download fetches tables, and whose codes are counted in them is chosen later.
    "dataset_builder.download.fetch",
    # The synthetic world is written in the shipped vocabulary.
    "dataset_builder.synthetic.hospital",
    "dataset_builder.synthetic.world_file",
}
PROJECT_WIDE_TESTS = {"benchmarks", "data", "docs"}


def levels() -> list[set[str]]:
    """The rooms from the ground up; rooms on one level do not know each other."""
    contracts = {contract["id"]: contract for contract in LINTER["contracts"]}
    rooms = {
        contract["containers"][0]: contract["layers"]
        for contract in contracts.values()
        if contract["type"] == "layers" and "containers" in contract
    }
    found: list[set[str]] = []
    for package in reversed(contracts["floors"]["layers"]):
        for layer in reversed(rooms.get(package, [])):
            named = {f"{package}.{room.strip()}" for room in re.split(r"[|:]", layer)}
            if named & set(ABOVE_THE_FACE):
                found.append({package})
            found.append(named)
        if {package} not in found:
            found.append({package})
    return found


LEVELS = levels()
LEVEL_OF = {room: number for number, level in enumerate(LEVELS) for room in level}
ROOMS = {room for room in LEVEL_OF if "." in room or not any(other.startswith(f"{room}.") for other in LEVEL_OF)}
ROOM_FOLDERS = {room for room in ROOMS if "." in room and (ROOT / room.replace(".", "/")).is_dir()}


def room_of(module: str) -> str:
    """The room a module is in: the longest name of a room that it begins with."""
    parts = module.split(".")
    return next(name for size in (2, 1) if (name := ".".join(parts[:size])) in LEVEL_OF)


def imports(module: str, *, named: bool = True) -> Iterator[tuple[str, ast.AST]]:
    """The modules of ours that a module imports, anywhere in it; with `named` also those that it names in strings.

    Whoever has a module's name as a string imports it later, or reads its code: an arrow all the same.
    """
    known = sources()
    package = module if known[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(trees()[module]):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            targets = [name if (name := f"{base}.{alias.name}") in known else base for alias in node.names]
        elif named and isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.split(":")[0]
            # A package's own name in a string is where its data files are, not a module to import.
            targets = [name] if "." in name and name in known and known[name].name != "__init__.py" else []
        for target in targets:
            if target in known and target != module:
                yield target, node


def test_every_module_is_in_a_room_of_the_plan() -> None:
    assert set(PACKAGES) == {level.split(".")[0] for level in LEVEL_OF}
    for module in sources():
        assert room_of(module) in ROOMS or sources()[module].parent.name in PACKAGES, module


def test_no_import_goes_up_or_to_a_room_beside() -> None:
    wrong = [
        f"{where(module, node)}: {module} imports {target}"
        for module in sources()
        for target, node in imports(module)
        if room_of(target) != room_of(module) and LEVEL_OF[room_of(target)] >= LEVEL_OF[room_of(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_circle_of_imports() -> None:
    graph = {module: {target for target, _ in imports(module, named=False)} for module in sources()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_model_travels_alone() -> None:
    """A model folder on the Hub carries these files: they import libraries, and each other as `from .x import y`."""
    wrong = []
    for module in (name for name in sources() if name.split(".")[0] == FLAT):
        for node in ast.walk(trees()[module]):
            if isinstance(node, ast.ImportFrom) and node.level:
                good = node.level == 1 and node.module and "." not in node.module
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                good = not any(name.split(".")[0] in PACKAGES for name in names)
            else:
                continue
            if not good:
                wrong.append(f"{where(module, node)}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)
    assert not [path for path in (ROOT / FLAT).iterdir() if path.is_dir() and list(path.glob("*.py"))]


def module_variables(tree: ast.Module) -> dict[str, ast.expr | None]:
    """The names that a module assigns at its top level, with what it assigns."""
    found: dict[str, ast.expr | None] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node.value
    return found


def is_to_be_filled(value: ast.expr | None) -> bool:
    """Whether a value at module level is there to be changed later: an empty container, a context variable."""
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    called = value.func if isinstance(value, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name in ("ContextVar", "local", "defaultdict", "deque", "WeakKeyDictionary", "WeakValueDictionary") or (
        name in ("dict", "list", "set") and isinstance(value, ast.Call) and not value.args and not value.keywords
    )


def changed_names(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Names whose value a function changes: by `global`, by assigning to an element, or by calling a method."""
    changing = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove"}
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        inside = list(ast.walk(function))
        own = {node.arg for node in inside if isinstance(node, ast.arg)}
        own |= {node.id for node in inside if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in inside:
            if isinstance(node, ast.Global):
                yield from ((name, node) for name in node.names)
            holder: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, (ast.Store, ast.Del)):
                holder = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in changing:
                holder = node.func.value
            if isinstance(holder, ast.Name) and holder.id not in own:
                yield holder.id, node


def test_no_module_holds_state() -> None:
    """Two vocabularies, models or runs can be used side by side: what a call needs is an argument."""
    wrong = []
    for module, tree in trees().items():
        allowed = STATE.get(module, set())
        variables = module_variables(tree)
        wrong += [
            f"{where(module, value)}: {name} is state of the module"
            for name, value in variables.items()
            if value is not None and name not in allowed and is_to_be_filled(value)
        ]
        wrong += [
            f"{where(module, node)}: changes {name}, which is the module's"
            for name, node in changed_names(tree)
            if (name in variables or isinstance(node, ast.Global)) and name not in allowed
        ]
    assert not wrong, "\n".join(wrong)


def test_the_guard_sees_state() -> None:
    tree = ast.parse(
        "_seen: dict[str, int] = {}\n_current = None\nTABLE = {'a': 1}\n_held = ContextVar('held')\n"
        "def remember(key, rows):\n    global _current\n    _current = key\n    TABLE['b'] = 2\n    rows['c'] = 3\n"
        "    TABLE.update(rows)\n    own = []\n    own.append(key)\n"
    )
    assert {name for name, value in module_variables(tree).items() if is_to_be_filled(value)} == {"_seen", "_held"}
    assert sorted(name for name, _ in changed_names(tree)) == ["TABLE", "TABLE", "_current"]


def test_the_shipped_vocabulary_is_taken_only_where_nobody_chose_one() -> None:
    callers = {
        module
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if "shipped_definitions" in (getattr(node, "id", ""), getattr(node, "attr", ""))
        or (isinstance(node, ast.Call) and ast.unparse(node).endswith("load_definitions(None)"))
    }
    assert callers <= MAY_TAKE_THE_SHIPPED, callers - MAY_TAKE_THE_SHIPPED


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources().values()
    }
    assert not {name: length for name, length in lengths.items() if length > MAX_LINES}


def test_contributing_names_the_rooms_that_exist() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("\n| room |")[2].partition("\n\n")[0]
    paths = re.findall(r"^\| `([a-z_/.]+)` \|", table, flags=re.MULTILINE)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    listed = [path.removesuffix(".py").strip("/").replace("/", ".") for path in paths]
    assert set(listed) == ROOMS
    assert listed == sorted(listed, key=LEVEL_OF.__getitem__), "the table goes from the ground up"


def test_every_folder_with_code_is_a_room() -> None:
    folders = {
        f"{package}.{path.name}"
        for package in PACKAGES
        for path in (ROOT / package).iterdir()
        if path.is_dir() and not path.is_symlink() and list(path.rglob("*.py"))
    }
    assert folders == ROOM_FOLDERS


def test_the_tests_mirror_the_rooms() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        parts = path.relative_to(ROOT / "tests").parts[:-1]
        if parts and parts[0] not in PROJECT_WIDE_TESTS:
            room = ".".join(parts[:2])
            assert room in ROOMS or room in PACKAGES, f"{path.relative_to(ROOT)}: unknown room {room}"


def test_an_installation_brings_our_packages_and_no_others() -> None:
    """A folder `evaluation/` of a user must not meet one of ours."""
    setuptools = pytest.importorskip("setuptools", reason="finds packages as the build does")
    options = PROJECT["tool"]["setuptools"]["packages"]["find"]
    found = setuptools.find_packages(str(ROOT), include=options["include"], exclude=options["exclude"])
    assert {".".join(name.split(".")[:2]) for name in found} == set(PACKAGES) | ROOM_FOLDERS
    installed = (distribution("clinragen").read_text("top_level.txt") or "").split()
    assert set(installed) == set(PACKAGES), "run `make install-dev` again: the installation is older than the code"
