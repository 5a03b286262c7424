"""The Space: its card fits what was tested, and the folder that is sent runs with its requirements alone."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import gradio
import pytest
import yaml
from command_line import fails_with_one_line, in_process
from conftest import ROOT
from demo_server import request, served
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from clinragen.publishing.shipment import Shipment
from clinragen.publishing.space import write_space
from dataset_builder.storage.files import write_json
from modeling_clinragen.errors import GovernanceError, StageError
from spaces_demo.app import make_page

SPACE = ROOT / "spaces_demo"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = (SPACE / "requirements.txt").read_text(encoding="utf-8").splitlines()
# As `python app.py` in an environment of its own: without `site` nothing of this project is installed, and the
# packages that a Space does not have are not found.
ALONE = """
import sys
from importlib.machinery import PathFinder

class Installed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {missing} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Installed
sys.path.insert(0, {space!r})
import app, clinragen, modeling_clinragen
assert clinragen.__file__.startswith({space!r}) and modeling_clinragen.__file__.startswith({space!r})
app.PORT = 0
app.main()
"""
# As `python app.py`, which has a port that the tests of another process may have taken.
ANY_PORT = "from spaces_demo import app; app.PORT = 0; app.main()"
OWN_PACKAGES = {"clinragen", "dataset_builder", "modeling_clinragen", "spaces_demo", "trainers"}


@pytest.fixture(scope="module")
def model(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model from open data."""
    folder = tmp_path_factory.mktemp("space") / "model"
    model = make_model("bart")
    model.generation_config.max_new_tokens = 40
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    write_json(folder / "provenance.json", {"credentialed": False, "synthetic": True, "title": "Synthetic"})
    return folder


def test_the_page_is_that_of_the_model_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINRAGEN_MODEL", str(model))
    page = make_page()
    assert page.title == "ClinRaGen"
    patients = next(one for one in page.config["components"] if one["props"].get("elem_id") == "patient")
    assert len(patients["props"]["choices"]) == 1


def test_a_model_from_credentialed_data_is_not_shown(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(model, tmp_path / "model")
    monkeypatch.setenv("CLINRAGEN_MODEL", str(tmp_path / "model"))
    write_json(tmp_path / "model" / "provenance.json", {"credentialed": True, "title": "MIMIC-IV"})
    with pytest.raises(GovernanceError, match=r"MIMIC-IV .* cannot go to a Space"):
        make_page()
    # A Space has no token: it is for synthetic patients alone, though others may be published.
    for recorded in ({}, {"synthetic": False}, {"synthetic": "yes"}):
        write_json(
            tmp_path / "model" / "provenance.json", {"credentialed": False, "title": "MIMIC-IV demo", **recorded}
        )
        with pytest.raises(GovernanceError, match="not recorded as made from synthetic patients"):
            make_page()
    # What is not recorded counts as credentialed.
    (tmp_path / "model" / "provenance.json").unlink()
    with pytest.raises(GovernanceError, match="not recorded"):
        make_page()


def test_without_the_variable_the_model_lies_beside_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLINRAGEN_MODEL", raising=False)
    with pytest.raises(StageError, match=re.escape(f"{SPACE / 'model'}: not a model folder")):
        make_page()


def test_on_a_space_it_answers_everybody_under_the_names_of_the_space(model: Path, tmp_path: Path) -> None:
    names = {"SPACE_HOST": "user-name.hf.space,own.example", "CLINRAGEN_MODEL": str(model)}
    with served([], tmp_path / "space", code=ANY_PORT, environment=names) as page:
        assert (page.address, page.token) == (f"http://0.0.0.0:{page.port}", "")
        for host in ("user-name.hf.space", "own.example"):
            answer = request(page, "/config", token=False, Host=host, Origin=f"https://{host}")
            assert answer.status == 200
            assert answer.headers["X-Frame-Options"] is None, "Spaces shows it in a frame"
        for host, origin in (
            ("evil.example", "https://evil.example"),
            (f"127.0.0.1:{page.port}", f"http://127.0.0.1:{page.port}"),
            ("own.example", "https://evil.example"),
            ("own.example", "null"),
        ):
            assert request(page, "/config", token=False, Host=host, Origin=origin).status == 403


def test_elsewhere_it_is_a_page_of_this_machine(model: Path, tmp_path: Path) -> None:
    with served([], tmp_path / "here", code=ANY_PORT, environment={"CLINRAGEN_MODEL": str(model)}) as page:
        assert page.address == f"http://127.0.0.1:{page.port}"
        assert [request(page, "/config", token=token).status for token in (False, True)] == [403, 200]


def test_the_card_fits_what_was_tested() -> None:
    card = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert (card["sdk"], card["sdk_version"]) == ("gradio", tested["gradio"])
    assert (SPACE / card["app_file"]).is_file()
    assert SpecifierSet(PROJECT["requires-python"]).contains(card["python_version"])
    assert card["license"] == PROJECT["license"].lower()
    assert len(card["short_description"]) <= 60
    assert set(REQUIREMENTS) <= set(PROJECT["dependencies"])


def installed_with(requirements: list[str]) -> set[str]:
    """The distributions that pip installs for these requirements."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found.add(name)
        extras = ("", *requirement.extras)
        for inner in map(Requirement, requires(name) or []):
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(inner)
    return found


def packages_without(requirements: list[str]) -> set[str]:
    """The packages installed here that an installation of these requirements alone would lack."""
    kept = installed_with(requirements)
    owners = {name: set(map(canonicalize_name, found)) for name, found in packages_distributions().items()}
    return {name for name, found in owners.items() if not found & kept} - OWN_PACKAGES


@pytest.fixture(scope="module")
def space(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `clinragen push-space` sends."""
    files: dict[str, Path | bytes] = {path.name: path for path in model.iterdir() if path.name != "config.json"}
    files["config.json"] = (model / "config.json").read_bytes()
    folder = tmp_path_factory.mktemp("written") / "space"
    folder.mkdir()
    write_space(folder, Shipment("model", "someone/model", files, "cc0-1.0"))
    return folder


def test_a_written_space_runs_with_its_own_packages_and_requirements_alone(space: Path, tmp_path: Path) -> None:
    missing = packages_without([*REQUIREMENTS, "gradio"])
    assert {"ibis", "duckdb", "trl", "sklearn", "matplotlib"} <= missing
    environment = {"PYTHONPATH": str(Path(gradio.__file__).parent.parent), "CLINRAGEN_MODEL": ""}
    code = ALONE.format(missing=missing, space=str(space))
    with served([], tmp_path / "alone", code=code, environment=environment, flags=("-S", "-P")) as page:
        answer = request(page, "/")
        assert answer.status == 200
        assert b"<title>ClinRaGen</title>" in answer.content or b"ClinRaGen" in answer.content
        assert request(page, "/config").status == 200
        assert request(page, "/config", token=False).status == 403


def test_a_written_space_has_what_it_needs_once(space: Path, model: Path) -> None:
    assert {path.name for path in space.iterdir()} == {
        *("app.py", "README.md", "requirements.txt", "model", "provenance.json"),
        *(OWN_PACKAGES - {"spaces_demo"}),
    }
    for name in ("app.py", "README.md", "requirements.txt"):
        assert (space / name).read_bytes() == (SPACE / name).read_bytes()
    for path in model.iterdir():
        assert (space / "model" / path.name).read_bytes() == path.read_bytes()
    # One model, no compiled leftovers, and no links, which a repository of the Hub has not.
    assert [path.parent.name for path in space.rglob("*.safetensors")] == ["model"]
    assert not [path for path in space.rglob("*") if path.is_symlink() or path.name == "__pycache__"]
    assert (space / "clinragen" / "recipes" / "quickstart.yaml").is_file()


def test_the_card_deploys_by_the_command_that_writes_it() -> None:
    commands = re.findall(r"^clinragen (push-space .*)$", (SPACE / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(commands) == 2
    for command in commands:
        # Every option is known: what is missing is the model.
        fails_with_one_line(in_process(*shlex.split(command.replace("runs/quickstart/model", "no/model"))), "no/model")
