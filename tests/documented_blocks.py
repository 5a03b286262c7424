"""Fenced blocks of README and docs, and the steps that a reader takes from them: commands, Python, files, pieces."""

from __future__ import annotations

import re
from dataclasses import dataclass

from conftest import ROOT

PROGRAMS = frozenset(
    (
        *("clinragen", "python", "python3", "pip", "make", "torchrun", "accelerate"),
        *("git", "curl", "unshare", "docker", "export", "mkdir", "cp", "cd", "."),
    )
)
"""First words of the commands that pages have."""
SHELLS = ("", "sh", "bash", "console")
REMARK = re.compile(r"\s+#\s[^'\"\n]*$")
"""A remark at the end of a command, outside quotations."""
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One thing that a reader does with a page.

    `kind` is "command", "output" (what a command printed, or a drawing: nothing to run), "file" (to be saved under
    `path`) or the block's language.
    """

    page: str
    line: int
    kind: str
    content: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.content.strip().splitlines()[0][:90]}"


def pages() -> dict[str, str]:
    """README and the pages of docs, by path below the root."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in files}


def steps_of(page: str, text: str) -> list[Step]:
    """All steps of a page, in its order.

    Raises:
        ValueError: An unmarked block is neither commands nor marked as text.
    """
    steps: list[Step] = []
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        language, _, rest = found["info"].strip().partition(" ")
        content = found["content"]
        titled = re.fullmatch(r'title="([^"]+)"', rest)
        if titled:
            steps.append(Step(page, line, "diff" if language == "diff" else "file", content, titled[1]))
        elif language in SHELLS and _first_word(content) in PROGRAMS:
            steps += [Step(page, line, "command", command) for command in commands_of(content)]
        elif language == "text" or (language == "" and steps and steps[-1].kind == "command"):
            steps.append(Step(page, line, "output", content))
        elif language in SHELLS:
            raise ValueError(
                f"{page}:{line}: this block begins with no known program; mark one of no commands ```text"
            )
        else:
            steps.append(Step(page, line, language, content))
    return steps


def commands_of(block: str) -> list[str]:
    """The commands of a block, each on one line; quotations and continued lines are kept together."""
    commands: list[str] = []
    open_quotation = False
    for line in re.sub(r"[ ]*\\\n[ ]*", " ", block).splitlines():
        text = line.removeprefix("$ ")
        if open_quotation:
            commands[-1] += "\n" + text
        elif text.strip() and not text.startswith("#"):
            commands.append(text.strip())
        open_quotation = bool(commands) and commands[-1].count("'") % 2 == 1
    whole = [REMARK.sub("", command) for command in commands]
    return [part.removeprefix(".venv/bin/") for command in whole for part in command.split(" && ")]


def _first_word(content: str) -> str:
    return next((line.removeprefix("$ ").split()[0] for line in content.splitlines() if _is_command(line)), "")


def _is_command(line: str) -> bool:
    return bool(line.removeprefix("$ ").strip()) and not line.startswith("#")
