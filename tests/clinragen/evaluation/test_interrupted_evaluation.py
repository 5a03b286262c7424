"""An evaluation that was interrupted goes on from its finished batches, and gives what one in one go gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import in_process, start, wait_for
from made_up_cohort import make_cohort, write_cohort

from clinragen.evaluation import answers
from clinragen.evaluation.config import EvaluateConfig
from clinragen.pipeline.evaluate import ANSWERS
from clinragen.pipeline.stage import GivenFolder, Stage
from clinragen.pipeline.stages import EVALUATE
from dataset_builder.storage.files import PARTIAL
from modeling_clinragen.vocabulary_clinragen import Vocabulary

PASSES = ["write_lists", "write_targets", "diagnose_patients"]
TIMED = {"cost.json", "stage.json", "stage.hashes.json"}


@pytest.fixture(scope="module")
def inputs(
    vocabulary: Vocabulary, make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A cohort, and a model whose head lists."""
    folder = tmp_path_factory.mktemp("inputs")
    write_cohort(folder / "cohort", make_cohort(vocabulary))
    model = make_model("t5", lab_summary=True, disease_head=True, list_from="head")
    model.generation_config.max_new_tokens = 12
    model.save_pretrained(folder / "model")
    make_processor(max_target_tokens=24).save_pretrained(folder / "model")
    return {"cohort": folder / "cohort", "full": folder / "model"}


@pytest.fixture
def evaluate(inputs: dict[str, Path]) -> Callable[[Path], bool]:
    """Runs the stage into a folder."""
    config = EvaluateConfig(baselines="light", batch_size=4, texts=1)

    def run(output: Path) -> bool:
        given = {role: GivenFolder(folder, role) for role, folder in inputs.items()}
        return Stage(EVALUATE, config, given, output).run()

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that was written, but measured times."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in TIMED}


def test_no_batch_is_done_twice_and_the_result_is_the_same(
    evaluate: Callable[[Path], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    left = [10**6]

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            asked.append(name)
            return function(*args, **kwargs)

        return call

    for name in PASSES:
        monkeypatch.setattr(answers, name, counted(name, getattr(answers, name)))
    assert evaluate(tmp_path / "straight")
    straight = list(asked)
    assert set(straight) == set(PASSES)
    # Among the first diagnoses, and among the last lists.
    for interrupted in (1, len(straight) - 1):
        asked.clear()
        left[0] = interrupted
        output = tmp_path / f"after-{interrupted}"
        with pytest.raises(KeyboardInterrupt):
            evaluate(output)
        assert (output.with_name(output.name + PARTIAL) / ANSWERS).is_dir()
        left[0] = 10**6
        assert evaluate(output)
        assert asked == straight
        assert contents(output) == contents(tmp_path / "straight")
        assert not (output / ANSWERS).exists()


def test_after_kill_9_the_same_command_gives_the_same_scores(inputs: dict[str, Path], tmp_path: Path) -> None:
    words = ["evaluate", "--cohort", inputs["cohort"], "--full", inputs["full"], "--baselines", "light", "--raw"]
    words += ["--texts", "2", "--batch-size", "1", "--output"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = start(*words, killed)
    wait_for(killed.with_name(killed.name + PARTIAL) / ANSWERS / "full-texts" / "0.json", process)
    process.kill()
    process.communicate()
    assert not killed.exists()
    for output in (killed, straight):
        assert in_process(*words, output).returncode == 0
    assert contents(killed) == contents(straight)
