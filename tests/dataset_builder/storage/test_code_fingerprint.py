"""A fingerprint follows the imports of one module: what it uses counts, and nothing else does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builder.storage import code_fingerprint as fingerprints
from dataset_builder.storage.code_fingerprint import PACKAGES, code_fingerprint, import_closure

ROOT = Path(__file__).parents[3]
BUILD = "dataset_builder.cohort.build"

Digest = Callable[..., tuple[str, set[str]]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small copy of the project's form: four packages and the fingerprint's own module."""
    files = {
        "modeling_clinragen/__init__.py": "def __getattr__(name):\n    from .lazy import value\n    return value\n",
        "modeling_clinragen/errors.py": "class Fault(Exception): ...\n",
        "modeling_clinragen/lazy.py": "import yaml\nvalue = 1\n",
        "dataset_builder/__init__.py": "",
        "dataset_builder/storage/__init__.py": "",
        "dataset_builder/room/__init__.py": "",
        "dataset_builder/room/part.py": (
            "from __future__ import annotations\nimport json\nfrom typing import TYPE_CHECKING\n"
            "from modeling_clinragen.errors import Fault\nfrom . import sibling\n"
            "if TYPE_CHECKING:\n    import requests\n    from clinragen import typed\nelse:\n    import numpy as np\n"
            "def work():\n    try:\n        from ..other.deep import Deep\n        import pyarrow\n"
            "    except ImportError:\n        import absent_library\n"
        ),
        "dataset_builder/room/sibling.py": "",
        "dataset_builder/room/unused.py": "",
        "dataset_builder/room/rules.yaml": "a: 1\n",
        "dataset_builder/room/sibling.md": "",
        "dataset_builder/room/unused.md": "",
        "dataset_builder/room/resources/deep/table.csv": "1,2\n",
        "dataset_builder/room/resources/picture.png": "x",
        "dataset_builder/room/elsewhere/list.json": "[]",
        "dataset_builder/other/__init__.py": "from dataset_builder.other.deep import Deep\n",
        "dataset_builder/other/deep.py": "class Deep: ...\n",
        "dataset_builder/other/user.py": "from modeling_clinragen import value\n",
        "clinragen/__init__.py": "",
        "clinragen/typed.py": "",
        "clinragen/wording.yaml": "a: 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(fingerprints.__file__, tmp_path / "dataset_builder" / "storage" / "code_fingerprint.py")
    return tmp_path


def digest_in(tree: Path, module: str = "dataset_builder.room.part", more: str = "") -> tuple[str, set[str]]:
    """Fingerprint and closure in a fresh process that knows only the copy."""
    code = (
        "import json, sys\nfrom dataset_builder.storage import code_fingerprint as c\n"
        f"{more}\nprint(json.dumps([c.code_fingerprint({module!r}), sorted(c.import_closure({module!r})), "
        "sorted({'numpy', 'pyarrow', 'yaml'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    digest, closure, loaded = json.loads(done.stdout)
    assert loaded == []  # nothing was imported to find out
    return digest, set(closure)


def test_the_closure_follows_every_import_but_those_for_type_checking(tree: Path) -> None:
    assert digest_in(tree)[1] == {
        "dataset_builder",
        "dataset_builder.room",
        "dataset_builder.room.part",
        "dataset_builder.room.sibling",
        "dataset_builder.other",
        "dataset_builder.other.deep",
        "modeling_clinragen",
        "modeling_clinragen.errors",
    }


def test_a_lazy_export_counts_where_it_is_used(tree: Path) -> None:
    assert "modeling_clinragen.lazy" in digest_in(tree, "dataset_builder.other.user")[1]
    assert "modeling_clinragen.lazy" not in digest_in(tree)[1]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("dataset_builder/room/part.py", True),
        ("dataset_builder/room/sibling.py", True),
        ("dataset_builder/room/__init__.py", True),
        ("dataset_builder/other/deep.py", True),
        ("modeling_clinragen/errors.py", True),
        ("dataset_builder/room/rules.yaml", True),
        ("dataset_builder/room/sibling.md", True),
        ("dataset_builder/room/unused.md", False),
        ("dataset_builder/room/resources/deep/table.csv", True),
        ("dataset_builder/room/unused.py", False),
        ("modeling_clinragen/lazy.py", False),
        ("clinragen/typed.py", False),
        ("clinragen/wording.yaml", False),
        ("dataset_builder/room/resources/picture.png", False),
        ("dataset_builder/room/elsewhere/list.json", False),
    ],
)
def test_a_change_counts_where_the_module_uses_it(tree: Path, name: str, counts: bool) -> None:
    before, _ = digest_in(tree)
    with (tree / name).open("a") as stream:
        stream.write("# a comment\n")
    assert (digest_in(tree)[0] != before) is counts


def test_a_new_or_renamed_data_file_counts(tree: Path) -> None:
    before, _ = digest_in(tree)
    (tree / "dataset_builder" / "room" / "rules.yaml").rename(tree / "dataset_builder" / "room" / "laws.yaml")
    renamed, _ = digest_in(tree)
    (tree / "dataset_builder" / "room" / "more.md").write_text("")
    assert len({before, renamed, digest_in(tree)[0]}) == 3


def test_it_is_the_same_wherever_the_project_lies(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "place"
    shutil.copytree(tree, other)
    assert digest_in(other) == digest_in(tree)


@pytest.mark.parametrize(
    ("library", "counts"), [("numpy", True), ("pyarrow", True), ("requests", False), ("PyYAML", False)]
)
def test_installed_versions_of_the_libraries_count(tree: Path, library: str, counts: bool) -> None:
    newer = f"known = c.version\nc.version = lambda name: '99.0' if name == {library!r} else known(name)"
    assert (digest_in(tree, more=newer)[0] != digest_in(tree)[0]) is counts


def test_a_module_that_is_not_there_is_named(tree: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"dataset_builder\.cohort\.nothing is not a module of"):
        code_fingerprint("dataset_builder.cohort.nothing")
    with pytest.raises(ModuleNotFoundError, match="numpy is not a module of"):
        import_closure("numpy")


# --- this project


def test_a_build_depends_on_its_own_rooms_only() -> None:
    closure = import_closure(BUILD)
    assert {"dataset_builder.sources.spec", "dataset_builder.engines.spark", "modeling_clinragen.errors"} <= closure
    rooms = {".".join(name.split(".")[:2]) for name in closure if name.startswith("dataset_builder.")}
    wanted = ("storage", "contract", "engines", "sources", "cohort", "fhir")
    assert rooms == {f"dataset_builder.{room}" for room in wanted}
    assert not any(name.startswith(("clinragen", "trainers", "spaces_demo")) for name in closure)
    assert "modeling_clinragen.modeling_clinragen" not in closure


def test_a_metric_or_a_prompt_does_not_change_the_build_and_a_comment_in_it_does(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    before, closure = digest_in(tmp_path, BUILD)
    assert before == code_fingerprint(BUILD)
    for name in ("clinragen/evaluation/metrics.py", "trainers/phases.py", "dataset_builder/synthetic/world.yaml"):
        with (tmp_path / name).open("a") as stream:
            stream.write("# changed\n")
    for path in (tmp_path / "clinragen").rglob("*.yaml"):
        path.write_text(path.read_text() + "\n")
    assert digest_in(tmp_path, BUILD) == (before, closure)
    seen = {before}
    for name in (
        "dataset_builder/cohort/labels.py",
        "dataset_builder/sources/eicu.yaml",
        "dataset_builder/contract/resources/diseases/shock.yaml",
        "modeling_clinragen/note_clinragen.py",
    ):
        with (tmp_path / name).open("a") as stream:
            stream.write("# changed\n")
        seen.add(digest_in(tmp_path, BUILD)[0])
    assert len(seen) == 5
