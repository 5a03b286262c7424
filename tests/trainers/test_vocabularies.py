"""A model and a cohort of different vocabularies never meet, and the message has both lists."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import DatasetDict
from tiny_examples import OPEN, tiny_splits

from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import SettingsError
from modeling_clinragen.vocabulary_clinragen import Range, Vocabulary
from trainers import phases
from trainers.build_model import build_model
from trainers.model_config import ModelConfig
from trainers.note_trainer import NoteTrainer
from trainers.phase_config import PhaseConfig
from trainers.phases import PHASES, Learns, Phase, phase_named
from trainers.run_phase import NewModel, load_parent, train_phase

SHAPE = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
PHASE_YAML = (
    "max_steps: 1\nwarmup_steps: 0\nlearning_rate: 0.01\nper_device_train_batch_size: 4\nallow_skipped_phases: true\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phase's YAML and the settings of a tiny model."""
    path = tmp_path_factory.mktemp("settings")
    (path / "t5.json").write_text(json.dumps(SHAPE))
    (path / "phase.yaml").write_text(PHASE_YAML)
    return path


@pytest.fixture(scope="module")
def new(folder: Path) -> NewModel:
    sizes: dict[str, Any] = {"lab_width": 8, "lab_layers": 1, "lab_heads": 2, "lora_r": 2, "vocab_size": 500}
    return NewModel(ModelConfig(scratch=folder / "t5.json", max_target_tokens=40, **sizes), ["fever", "cough"])


@pytest.fixture(scope="module")
def parent(folder: Path, new: NewModel, vocabulary: Vocabulary) -> Path:
    """A trained model of the shipped vocabulary."""
    train_phase("note", folder / "parent", cohort=tiny_splits(vocabulary), start=new, config=folder / "phase.yaml")
    return folder / "parent"


def reordered(vocabulary: Vocabulary) -> Vocabulary:
    return replace(vocabulary, variables=vocabulary.variables[::-1])


def other_range(vocabulary: Vocabulary) -> Vocabulary:
    """The same names and units, but the heart rate is normal up to 20 bpm more in the clinical range set."""

    def wider(one: Range) -> Range:
        return replace(one, high=one.high + 20) if one.range_set == "clinical" else one

    variables = tuple(
        replace(one, ranges=tuple(map(wider, one.ranges))) if one.key == "heart_rate" else one
        for one in vocabulary.variables
    )
    return replace(vocabulary, variables=variables)


def in_one_line(*lists: Any) -> str:
    return ".*".join(", ".join(f"{one.key} \\({one.unit}\\)".replace("/", ".") for one in names) for names in lists)


def test_a_model_carries_the_vocabulary_and_range_set_of_its_cohort(
    folder: Path, new: NewModel, lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    provenance = {**OPEN, "settings": {"range_set": "paper"}}
    cohort = tiny_splits(lactate_vocabulary, provenance=provenance)
    train_phase("note", tmp_path / "first", cohort=cohort, start=new, config=folder / "phase.yaml")
    train_phase("lab", tmp_path / "second", cohort=cohort, start=tmp_path / "first", config=folder / "phase.yaml")
    model, processor = load_parent(tmp_path / "second")
    assert processor.vocabulary == lactate_vocabulary
    assert processor.range_set == "paper"
    assert model.config.variables[-1] == "lactate"
    assert model.config.phase == "lab"


def test_a_parent_refuses_a_cohort_whose_variables_stand_in_another_order(
    folder: Path, parent: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    # The widths are equal: without the vocabulary, heart rates would be read as something else.
    other = reordered(vocabulary)
    both = in_one_line(vocabulary.variables, other.variables)
    with pytest.raises(SettingsError, match=f"the parent model .* and the cohort have different variables: .*{both}"):
        train_phase("lab", tmp_path / "out", cohort=tiny_splits(other), start=parent, config=folder / "phase.yaml")
    assert not (tmp_path / "out").exists()


def test_a_parent_refuses_other_diseases_and_another_range_set(
    folder: Path, parent: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    fewer = replace(vocabulary, diseases=vocabulary.diseases[1:])
    paper = {**OPEN, "settings": {"range_set": "paper"}}
    for cohort, message in (
        (tiny_splits(fewer), "have different diseases"),
        (tiny_splits(vocabulary, provenance=paper), "range set 'clinical', but the cohort has 'paper'"),
        (tiny_splits(other_range(vocabulary)), "different ranges in the range set 'clinical'.* heart_rate"),
    ):
        with pytest.raises(SettingsError, match=message):
            train_phase("lab", tmp_path / "out", cohort=cohort, start=parent, config=folder / "phase.yaml")


def test_splits_without_a_vocabulary_are_refused(
    folder: Path, new: NewModel, parent: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    plain: Any = DatasetDict(tiny_splits(vocabulary))
    for start in (new, parent):
        with pytest.raises(SettingsError, match=r"plain DatasetDict.*load_examples"):
            train_phase("lab", tmp_path / "out", cohort=plain, start=start, config=folder / "phase.yaml")
    with pytest.raises(SettingsError, match="plain DatasetDict"):
        build_model(new.config, plain, [], 0)


def test_a_backbone_that_does_not_exist_is_named(vocabulary: Vocabulary, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for backbone in (tmp_path / "none", tmp_path / "empty"):
        fault = "there is no such folder" if backbone.name == "none" else "has no language model"
        with pytest.raises(SettingsError, match=f"backbone: .*{backbone}.*{fault}") as caught:
            build_model(ModelConfig(backbone=str(backbone)), tiny_splits(vocabulary, 2), [], 0)
        assert "\n" not in str(caught.value)


def test_a_parent_of_an_older_version_must_be_trained_again(
    folder: Path, parent: Path, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for path in parent.iterdir():
        if path.is_file():
            (old / path.name).write_bytes(path.read_bytes())
    content = json.loads((old / "processor_config.json").read_text())
    for name in ("vocabulary", "range_set", "format_version"):
        del content[name]
    (old / "processor_config.json").write_text(json.dumps(content))
    message = f"the parent model {old} has no vocabulary: .* older version; train it again with `clinragen train`"
    with pytest.raises(SettingsError, match=message):
        train_phase("lab", tmp_path / "out", cohort=tiny_splits(vocabulary), start=old, config=folder / "phase.yaml")


@pytest.fixture
def built(new: NewModel, vocabulary: Vocabulary) -> tuple[Any, ClinRaGenProcessor]:
    return build_model(new.config, tiny_splits(vocabulary), new.terms, 0)


def arguments(tmp_path: Path) -> PhaseConfig:
    return PhaseConfig(output_dir=str(tmp_path), max_steps=1, use_cpu=True, allow_skipped_phases=True)


def test_a_trainer_checks_what_a_split_shows_of_its_vocabulary(
    built: tuple[Any, Any], vocabulary: Vocabulary, lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    def start(cohort: CohortSplits, **more: Any) -> None:
        NoteTrainer(built[0], arguments(tmp_path), cohort["train"], processing_class=built[1], **more)

    renamed = replace(vocabulary.diseases[0], name="Gout")
    fewer = replace(vocabulary, diseases=vocabulary.diseases[:-1])
    other = replace(vocabulary, diseases=(renamed, *vocabulary.diseases[1:]))
    start(tiny_splits(vocabulary), vocabulary=vocabulary)
    with pytest.raises(SettingsError, match="lab_values are of 12 variables but the model has 11: diastolic"):
        start(tiny_splits(lactate_vocabulary), vocabulary=vocabulary)
    with pytest.raises(SettingsError, match="labels are of 24 diseases but the model has 25"):
        start(tiny_splits(fewer), vocabulary=vocabulary)
    with pytest.raises(SettingsError, match="the disease 'Gout', which is not in the model's vocabulary: "):
        start(tiny_splits(other, 64), vocabulary=vocabulary)
    with pytest.raises(SettingsError, match="the model and the cohort have different variables"):
        start(tiny_splits(reordered(vocabulary)), vocabulary=reordered(vocabulary))
    # A reordered split looks like any other: without the cohort's vocabulary nothing is trained.
    with pytest.raises(TypeError, match="vocabulary"):
        start(tiny_splits(reordered(vocabulary)))
    with pytest.raises(SettingsError, match=r"NoteTrainer needs the cohort's vocabulary: .*cohort\.vocabulary"):
        start(tiny_splits(reordered(vocabulary)), vocabulary=None)
    wider = other_range(vocabulary)
    with pytest.raises(SettingsError, match=r"different ranges in the range set 'clinical'.* heart_rate"):
        start(tiny_splits(wider), vocabulary=wider)


def test_a_trainer_checks_the_model_against_the_processor(
    built: tuple[Any, Any], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model, processor = built
    model.config.diseases = model.config.diseases[::-1]
    with pytest.raises(SettingsError, match=r"the model's config has the diseases .* but its processor has"):
        NoteTrainer(
            model,
            arguments(tmp_path),
            tiny_splits(vocabulary)["train"],
            processing_class=processor,
            vocabulary=vocabulary,
        )


# The table of phases


SLOW_TRAINER = """
from trainers.phase_trainer import PhaseTrainer

class SlowTrainer(PhaseTrainer):
    def create_optimizer(self, model=None):
        self.args.learning_rate /= 1000
        return super().create_optimizer(model)
"""


def test_a_row_of_the_table_and_a_yaml_are_a_new_phase(
    folder: Path, parent: Path, vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        Phase(
            name=name,
            parents=("note",),
            reads_note=False,
            reads_labs=True,
            rationales=("rationale_lab",),
            learns=Learns(knowledge_attention=True),
            sentence="Polish: the knowledge attention alone learned from the series.",
            system=None,
            trainer=trainer,
        )
        for name, trainer in (("polish", None), ("polish-slowly", "slow_trainer:SlowTrainer"))
    ]
    monkeypatch.setattr(phases, "PHASES", (*PHASES, *rows))
    (tmp_path / "slow_trainer.py").write_text(SLOW_TRAINER)
    monkeypatch.syspath_prepend(tmp_path)
    before, _ = load_parent(parent)
    steps = []
    for row in rows:
        train_phase(
            row.name,
            tmp_path / row.name,
            cohort=tiny_splits(vocabulary),
            start=parent,
            config=folder / "phase.yaml",
        )
        model, _ = load_parent(tmp_path / row.name)
        start = before.state_dict()
        changes = {name: float((value - start[name]).abs().max()) for name, value in model.state_dict().items()}
        assert {name.partition(".")[0] for name, change in changes.items() if change} == {"knowledge_attention"}
        assert model.config.phase == row.name
        steps.append(max(changes.values()))
    assert steps[1] == pytest.approx(steps[0] / 1000, rel=0.05)


def test_the_table_is_ordered_and_names_known_parents() -> None:
    names = [phase.name for phase in PHASES]
    for position, phase in enumerate(PHASES):
        assert all(parent is None or parent in names[:position] for parent in phase.parents)
        assert phase.reads_note or phase.reads_labs
        assert phase_named(phase.name) is phase
    systems = [phase.system for phase in PHASES if phase.system]
    assert len(set(systems)) == len(systems)


def test_the_table_and_the_settings_of_a_model_load_without_torch() -> None:
    code = "import sys, trainers.phases, trainers.model_config; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
