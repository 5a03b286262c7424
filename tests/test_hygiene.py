"""Small things that, wrong once, are soon wrong everywhere: versions, leftovers, wording, what libraries never do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from source_files import PACKAGES, PROJECT, sources, texts, trees, where

VERSION = PROJECT["project"]["version"]
# Files that must name what they forbid.
ABOUT_THE_RULES = {"tests/test_hygiene.py", "tests/test_architecture.py"}
# Wording that is not English, or not the field's, with what to write instead. Looked for in docstrings and messages.
STILTED = {
    r"(?i)(?<!there )\b(?:is|was) no (?!longer\b|more\b|less\b|one\b)[a-z]+": "'is not a ...', or 'unknown ...'",
    r"(?i)(?<!there )\b(?:are|were) no (?!longer\b|more\b|less\b)[a-z]+": "'are not ...'",
    r"\bstands? (?:twice|more than once)\b": "'duplicate ...'",
    r"\boutside what can be\b": "'implausible value (expected ...)'",
    r"\bstray one\b": "'single outlier'",
    r"\bEverybody who\b": "name the thing",
}
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55]")


def strings() -> Iterator[tuple[str, ast.Constant]]:
    """Every string literal of the packages, pieces of f-strings included."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield name, node


def test_the_version_is_stated_once() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION
    import clinragen

    assert clinragen.__version__ == version("clinragen") == VERSION, "after a new version: `make install-dev`"
    stated = [where(name, node) for name, node in strings() if node.value == VERSION]
    assert not stated, "the installed distribution knows the version"


def test_the_changelog_has_an_entry_for_the_version() -> None:
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^]]+)\] - (\d{4}-\d{2}-\d{2}|unreleased)$", page, flags=re.MULTILINE)
    assert VERSION in [number for number, _ in headings]
    assert [when for _, when in headings[1:] if when == "unreleased"] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_nothing_is_left_open() -> None:
    wrong = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        if path.as_posix() not in ABOUT_THE_RULES
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line)
    ]
    assert not wrong, "\n".join(wrong)


def test_results_name_no_path_of_the_machine_that_they_were_made_on() -> None:
    results = sorted((ROOT / "benchmarks" / "results").rglob("*.json"))
    # A place within a file of metrics ("where") is written like a path.
    absolute = re.compile(r'(?<!"where": )"(/[^"/]+/[^"]*)"')
    wrong = [
        f"{path.relative_to(ROOT)}: {named}"
        for path in results
        for named in absolute.findall(path.read_text(encoding="utf-8"))
    ]
    assert results
    assert not wrong, "\n".join(wrong)


def test_no_emoji() -> None:
    wrong = [f"{path}: {found.group()!r}" for path, text in texts().items() if (found := EMOJI.search(text))]
    assert not wrong, "\n".join(wrong)


def test_no_path_of_somebody_s_machine() -> None:
    path_of_a_machine = re.compile(r"(?<![\w.$}-])/(?:root|work|home/\w+|Users/\w+)/")
    wrong = [f"{path}: {found.group()}" for path, text in texts().items() if (found := path_of_a_machine.search(text))]
    assert not wrong, "\n".join(wrong)


def test_a_library_does_not_print() -> None:
    wrong = [
        where(name, node)
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "input", "exit")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_broad_except() -> None:
    """`except Exception` hides faults. Cleaning up and raising again is what `except BaseException` is for."""
    wrong = []
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {
                part.id for part in ast.walk(node.type or ast.Name("BaseException")) if isinstance(part, ast.Name)
            }
            again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if caught & {"Exception", "BaseException"} and not again:
                wrong.append(where(name, node))
    assert not wrong, "\n".join(wrong)


def test_nothing_is_unpickled() -> None:
    wrong = []
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                if modules & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}:
                    wrong.append(where(name, node))
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if given.get("weights_only") != "True" and given.get("allow_pickle") != "False":
                    wrong.append(where(name, node))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("pattern", STILTED)
def test_plain_english(pattern: str) -> None:
    wrong = [
        f"{where(name, node)}: {found.group().strip()!r} in {' '.join(node.value.split())[:90]!r}"
        for name, node in strings()
        if (found := re.search(pattern, node.value))
    ]
    assert not wrong, f"{len(wrong)} times; write {STILTED[pattern]}\n" + "\n".join(wrong)


def test_docstrings_say_what_a_thing_is() -> None:
    """ "Settings of a run", not "What decides a run": a reader looks for the noun or the verb."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    wrong = [
        f"{where(name, node)}: {docstring.splitlines()[0]}"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, kinds) and (docstring := ast.get_docstring(node) or "").startswith("What ")
    ]
    assert not wrong, f"{len(wrong)} docstrings\n" + "\n".join(wrong)


def test_nothing_is_told() -> None:
    """A program is given values and reports them; it is not told."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sources().values()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\b[Tt]old\b", line)
    ]
    assert not wrong, f"{len(wrong)} lines\n" + "\n".join(wrong)


def anchors(page: str) -> set[str]:
    """The anchors of a page's headings, as the repository host makes them."""
    titles = re.findall(r"^#+ (.+)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_between_documents_lead_somewhere() -> None:
    wrong = []
    for path, text in texts().items():
        if path.suffix != ".md" or path.parts[0] in (*PACKAGES, "tests"):
            continue
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            file, _, anchor = target.partition("#")
            there = (ROOT / path.parent / file).resolve() if file else ROOT / path
            if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
                wrong.append(f"{path}: {target}")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_in_the_index_and_every_symbol_in_the_glossary() -> None:
    index = texts()[Path("docs/README.md")]
    pages = {path.name for path in texts() if path.parts[0] == "docs" and path.suffix == ".md"} - {"README.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
    words = re.findall(r"^\| \*{0,2}([^|*]+?)\*{0,2} \|", texts()[Path("docs/glossary.md")], flags=re.MULTILINE)
    words = [word for word in words if word not in ("symbol", "word", "---")]
    assert {"M", "T", "D", "K", "A", "R_m", "R_t", "H", "V_k", "T_e"} <= set(words)
    assert {"grid", "range set", "window", "note policy", "fingerprint"} <= set(words)
    assert len(words) == len(set(words))


def test_ci_runs_the_pythons_that_are_supported() -> None:
    workflow = yaml.safe_load(texts()[Path(".github/workflows/ci.yml")])
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    stated = [line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if " :: 3." in line]
    assert matrix == {"python": stated, "versions": ["tested", "floor", "latest"]}
    assert PROJECT["project"]["requires-python"] == f">={stated[0]}"


def test_the_issue_forms_warn_of_patient_data() -> None:
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"]
    assert {path.stem for path in forms} == {"bug", "feature", "question"}
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert "Never attach" in form["body"][0]["attributes"]["value"], path.name
        assert form["body"][-1]["attributes"]["options"][0]["required"] is True, path.name


def test_hooks_and_checks_are_the_tools_that_are_installed() -> None:
    """Versions stand once, in constraints.txt: no hook brings a tool of its own."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    for hook in hooks["repos"][0]["hooks"]:
        assert hook["language"] == "fail" or hook["entry"].startswith(".venv/bin/"), hook["id"]


def test_data_files_are_refused_by_hook_and_ignored() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    hook = next(one for one in hooks if one["id"] == "no-patient-data")

    def refused(path: str) -> bool:
        return bool(re.search(hook["files"], path)) and not re.search(hook["exclude"], path)

    for path in ("labs.csv", "my-cohort/data/train.parquet", "answers.jsonl", "my.journal/a.jsonl", "truth.jsonl.gz"):
        assert refused(path), path
    corpus = [str(path.relative_to(ROOT)) for path in (ROOT / "clinragen").rglob("*.jsonl")]
    assert corpus
    assert not [path for path in corpus if refused(path)]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    # What the program keeps beside a folder of results: answers, texts, probabilities, locks, unfinished folders.
    assert {"*.journal/", "*.retrieved/", "*.baselines/", "*.lock", "*.partial", "runs/"} <= set(ignored)


def test_every_file_is_found() -> None:
    assert len(sources()) > 100
    assert {"pyproject.toml", ".github/workflows/ci.yml", "tests/conftest.py"} <= {path.as_posix() for path in texts()}
