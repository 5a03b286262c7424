"""The runs of an ablation table: one folder for each line and seed, with a record of how it was made."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clinragen.pipeline.ablation_file import REFERENCE, SHARED, Ablation
from clinragen.pipeline.ablation_recipe import RECIPE, WrittenRecipe
from clinragen.pipeline.digests import HashCache, read_stamp, recorded_digests
from clinragen.pipeline.kept import kept_beside
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import load_recipe
from clinragen.pipeline.stage import Stage
from clinragen.pipeline.stages import BUILD, EVALUATE, PUBLISH, RATIONALES, TRAIN
from dataset_builder.storage.files import fingerprint, read_json, write_json
from dataset_builder.storage.progress import Report, no_report
from modeling_clinragen.errors import ClinRaGenError, InputDataError, SettingsError

RUN, RUN_FORMAT = "run.json", 1
TIMED = (TRAIN, EVALUATE)
SECONDS = ".seconds.json"
"""Ending of the file beside the output of a timed stage with the processor time that it took."""
PACKAGES = (
    "clinragen",
    "torch",
    "transformers",
    "peft",
    "datasets",
    "duckdb",
    "scikit-learn",
    "lightgbm",
    "sacrebleu",
)
KEY_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class Run:
    """One line of the table with one seed.

    Args:
        ablation: The line.
        recipe: Its recipe.
        seed: The seed of the run.
        output: The folder of the table.
    """

    ablation: Ablation
    recipe: WrittenRecipe
    seed: int
    output: Path

    @property
    def folder(self) -> Path:
        """Where recipe, models, evaluation and record are."""
        return self.output / f"seed-{self.seed}" / self.ablation.name

    @property
    def evaluation(self) -> Path:
        """The folder of the evaluation."""
        return self.folder / "evaluation"

    @property
    def config(self) -> dict[str, Any]:
        """The whole recipe by file, JSON-able."""
        return dict(self.recipe.files)

    def record(self) -> dict[str, Any]:
        """The content of run.json; empty where it is missing, damaged or of another recipe."""
        try:
            content = read_json(self.folder / RUN)
        except InputDataError:
            return {}
        same = isinstance(content, dict) and content.get("format") == RUN_FORMAT
        return content if same and content.get("config") == self.config else {}

    def lacks(self) -> str | None:
        """Why the run does not count, in words; None where its evaluation is finished and unchanged."""
        if not (self.folder / RUN).is_file():
            return "not run yet"
        record = self.record()
        if not record:
            return "made with other settings; run it again, or give the same --texts"
        if "failed" in record:
            return str(record["failed"])
        stamp = read_stamp(self.evaluation)
        if "finished" not in record or stamp is None or stamp.get("fingerprint") != record["finished"]:
            return "not finished; run the same command again to go on"
        if recorded_digests(self.evaluation, HashCache.beside(self.evaluation)) != stamp["files"]:
            return "its evaluation was changed afterwards; delete the run's folder and run again"
        return None

    def stages(self, root: str | None, report: Report = no_report) -> list[Stage]:
        """The stages of the run, in order; its recipe has been written.

        What comes before the evaluation lies where the other runs of the seed find it: they share a stage where its
        settings, and those of the stages before, are the same.
        """
        path = self.folder / "recipe" / RECIPE
        cache, before = HashCache(), ""

        def place(stage: Stage) -> Path:
            nonlocal before
            if stage.kind is EVALUATE:
                return stage.folder
            before = fingerprint(before, stage.name, stage.settings(cache))
            name = f"{stage.name.replace(' ', '-')}-{before[:KEY_LENGTH]}"
            return self.output / f"seed-{self.seed}" / SHARED / name

        stages = plan_stages(load_recipe(path), path, self.folder, self.seed, root, report, place=place)
        return [stage for stage in stages if stage.kind is not PUBLISH]


def run_all(
    runs: Sequence[Run], root: str | None, report: Report, announce: Callable[[str, int, int], None]
) -> dict[str, str]:
    """Run what is not finished. Where one run fails the others go on.

    Args:
        runs: All lines of the first seed, then those of the next.
        root: The source's tables; None where the recipes make their own patients.
        report: Called with the progress of each stage.
        announce: Called before each stage that has to run with its name, its number and how many there are.

    Returns:
        By run ("no-disease-head, seed 1") why it failed.

    Raises:
        SettingsError: A recipe needs a root and none is given, or the other way round.
    """
    for run in runs:
        _require_tables(run, root)
    for run in runs:
        run.recipe.write(run.folder / "recipe")
    planned = [(run, run.stages(root, report)) for run in runs]
    total, number, failed = sum(len(stages) for _, stages in planned), 0, {}
    for run, stages in planned:
        name = f"{run.ablation.name}, seed {run.seed}"
        record = _Record(run, stages)
        for place, stage in enumerate(stages):
            try:
                if not stage.finished():
                    announce(f"{name}: {stage.name}", number + place + 1, total)
                    record.run(stage)
            except ClinRaGenError as error:
                failed[name] = record.fail(error)
                break
        else:
            record.finish()
        number += len(stages)
    return failed


def _require_tables(run: Run, root: str | None) -> None:
    """Raise `SettingsError` where a run makes its own patients and a root is given, or needs a root that is not."""
    makes = run.recipe.files[RECIPE].get("synthesize") is not None
    if makes == (root is None):
        return
    wanted = "makes its own tables: leave --root out" if makes else "needs the tables: give --root DIR"
    raise SettingsError(f"{run.ablation.path}: {wanted}")


class _Record:
    """Writes run.json: before every stage that has to run, and at the end."""

    def __init__(self, run: Run, stages: Sequence[Stage]) -> None:
        self._run, self._stages = run, stages
        self._content = run.record()
        taught = next(stage for stage in stages if stage.kind is RATIONALES)
        self._own: dict[str, Any] = {
            "format": RUN_FORMAT,
            "name": run.ablation.name,
            "title": run.ablation.title,
            "seed": run.seed,
            "change": {} if run.ablation.name == REFERENCE else run.ablation.change.given(),
            "config": run.config,
            "cohort": _relative(taught, run),
            "models": {stage.config.phase: _relative(stage, run) for stage in stages if stage.kind is TRAIN},
            "versions": {name: version(name) for name in PACKAGES},
            "python": platform.python_version(),
            "commit": commit(),
        }
        built = next(stage for stage in stages if stage.kind is BUILD)
        _share_baselines(run.evaluation, kept_beside(built.folder, ".baselines"))

    def run(self, stage: Stage) -> None:
        """Run a stage, and keep beside its output the processor time that it took."""
        self._write(self._own)
        # A stage that is done again begins at no seconds; one that was interrupted goes on.
        before = 0 if stage.folder.is_dir() else _seconds(stage)
        begun = _processor_seconds()
        ran = True
        try:
            ran = stage.run()
        finally:
            if ran and stage.kind in TIMED:  # not by another process, which this one has waited for
                spent = round(before + _processor_seconds() - begun, 1)
                write_json(kept_beside(stage.folder, SECONDS), {"seconds": spent})

    def fail(self, error: ClinRaGenError) -> str:
        """Record why the run failed."""
        self._write({**self._own, "failed": str(error)})
        return str(error)

    def finish(self) -> None:
        """Record that the evaluation is there, and what all that it is of took; a run that had nothing to do keeps its
        record.
        """
        stamp = read_stamp(self._run.evaluation) or {}
        made = self._content or self._own
        seconds = {stage.name: _seconds(stage) for stage in self._stages if stage.kind in TIMED}
        entries = {name: entry for name, entry in made.items() if name != "failed"} | {"seconds": seconds}
        if self._content.get("finished") != stamp["fingerprint"] or entries != self._content:
            self._write({**entries, "finished": stamp["fingerprint"]})

    def _write(self, content: Mapping[str, Any]) -> None:
        self._content = dict(content)
        write_json(self._run.folder / RUN, self._content)


def commit() -> str | None:
    """The commit of the checkout that this package runs from, "-dirty" where files differ; None outside of one."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None
    words = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _seconds(stage: Stage) -> float:
    """The processor time of a stage so far, whichever run it was made in."""
    kept = kept_beside(stage.folder, SECONDS)
    return float(read_json(kept)["seconds"]) if kept.is_file() else 0


def _relative(stage: Stage, run: Run) -> str:
    """Where a stage's output is, seen from the run's folder."""
    return Path(os.path.relpath(stage.folder, run.folder)).as_posix()


def _share_baselines(evaluation: Path, shared: Path) -> None:
    """Let the evaluations of one cohort keep their fitted baselines in one folder: a link leads there."""
    own = kept_beside(evaluation, ".baselines")
    if own.is_symlink() or own.exists():
        if not own.is_symlink() or own.resolve() == shared.resolve():
            return
        own.unlink()  # of another cohort, before the settings were changed
    shared.mkdir(parents=True, exist_ok=True)
    own.parent.mkdir(parents=True, exist_ok=True)
    own.symlink_to(os.path.relpath(shared, own.parent), target_is_directory=True)


def _processor_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
