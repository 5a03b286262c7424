"""A stage's run: whole or not at all, resumed only by the same stage, and one process at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_line import wait_for

from clinragen.pipeline import train
from clinragen.pipeline.digests import HASHES, STAMP, HashCache
from clinragen.pipeline.stage import Stage, StageKind, decisive_settings, run_stages
from dataset_builder.storage.config_fields import setting
from dataset_builder.storage.files import PARTIAL, fingerprint, read_json
from dataset_builder.storage.progress import Progress, no_report
from modeling_clinragen.errors import InputDataError

Work = Callable[[Path], None]


@dataclass(frozen=True)
class Config:
    """Settings of a stage that is made for a test."""

    size: int = setting(1, help="Decides.")
    speed: int = setting(1, help="Does not decide.", decides=False)
    given: Path | None = setting(None, help="A file.")


def write(output: Path) -> None:
    (output / "result").write_text("whole")


def fail_half_way(output: Path) -> None:
    (output / "half").write_text("")
    raise RuntimeError("half way")


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Stage]:
    """Make a stage that does `work`, in place of a module's own function."""

    def stage(work: Work = write, *, resumes: bool = False, report: Any = no_report, **settings: Any) -> Stage:
        def run(config: Any, inputs: Any, output: Path, report: Any) -> None:
            report(Progress(1, 2, "steps"))
            work(output)

        monkeypatch.setattr(train, "run", run)
        kind = StageKind("a", Config, train.__name__, resumes=resumes)
        return Stage(kind, Config(**settings), {}, tmp_path / "out", report)

    return stage


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("resumes", [False, True])
def test_a_run_that_fails_leaves_no_output_and_the_next_one_works(
    make: Callable[..., Stage], tmp_path: Path, resumes: bool
) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        make(fail_half_way, resumes=resumes).run()
    # What can be resumed is kept, beside the place of the output.
    assert names(tmp_path) == (["out" + PARTIAL] if resumes else [])
    assert not make(resumes=resumes).finished()
    assert make(resumes=resumes).run()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == [*(["half"] if resumes else []), "result", HASHES, STAMP]
    assert not make(resumes=resumes).run()


def test_a_failing_rerun_keeps_the_output_before(make: Callable[..., Stage], tmp_path: Path) -> None:
    make().run()
    with pytest.raises(RuntimeError, match="half way"):
        make(fail_half_way, size=2).run()
    assert names(tmp_path) == ["out"]
    assert make().finished()


def test_what_another_stage_left_is_not_resumed(make: Callable[..., Stage], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        make(fail_half_way, resumes=True, size=1).run()
    make(resumes=True, size=2).run()
    assert names(tmp_path / "out") == ["result", HASHES, STAMP]


@pytest.mark.parametrize("marker", [None, "", "{", "[]"])
def test_a_leftover_whose_marker_is_missing_or_damaged_is_not_resumed(
    make: Callable[..., Stage], tmp_path: Path, marker: str | None
) -> None:
    left = tmp_path / ("out" + PARTIAL)
    left.mkdir()
    (left / "half").write_text("")
    if marker is not None:
        (left / (STAMP + ".started")).write_text(marker)
    make(resumes=True).run()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["result", HASHES, STAMP]


def test_a_resumed_run_sees_what_was_left(make: Callable[..., Stage]) -> None:
    seen = []

    def work(output: Path) -> None:
        seen.append((output / "half").is_file())
        if not seen[-1]:
            fail_half_way(output)
        write(output)

    with pytest.raises(RuntimeError):
        make(work, resumes=True).run()
    assert make(work, resumes=True).run()
    assert seen == [False, True]


def test_the_stamp_has_what_decides_and_a_damaged_one_is_renewed(make: Callable[..., Stage], tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("a: 1  # one\n")
    make(given=tmp_path / "given.yaml", speed=3).run()
    stamp = read_json(tmp_path / "out" / STAMP)
    assert stamp["stage"] == "a"
    # A digest: what a file says, which may name patients, is not repeated in the record.
    assert stamp["settings"] == {"size": 1, "given": fingerprint({"a": 1})}
    assert list(stamp["files"]) == ["result"]
    assert str(tmp_path) not in (tmp_path / "out" / STAMP).read_text() + (tmp_path / "out" / HASHES).read_text()
    assert make(given=tmp_path / "given.yaml").finished()
    (tmp_path / "out" / STAMP).write_text("{")
    assert make(given=tmp_path / "given.yaml").run()
    assert read_json(tmp_path / "out" / STAMP) == stamp
    with pytest.raises(InputDataError, match=r"none\.yaml: cannot be read"):
        make(given=tmp_path / "none.yaml").run()


def test_a_config_may_name_more_that_decides(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Naming(Config):
        @property
        def deciding_content(self) -> dict[str, Any]:
            return {"named": [tmp_path / "named.txt"]}

    (tmp_path / "named.txt").write_text("one")
    before = decisive_settings(Naming(), HashCache())
    assert set(before) == {"size", "given", "named"}
    (tmp_path / "named.txt").write_text("two")
    assert decisive_settings(Naming(), HashCache())["named"] != before["named"]


def test_stages_run_in_order_and_report(make: Callable[..., Stage]) -> None:
    announced: list[tuple[str, int, int]] = []
    reported: list[Progress] = []
    listed = [make(report=reported.append), make(report=reported.append)]
    run_stages(listed, lambda stage, number, of: announced.append((stage.name, number, of)))
    assert announced == [("a", 1, 2), ("a", 2, 2)]
    # The second one was up to date.
    assert reported == [Progress(1, 2, "steps")]


HOLD = """
import sys, time
from pathlib import Path
from clinragen.pipeline import synthesize
from clinragen.pipeline.stage import Stage
from clinragen.pipeline.stages import SYNTHESIZE
from clinragen.pipeline.synthesize import SynthesizeConfig

def hold(config, inputs, output, report):
    (output / "half").write_text("")
    time.sleep(float(sys.argv[2]))
    (output / "result").write_text("theirs")

synthesize.run = hold
Stage(SYNTHESIZE, SynthesizeConfig(), {}, Path(sys.argv[1])).run()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_process_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    from clinragen.pipeline import synthesize
    from clinragen.pipeline.stages import SYNTHESIZE
    from clinragen.pipeline.synthesize import SynthesizeConfig

    def mine(config: Any, inputs: Any, output: Path, report: Any) -> None:
        (output / "result").write_text("mine")

    monkeypatch.setattr(synthesize, "run", mine)
    had_to: list[bool] = []
    words = [sys.executable, "-c", HOLD, str(tmp_path / "out"), "60" if killed else "1"]
    other = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(tmp_path / ("out" + PARTIAL) / "half", other)
        second = Stage(SYNTHESIZE, SynthesizeConfig(), {}, tmp_path / "out")
        waiting = threading.Thread(target=lambda: had_to.append(second.run()))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        if killed:
            other.send_signal(signal.SIGKILL)
        waiting.join(30)
        assert not waiting.is_alive()
    finally:
        other.kill()
        other.communicate()
    assert had_to == [killed]
    assert (tmp_path / "out" / "result").read_text() == ("mine" if killed else "theirs")
    # Of a killed process nothing stays.
    assert names(tmp_path / "out") == [*([] if killed else ["half"]), "result", HASHES, STAMP]
    assert names(tmp_path) == ["out"]
