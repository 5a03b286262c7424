"""Stages that several processes run together: all of them the same ones, of the same settings and inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from threaded_processes import PROCESSES, of_each

from clinragen.pipeline import train
from clinragen.pipeline.stage import GivenFolder, Stage, StageKind, run_stages
from clinragen.pipeline.synthesize import SynthesizeConfig
from clinragen.pipeline.train import TrainConfig
from dataset_builder.storage.code_fingerprint import code_fingerprint
from dataset_builder.storage.files import PARTIAL
from dataset_builder.storage.processes import Processes


@pytest.fixture(scope="module", autouse=True)
def read_code() -> None:
    """Python 3.11 fails where two threads parse at once, as processes never do; what was read once is kept."""
    code_fingerprint(train.__name__)


@pytest.fixture
def given(tmp_path: Path) -> TrainConfig:
    """A phase's settings; the folder "cohort" is beside their file."""
    (tmp_path / "phase.yaml").write_text("max_steps: 4\nsave_steps: 2\n")
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "split").write_text("one")
    return TrainConfig(phase="note", config=tmp_path / "phase.yaml")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({}, None),
        ({"text": "max_steps: 5\nsave_steps: 2\n"}, "max_steps of config"),
        # It decides nothing, but processes that save at different steps would wait for each other.
        ({"text": "max_steps: 4\nsave_steps: 4\n"}, "save_steps of config"),
        ({"text": "max_steps: 4\n"}, "save_steps of config"),
        ({"seed": 1}, "seed"),
        ({"overrides": ("--max_steps", "5")}, "overrides"),
        ({"phase": "lab"}, "the stage, phase"),
        ({"cohort": "two"}, "the input 'cohort'"),
    ],
)
def test_processes_train_where_they_were_given_the_same(
    other: dict[str, Any], named: str | None, given: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    monkeypatch.setattr(train, "run", lambda *values: ran.append(values[-1].rank))
    settings = dict(other)
    (tmp_path / "1" / "cohort").mkdir(parents=True)
    (tmp_path / "1" / "cohort" / "split").write_text(settings.pop("cohort", "one"))
    (tmp_path / "1" / "phase.yaml").write_text(settings.pop("text", given.config.read_text()))
    # Where the files lie does not matter.
    configs = [given, replace(given, config=tmp_path / "1" / "phase.yaml", **settings)]
    cohorts = [GivenFolder(tmp_path / "cohort", "cohort"), GivenFolder(tmp_path / "1" / "cohort", "cohort")]
    kind = StageKind("train", TrainConfig, train.__name__, together=True)

    def work(own: Processes, config: TrainConfig) -> None:
        label = f"train {config.phase}"
        inputs = {"cohort": cohorts[own.rank]}
        Stage(kind, config, inputs, tmp_path / "out", label=label, processes=own).run()

    said = of_each(lambda own: work(own, configs[own.rank]))
    if named is None:
        assert said == ["", ""]
        assert sorted(ran) == [0, 1]
        return
    for message in said:
        assert f": process 1 differs from process 0 in {named}; " in message
    assert ran == []


def test_a_training_goes_on_with_its_batches_divided_in_another_way_and_with_no_other_setting(
    given: TrainConfig,
) -> None:
    one, two, accumulating, longer = (
        replace(given, overrides=overrides)
        for overrides in (
            (),
            ("--per_device_train_batch_size", "2"),
            ("--gradient_accumulation_steps=4",),
            ("--max_steps", "5"),
        )
    )
    assert one.content_to_go_on == two.content_to_go_on == accumulating.content_to_go_on != longer.content_to_go_on
    assert one.deciding_content != two.deciding_content


def test_processes_with_other_stages_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "run", lambda *values: None)
    kind = StageKind("a", SynthesizeConfig, train.__name__)

    def work(own: Processes) -> None:
        made = [
            Stage(kind, SynthesizeConfig(), {}, tmp_path / name, label=name, processes=own)
            for name in ("one", "two")[: 2 - own.rank]
        ]
        run_stages(made, lambda stage, number, of: None)

    said = of_each(work)
    assert said[0] == said[1]
    assert said[0].startswith("the recipe: process 1 differs from process 0 in its stages; ")
    assert not (tmp_path / "one").exists()


def test_all_processes_work_in_the_folder_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, str]] = []
    monkeypatch.setattr(train, "run", lambda *values: seen.append((values[-1].rank, values[2].name)))
    kind = StageKind("a", SynthesizeConfig, train.__name__, together=True)
    ran: list[bool] = []

    def work(own: Processes) -> None:
        ran.append(Stage(kind, SynthesizeConfig(), {}, tmp_path / "out", processes=own).run())

    assert of_each(work) == ["", ""]
    assert sorted(seen) == [(0, "out" + PARTIAL), (1, "out" + PARTIAL)]
    assert of_each(work) == ["", ""]
    assert len(seen) == PROCESSES
    assert ran == [True, True, False, False]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
