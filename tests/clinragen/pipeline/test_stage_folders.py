"""Output folders of stages: foreign files are not replaced, one process writes at a time, patients stay private."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clinragen.pipeline import evaluate, synthesize
from clinragen.pipeline.digests import HashCache
from clinragen.pipeline.stage import GivenFolder, Input, Stage, StageKind
from clinragen.pipeline.synthesize import SynthesizeConfig
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import InputDataError

Work = Callable[[Path], None]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Make a stage that does `work`, in place of a module's own function."""

    def make(
        folder: Path,
        work: Work = lambda output: None,
        inputs: Mapping[str, Input] | None = None,
        module: Any = synthesize,
        **settings: Any,
    ) -> Stage:
        monkeypatch.setattr(module, "run", lambda config, inputs, output, report: work(output))
        kind = StageKind("a", SynthesizeConfig, module.__name__)
        return Stage(kind, SynthesizeConfig(**settings), inputs or {}, folder)

    return make


@pytest.mark.parametrize("other", ["thesis.tex", "data/patients.csv", "nested/provenance.json"])
def test_somebody_else_s_folder_stays_as_it_is(tmp_path: Path, stage: Callable[..., Stage], other: str) -> None:
    path = tmp_path / "out" / other
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputDataError, match="would be lost"):
        stage(tmp_path / "out").run()
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_the_root_and_the_current_folder_are_not_replaced(
    tmp_path: Path, stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for path in (Path("/"), Path(), Path(".."), tmp_path / "in" / ".." / "in"):
        with pytest.raises(InputDataError, match="current folder"):
            stage(path).run()


def test_an_output_that_overlaps_an_input_or_a_setting_s_path_is_refused(
    tmp_path: Path, stage: Callable[..., Stage]
) -> None:
    given = tmp_path / "p" / "tables"
    (given / "hosp").mkdir(parents=True)
    for folder in (given, given.parent):
        write_json(folder / "stage.json", {})
    (tmp_path / "link").symlink_to(given)
    for path in (given, tmp_path / "p", given / "hosp", given / "new", tmp_path / "link", given / ".." / "tables"):
        with pytest.raises(InputDataError, match="choose another output"):
            stage(path, inputs={"tables": GivenFolder(given, "tables")}).run()
    assert (given / "hosp").is_dir()
    with pytest.raises(InputDataError, match="input"):
        stage(tmp_path / "p", world=given).run()


def test_a_stage_that_another_process_finished_meanwhile_is_not_run_again(
    tmp_path: Path, stage: Callable[..., Stage]
) -> None:
    runs = []

    def work(output: Path) -> None:
        time.sleep(0.3)
        runs.append(output)

    made = [stage(tmp_path / "out", work) for _ in range(3)]
    had_to: list[bool] = []
    threads = [threading.Thread(target=lambda one=one: had_to.append(one.run())) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1
    assert sorted(had_to) == [False, False, True]


@pytest.mark.parametrize(("credentialed", "private"), [(True, True), (False, False)])
def test_a_stage_made_of_credentialed_data_is_private(
    tmp_path: Path, stage: Callable[..., Stage], credentialed: bool, private: bool
) -> None:
    before = os.umask(0o022)
    seen = []

    def build(output: Path) -> None:
        write_json(output / "provenance.json", {"credentialed": credentialed})

    def score(output: Path) -> None:
        seen.append(stat.S_IMODE(output.stat().st_mode))
        write_json(output / "patient.json", {})

    try:
        built = stage(tmp_path / "build", build)
        scored = stage(tmp_path / "evaluation", score, {"cohort": built}, module=evaluate)
        built.run()
        scored.run()
    finally:
        os.umask(before)
    for folder in (built.folder, scored.folder):
        assert all(bool(path.stat().st_mode & 0o077) != private for path in (folder, *folder.iterdir()))
    assert bool(seen[0] & 0o077) != private


def test_what_somebody_laid_into_an_output_counts_for_nothing_and_stays(
    tmp_path: Path, stage: Callable[..., Stage]
) -> None:
    def work(output: Path) -> None:
        (output / "result").write_text("whole")

    def digests() -> list[Any]:
        return [given.input_digest(HashCache(), ("*",)) for given in (built, GivenFolder(built.folder, "cohort"))]

    built = stage(tmp_path / "out", work)
    built.run()
    before = digests()
    assert before[0] == before[1]
    for name in (".DS_Store", "notes.txt", "mine/list.csv"):
        path = built.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    assert built.finished()
    assert digests() == before
    # Another setting makes the output anew, beside what is there.
    again = stage(tmp_path / "out", work, seed=3)
    assert again.run()
    names = (".DS_Store", "notes.txt", "mine/list.csv", "result")
    assert [(again.folder / name).read_text() for name in names] == ["mine", "mine", "mine", "whole"]
    assert again.finished()
    assert list(read_json(again.folder / "stage.json")["files"]) == ["result"]
    # Of a folder that was changed everything counts, but for hidden files.
    (again.folder / "result").write_text("changed")
    everything = GivenFolder(again.folder, "cohort").input_digest(HashCache(), ("*",))
    assert set(everything) == {"result", "notes.txt", "mine/list.csv"}


def test_an_output_in_the_output_of_another_stage_is_refused(tmp_path: Path, stage: Callable[..., Stage]) -> None:
    stage(tmp_path / "out").run()
    for folder in (tmp_path / "out" / "new", tmp_path / "out" / "deep" / "new"):
        with pytest.raises(InputDataError, match=r"lies in .*, the output of a stage; choose another"):
            stage(folder).run()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["stage.hashes.json", "stage.json"]


@pytest.mark.parametrize("version", [0, None, "1"])
def test_a_record_of_another_format_is_not_read(tmp_path: Path, stage: Callable[..., Stage], version: Any) -> None:
    made = stage(tmp_path / "out")
    made.run()
    write_json(made.folder / "stage.json", {**read_json(made.folder / "stage.json"), "format": version})
    assert not made.finished()
    assert made.run()
