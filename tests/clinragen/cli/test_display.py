"""Progress where nobody looks at a terminal: a line when a stage begins, one every tenth, and how long is left."""

from __future__ import annotations

import io
import re

from rich.console import Console

from clinragen.cli.display import Display
from dataset_builder.storage.progress import Progress


def lines_of(*reports: Progress) -> list[str]:
    written = io.StringIO()
    with Display(Console(file=written, width=80)) as display:
        display.announce("train note", 1, 2)
        for one in reports:
            display.report(one)
    return [line for line in written.getvalue().splitlines() if "%" in line]


def test_a_log_has_a_line_every_tenth() -> None:
    lines = lines_of(*(Progress(step, 200, "steps", f"loss {step}") for step in range(1, 201)))
    assert [re.findall(r"(\d+) % \((\d+)/200 steps, loss \d+\)", line) for line in lines] == [
        [(str(10 * tenth), str(20 * tenth))] for tenth in range(1, 10)
    ]
    assert all(re.search(r"^\[1/2\] train note: .* left$", line) for line in lines)


def test_each_part_of_a_stage_counts_anew_and_a_resumed_one_from_where_it_was() -> None:
    resumed = [Progress(step, 100, "steps") for step in (71, 72, 80, 81, 90)]
    other = [Progress(done, 10, "patients") for done in (1, 5, 10)]
    of_that_size = [Progress(done, 10, "patients") for done in (1, 7)]
    assert [line.split(": ")[1].split(",")[0] for line in lines_of(*resumed, *other, *of_that_size)] == [
        "80 % (80/100 steps)",
        "90 % (90/100 steps)",
        "50 % (5/10 patients)",
        "70 % (7/10 patients)",
    ]


def test_work_of_unknown_size_says_nothing() -> None:
    assert lines_of(Progress(5, None, "files"), Progress(9, None, "files")) == []
