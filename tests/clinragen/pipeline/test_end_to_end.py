"""The tiny run of the whole method, through the real command line wherever a user would use it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, SCRIPT, command, fails_with_one_line, in_process, start, wait_for

from clinragen.evaluation.systems import OTHER_LISTS
from clinragen.pipeline.plan import plan_stages
from clinragen.pipeline.recipe import load_recipe
from dataset_builder.contract.lab_csv import write_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def test_the_run_leaves_what_a_reader_needs(tiny_run: Path) -> None:
    metrics = read_json(tiny_run / "evaluation" / "metrics.json")
    assert set(metrics["systems"]) == {
        "full",
        OTHER_LISTS[read_json(tiny_run / "model" / "config.json")["list_from"]][0],
        "note_only",
        "labs_only",
        "gradient_boosting",
        "gradient_boosting_note",
        "gradient_boosting_labs",
        "logistic_regression",
        "prevalence",
    }
    for scores in metrics["systems"].values():
        score = scores["micro_f1"]
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
    kept = {path.name for path in (tiny_run / "evaluation.baselines").iterdir()}
    assert kept == {f"gradient_boosting{inputs}.safetensors" for inputs in ("", "_note", "_labs")}
    report = (tiny_run / "evaluation" / "report.md").read_text()
    assert "synthetic" in report
    for picture in ("training_curves.png", "f1_per_disease.png", "patient_series.png"):
        assert (tiny_run / "evaluation" / picture).stat().st_size > 5000
        assert picture in report
    card = (tiny_run / "model" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "synthetic" in card
    assert f"{metrics['systems']['full']['micro_f1']['value']:.3f}" in card
    # The base that the run made is the one that the model's rationales are checked by.
    base = (tiny_run / "model" / "knowledge.json").read_bytes()
    assert base == (tiny_run / "knowledge" / "knowledge.json").read_bytes()
    assert not list(tiny_run.rglob("*.partial"))
    assert not [path for path in tiny_run.rglob("*") if path.suffix in {".pt", ".pth", ".bin", ".pkl"}]


def test_patients_stay_in_one_split_and_rationales_are_there(tiny_run: Path) -> None:
    splits = load_examples(tiny_run / "rationales")
    seen = [set(split["subject_id"]) for split in splits.values()]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert all(text for split in splits.values() for text in split["rationale_note"])


def test_a_second_run_does_nothing(tiny_run: Path, tiny_recipe: Path) -> None:
    stages = plan_stages(load_recipe(tiny_recipe), tiny_recipe, tiny_run, 0, None)
    assert all(stage.finished() for stage in stages)
    assert [stage.run() for stage in stages] == [False] * len(stages)


def test_predict_explains_a_patient_and_the_labs_matter(
    tiny_run: Path, tmp_path: Path, vocabulary: Vocabulary
) -> None:
    (tmp_path / "note.txt").write_text("Chief Complaint:\ndyspnea\nHistory of Present Illness:\nFever and cough.\n")
    hours = np.arange(12.0)
    values = np.full((12, len(vocabulary.variables)), np.nan)
    values[:, vocabulary.variable_keys.index("heart_rate")] = 130
    write_lab_csv(tmp_path / "labs.csv", LabSeries.from_values(vocabulary, hours, values))
    done = command("predict", tiny_run / "model", "--note", tmp_path / "note.txt", "--labs", tmp_path / "labs.csv")
    assert done.returncode == 0, done.stderr[-1500:]
    assert "Diagnoses" in done.stdout
    assert "Rationale" in done.stdout


def test_bad_inputs_of_predict_end_in_one_line(tiny_run: Path, tmp_path: Path) -> None:
    model = tiny_run / "model"
    bad = {
        "unknown.csv": ("hours,heart rait (bpm)\n0,80\n", "heart rait"),
        "unit.csv": ("hours,heart rate (furlongs)\n0,80\n", "(bpm)"),
        "empty.csv": ("", "empty"),
    }
    for name, (content, part) in bad.items():
        (tmp_path / name).write_text(content)
        fails_with_one_line(in_process("predict", model, "--labs", tmp_path / name), name, part)
    fails_with_one_line(in_process("predict", model), "--note")
    fails_with_one_line(in_process("predict", model, "--labs", ROOT / "README.md"), "README.md")
    fails_with_one_line(in_process("predict", tmp_path, "--labs", tmp_path / "unit.csv"), str(tmp_path))
    (tmp_path / "note.txt").write_text("Fever.")
    fails_with_one_line(in_process("predict", tmp_path / "none", "--note", tmp_path / "note.txt"), "none")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    fails_with_one_line(in_process("predict", model, "--note", tmp_path / "latin.txt"), "UTF-8")


def test_user_errors_end_in_one_line(tmp_path: Path) -> None:
    build = ("build", "--note-policy", "full", "--output", tmp_path / "out")
    cases: list[tuple[tuple[object, ...], str]] = [
        (("run", tmp_path / "none.yaml"), "none.yaml"),
        (("run", ROOT / "recipes" / "mimic-iv-demo.yaml"), "--root"),
        ((*build, "mimic-iv", "--root", tmp_path / "none"), "none"),
        ((*build, "mimic-iv", "--root", tmp_path), "has no table"),
        ((*build, "mimic-vii", "--root", tmp_path), "mimic-vii"),
        (("build", "mimic-iv", "--root", tmp_path, "--output", tmp_path / "out"), "--note-policy"),
        (("demo", tmp_path / "none"), "none"),
        (("synthesize", "--patients", "many", "--output", tmp_path / "out"), "--patients"),
        (("no-such-verb",), "no-such-verb"),
    ]
    fails_with_one_line(command(*cases[0][0]), cases[0][1])
    for words, part in cases:
        fails_with_one_line(in_process(*words), part)
        assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_full_disk_ends_in_one_line_without_half_output(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        done = command("synthesize", "--patients", "200", "--output", small / "out")
        fails_with_one_line(done, "disk is full")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_killed_and_interrupted_runs_go_on_to_the_same_result(
    tiny_run: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    process = start("quickstart", "--recipe", tiny_recipe, "--output", output)
    wait_for(output / "train" / "backbone.partial" / "checkpoints" / "checkpoint-2" / "trainer_state.json", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (output / "rationales" / "stage.json").is_file()
    assert not (output / "train" / "backbone").exists()
    process = start("quickstart", "--recipe", tiny_recipe, "--output", output)
    wait_for(output / "train" / "note.partial", process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    done = command("quickstart", "--recipe", tiny_recipe, "--output", output)
    assert done.returncode == 0, done.stderr[-1500:]
    ours, theirs = (read_json(path / "evaluation" / "metrics.json") for path in (output, tiny_run))
    assert ours["systems"]["logistic_regression"] == theirs["systems"]["logistic_regression"]
    cohorts = [path / "rationales" / "data" / "test.parquet" for path in (output, tiny_run)]
    assert cohorts[0].read_bytes() == cohorts[1].read_bytes()


def test_every_stage_is_a_verb_of_its_own(tiny_recipe: Path, tmp_path: Path) -> None:
    folder = tiny_recipe.parent
    phase = ("--config", folder / "phase.yaml", "--cohort", tmp_path / "taught")
    policy = ("--note-policy", "admission")
    steps: list[tuple[object, ...]] = [
        ("synthesize", "--patients", 40, "--output", tmp_path / "hospital"),
        ("build", "mimic-iv", *policy, "--root", tmp_path / "hospital", "--output", tmp_path / "cohort"),
        ("knowledge", "--cohort", tmp_path / "cohort", "--output", tmp_path / "knowledge"),
        (
            "rationales",
            "--cohort",
            tmp_path / "cohort",
            "--knowledge",
            tmp_path / "knowledge",
            "--output",
            tmp_path / "taught",
        ),
        (
            "train",
            "note",
            *phase,
            "--model",
            folder / "model.yaml",
            "--knowledge",
            tmp_path / "knowledge",
            "--output",
            tmp_path / "note",
            "--max_steps",
            2,
        ),
        ("train", "lab", *phase, "--parent", tmp_path / "note", "--output", tmp_path / "lab", "--max_steps", 2),
    ]
    for words in steps:
        # The two that need least and most of the libraries start from nothing, as a user's do.
        done = (command if words[:2] in (steps[0][:2], ("train", "lab")) else in_process)(*words)
        assert done.returncode == 0, (words[:2], done.stderr[-1500:])
    assert read_json(tmp_path / "lab" / "config.json")["phase"] == "lab"
    curve = read_json(tmp_path / "lab" / "curve.json")
    assert max(entry["step"] for entry in curve) == 2
    wrong = in_process("train", "multimodal", *phase, "--parent", tmp_path / "note", "--output", tmp_path / "multi")
    fails_with_one_line(wrong, "'multimodal' starts from 'lab'")


def test_the_demo_recipe_runs_on_real_patients(shared: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe.parent / "real.yaml"
    text = (ROOT / "recipes" / "mimic-iv-demo.yaml").read_text()
    for shipped in ("tiny-t5/demo-backbone.yaml", "tiny-t5/demo-phase.yaml"):
        assert shipped in text
        text = text.replace(shipped, "phase.yaml")
    recipe.write_text(text.replace("tiny-t5/model.yaml", "model.yaml"))
    root = shared / "data" / "mimic-iv-demo"
    done = command("run", recipe, "--root", root, "--output", tmp_path / "real")
    assert done.returncode == 0, done.stderr[-1500:]
    provenance = read_json(tmp_path / "real" / "rationales" / "provenance.json")
    assert provenance["notes_are_structured"] is True
    sentence = provenance["about_the_notes"]
    outputs = [tmp_path / "real" / "evaluation" / "report.md", tmp_path / "real" / "model" / "README.md"]
    outputs.append(tmp_path / "real" / "rationales" / "README.md")
    for path in outputs:
        assert sentence in path.read_text(), path
    assert sentence[:60] in " ".join(done.stdout.split())


def test_help_answers_without_the_heavy_libraries() -> None:
    script = (
        f"import sys; sys.argv = [{str(SCRIPT)!r}, '--help']\n"
        "from clinragen.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'duckdb', 'pandas', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "quickstart" in done.stdout
    assert "HEAVY []" in done.stdout
    assert "quickstart" in command("--help").stdout


def test_another_seed_makes_everything_anew_and_nothing_of_a_patient_is_logged(
    tiny_run: Path, tiny_recipe: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = shutil.copytree(tiny_run, tmp_path / "run")
    stages = plan_stages(load_recipe(tiny_recipe), tiny_recipe, output, 3, None)
    with caplog.at_level("INFO"):
        assert [stage.name for stage in stages if stage.run()] == [stage.name for stage in stages]
    before, after = (
        {split: set(rows["subject_id"]) for split, rows in load_examples(folder / "rationales").items()}
        for folder in (tiny_run, output)
    )
    # Patients of both hospitals have the same numbers, but not the same split.
    everybody = [set().union(*splits.values()) for splits in (before, after)]
    moved = [one for one in everybody[0] & everybody[1] for split in before if one in before[split] - after[split]]
    assert len(moved) > 5
    logged = caplog.text
    for row in load_examples(output / "rationales")["test"]:
        assert str(row["subject_id"]) not in logged
        assert row["note"][:60] not in logged
