"""The container file, read: there is no container engine here, but its words can be checked and run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from conftest import ROOT
from source_files import PACKAGES, PROJECT

FILE = ROOT / "Containerfile"
PORT = 8765


def instructions() -> list[tuple[str, str]]:
    """Keyword and rest of every instruction, with its lines joined."""
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in joined.split("\n"))
        if word
    ]


def last(keyword: str) -> str:
    """The rest of the last instruction of a kind."""
    return [rest for word, rest in instructions() if word == keyword][-1]


def sources() -> Iterator[str]:
    """What is copied from the checkout."""
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from="):
            yield from shlex.split(rest)[:-1]


def test_what_is_copied_is_there_and_sent_to_the_build() -> None:
    copied = set(sources())
    assert {*PACKAGES, "recipes", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"} == copied
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    # Everything is left out but what is named; of that no leftovers. Data folders are none of it.
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {*copied, "Containerfile"}
    assert any(fnmatch("clinragen/__pycache__", rule.replace("**/", "*/")) for rule in rules)


def test_only_known_extras_are_built_and_the_index_is_an_argument() -> None:
    arguments = dict(rest.partition("=")[::2] for word, rest in instructions() if word == "ARG")
    assert arguments["TORCH_INDEX"] == ""
    assert set(arguments["EXTRAS"].split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    python = tuple(map(int, arguments["PYTHON"].split(".")))
    assert python >= tuple(map(int, PROJECT["project"]["requires-python"].removeprefix(">=").split(".")))
    assert "http" not in FILE.read_text(encoding="utf-8").replace("http://127.0.0.1", "")


def test_it_runs_as_nobody_in_particular_without_a_model_or_a_token() -> None:
    user = last("USER").split(":")
    assert all(int(part) >= 10_000 for part in user)
    (made,) = (rest for word, rest in instructions() if word == "RUN" and "useradd" in rest)
    assert f"--uid {user[0]}" in made
    assert "VOLUME" not in dict(instructions())
    assert "TOKEN" not in last("ENV").replace("TOKENIZERS", "")
    assert json.loads(last("ENTRYPOINT")) == ["clinragen"]
    assert "clinragen" in PROJECT["project"]["scripts"]


def test_its_words_start_a_service_whose_health_check_passes(small_model: Path, tmp_path: Path) -> None:
    words: list[Any] = json.loads(last("CMD"))
    assert words[:2] == ["serve", "/model"]
    assert int(last("EXPOSE")) == PORT
    script = Path(sys.executable).parent / json.loads(last("ENTRYPOINT"))[0]
    given = [str(small_model) if word == "/model" else word for word in words]
    process = subprocess.Popen(
        [str(script), *given, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env={"CLINRAGEN_TOKEN": "a-token-of-the-tests", "HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.match(r"Serving http://0\.0\.0\.0:(\d+) ", line)
        assert found, line
        check = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
        code = check[-1].replace(f":{PORT}/", f":{found[1]}/")
        assert subprocess.run([sys.executable, *check[1:-1], code], check=False).returncode == 0
        # Libraries have their caches below the home, which is /tmp in the container; nothing else is written.
        assert {path.name for path in tmp_path.iterdir()} <= {"home"}
    finally:
        process.kill()
        process.wait()
    assert subprocess.run([sys.executable, *check[1:-1], code], check=False, stderr=subprocess.DEVNULL).returncode == 1
