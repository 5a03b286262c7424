"""The stages of a run: what each reads, what decides its output, and which library call does its work."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_builder.contract.vocabulary import carry_vocabulary, vocabulary_of

from clinragen.pipeline.knowledge import KnowledgeSettings, make_knowledge
from clinragen.pipeline.rationales import TeacherSettings, teach_cohort, teach_shard
from clinragen.pipeline.recipe import Recipe
from clinragen.pipeline.stage import STAMP, Stage
from dataset_builder.storage.files import PARTIAL, fingerprint, output_folder, read_json
from modeling_clinragen.errors import InputDataError, SettingsError, StageError

if TYPE_CHECKING:
    from clinragen.teachers.distill import Shard

Report = Callable[[float, float | None, str], None]
"""Progress: amount done, total (None where unknown) and a short remark."""

KNOWLEDGE = "knowledge.json"
SYNTHETIC_NOTICE = (
    "The patients are synthetic: they come from this project's synthetic hospital, and no number says anything about "
    "real patients."
)


def silent(done: float, total: float | None, remark: str) -> None:
    """A `Report` that shows nothing."""


class _Given(Stage):
    """A folder that the user already has; it is read, never written."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(what, folder, work=_nothing, settings={})
        if not folder.is_dir():
            raise InputDataError(f"{folder}: is not a folder; give the {what}")

    def digest(self) -> str:
        if self._digest is None:
            stamp = self.folder / STAMP
            if stamp.is_file():
                self._digest = str(read_json(stamp)["fingerprint"])
            else:
                # Size and time stand for the content: credentialed tables are tens of gigabytes.
                files = sorted(path for path in self.folder.rglob("*") if path.is_file() and PARTIAL not in path.name)
                listed = [
                    (str(path.relative_to(self.folder)), path.stat().st_size, path.stat().st_mtime_ns)
                    for path in files
                ]
                self._digest = fingerprint(self.name, listed)
        return self._digest


@contextmanager
def _moved_up(target: Path) -> Iterator[Path]:
    # The library makes whole folders that are not there yet; a stage's folder already is, with the run's own marker.
    made = target / "made"
    yield made
    # What is its owner's alone stays so.
    target.chmod(stat.S_IMODE(made.stat().st_mode))
    for path in made.iterdir():
        path.rename(target / path.name)
    made.rmdir()


def in_vocabulary(cohort: Stage, work: Callable[[Path], None]) -> Callable[[Path], None]:
    """`work` with the cohort's own variables and phenotypes, where it has such, which its output then carries too."""

    def inside(target: Path) -> None:
        with vocabulary_of(cohort.folder):
            work(target)
        carry_vocabulary(cohort.folder, target)

    return inside


def _nothing(folder: Path) -> None:
    raise StageError(f"{folder}: is an input, not a stage")


def given(folder: Path, what: str) -> Stage:
    """Wrap an input folder of the user's. Raises `InputDataError` when it does not exist."""
    return _Given(folder, what)


class _Tables(Stage):
    """A source's tables: a folder with what lies beside it, or a database. They are read, never written."""

    def __init__(self, root: str, settings: dict[str, Any]) -> None:
        from dataset_builder.sources.locate import is_database_url

        # The folder tells `Stage.run` where no output may be written.
        super().__init__("tables", Path() if is_database_url(root) else Path(root), work=_nothing, settings=settings)
        self.root = root

    def digest(self) -> str:
        from dataset_builder.cohort.build import locate_for
        from dataset_builder.cohort.config import CohortSettings

        if self._digest is None:
            settings = {name: value for name, value in self.settings.items() if name != "source"}
            located = locate_for(self.settings["source"], self.root, CohortSettings.of(settings))
            # Size and time stand for the content: credentialed tables are tens of gigabytes.
            files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in located.files]
            release = (located.release.name, located.release.credentialed, located.version)
            self._digest = fingerprint(
                self.name, self.root, files, release, dict(located.states), files=[located.source.path]
            )
        return self._digest


def tables_of(root: str, settings: dict[str, Any]) -> Stage:
    """The tables in a folder, or in a database by its postgresql:// URL; `settings` are those of `build`."""
    inner = Path(root) / "tables"
    return _Tables(str(inner) if inner.is_dir() else root, settings)


def synthesize(folder: Path, settings: dict[str, Any], seed: int, report: Report = silent) -> Stage:
    """Synthetic hospital: settings `patients`, and optionally `world`."""

    def work(target: Path) -> None:
        from dataset_builder.synthetic.hospital import write_hospital

        patients = int(settings["patients"])
        world = Path(settings["world"]) if settings.get("world") else None
        write_hospital(
            target / "tables",
            patients=patients,
            seed=seed,
            world=world,
            on_progress=lambda done: report(done, patients, "patients"),
        )

    chosen = {"patients": settings.get("patients"), "world": settings.get("world"), "seed": seed}
    if not isinstance(chosen["patients"], int) or chosen["patients"] < 1:
        raise SettingsError(f"patients is '{chosen['patients']}'; give a whole number above 0")
    return Stage("synthesize", folder, work, chosen, code=("dataset_builder",))


def build(folder: Path, tables: Stage, settings: dict[str, Any], report: Report = silent) -> Stage:
    """Cohort from tables; the settings are those of `build_cohort`."""
    files = [Path(settings[name]) for name in ("variables", "phenotypes", "split_file") if settings.get(name)]

    def work(target: Path) -> None:
        from dataset_builder.cohort.build import build_cohort

        root = tables.root if isinstance(tables, _Tables) else tables.folder / "tables"
        with _moved_up(target) as made:
            build_cohort(
                root=root,
                output=made,
                on_progress=lambda step, done, total: report(done, total, step),
                **settings,
            )

    return Stage(
        "build",
        folder,
        work,
        settings,
        inputs=(tables,),
        code=("dataset_builder",),
        files=tuple(files),
    )


def knowledge(
    folder: Path, cohort: Stage, settings: KnowledgeSettings | None = None, report: Report = silent
) -> Stage:
    """The knowledge base, the shipped one without `settings`, and how much of it is in the cohort's training notes.

    What sources and a language model answer is kept beside the folder, whatever becomes of the stage.
    """
    chosen = settings or KnowledgeSettings()

    def work(target: Path) -> None:
        cache = folder.with_name(f"{folder.name}.retrieved")
        with _moved_up(target) as made:
            make_knowledge(cohort.folder, made, chosen, cache, journals_of(folder), report)

    return Stage(
        "knowledge",
        folder,
        in_vocabulary(cohort, work),
        chosen.decisive,
        inputs=(cohort, *(given(corpus, "local corpus") for corpus in chosen.folders)),
        code=("dataset_builder",),
    )


def rationales(
    folder: Path, cohort: Stage, base: Stage | None, teacher: TeacherSettings, report: Report = silent
) -> Stage:
    """Rationales by a teacher, from the knowledge `base` or, without one, the shipped knowledge.

    What a language model answers is kept in a journal beside the folder, whatever becomes of the stage.
    """

    def work(target: Path) -> None:
        with _moved_up(target) as made:
            teach_cohort(cohort.folder, knowledge_file(base), teacher, made, journals_of(folder), report)

    return Stage(
        "rationales",
        folder,
        in_vocabulary(cohort, work),
        teacher.decisive,
        inputs=(cohort, base) if base is not None else (cohort,),
        code=("dataset_builder", "evaluation"),
    )


def ask_shard(
    folder: Path, cohort: Stage, base: Stage | None, teacher: TeacherSettings, shard: Shard, report: Report = silent
) -> int:
    """Ask for one part of what the stage `rationales` of `folder` will need; returns the number of examples."""
    output_folder(folder, [stage.folder for stage in (cohort, base) if stage is not None])
    return teach_shard(cohort.folder, knowledge_file(base), teacher, shard, journals_of(folder), report)


def knowledge_file(base: Stage | None) -> Path | None:
    """The knowledge in a stage's folder; None, the shipped one, without a stage."""
    return None if base is None else base.folder / KNOWLEDGE


def journals_of(folder: Path) -> Path:
    """The folder with a language model's answers for what is in `folder`."""
    return folder.with_name(f"{folder.name}.journal")


def train(
    phase: str,
    folder: Path,
    *,
    cohort: Stage,
    config: Path,
    seed: int,
    overrides: Iterable[str] = (),
    parent: Stage | None = None,
    model: Path | None = None,
    base: Stage | None = None,
    report: Report = silent,
) -> Stage:
    """One training phase; it starts from `parent`, or builds what the YAML `model` says with the knowledge `base`."""
    changed = list(overrides)

    def on_step(step: int, steps: int, loss: float | None) -> None:
        report(step, steps, "steps" if loss is None else f"steps, loss {loss:.3f}")

    def work(target: Path) -> None:
        from clinragen.knowledge import load_knowledge
        from dataset_builder.contract.schema import load_examples
        from trainers.run_phase import load_model_config, train_phase

        train_phase(
            phase,
            target,
            cohort=load_examples(cohort.folder),
            config=config,
            overrides=changed,
            parent=parent.folder if parent is not None else None,
            model_config=load_model_config(model) if parent is None and model is not None else None,
            terms=list(load_knowledge(base.folder / KNOWLEDGE).all_terms()) if base is not None else None,
            seed=seed,
            on_step=on_step,
        )

    inputs = tuple(stage for stage in (cohort, parent, base) if stage is not None)
    files = [config]
    if parent is None and model is not None:
        files += [model, *model.parent.glob("*.json")]
    return Stage(
        f"train {phase}",
        folder,
        in_vocabulary(cohort, work),
        {"phase": phase, "seed": seed, "overrides": changed},
        inputs=inputs,
        code=("modeling_clinragen", "trainers"),
        files=tuple(file for file in files if file.is_file()),
        resumes=True,
    )


def all_stages(recipe: Recipe, output: Path, seed: int, root: str | None, report: Report = silent) -> list[Stage]:
    """Every stage of a recipe, in order.

    Raises:
        SettingsError: The recipe makes its own patients and a root is given, or it needs a root and none is given.
    """
    from clinragen.pipeline.evaluate import evaluate, publish

    if (recipe.synthesize is None) == (root is None):
        wanted = "needs the tables: give --root DIR" if root is None else "makes its own tables: leave --root out"
        raise SettingsError(f"{recipe.path}: {wanted}")
    stages = []
    if root is None:
        assert recipe.synthesize is not None
        stages.append(synthesize(output / "hospital", recipe.synthesize, seed, report))
        tables: Stage = stages[-1]
    else:
        tables = tables_of(root, recipe.build)
    built = build(output / "build", tables, recipe.build, report)
    base = knowledge(output / "knowledge", built, KnowledgeSettings.of(recipe.knowledge), report)
    taught = rationales(output / "rationales", built, base, TeacherSettings.of(recipe.rationales, seed), report)
    stages += [built, base, taught]
    trained: dict[str, Stage] = {}
    parent: Stage | None = None
    for phase, config in recipe.train.items():
        parent = train(
            phase,
            output / "train" / phase,
            cohort=taught,
            config=config,
            seed=seed,
            parent=parent,
            model=recipe.model,
            base=base if parent is None else None,
            report=report,
        )
        trained[phase] = parent
        stages.append(parent)
    notices = list(recipe.notices)
    if root is None:
        notices.append(SYNTHETIC_NOTICE)
    scored = evaluate(output / "evaluation", taught, trained, recipe.evaluate, notices, report)
    stages += [scored, publish(output / "model", trained, scored, taught)]
    return stages
