"""The model that comes with the project: small, synthetic, as made by its script, and there without being named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import fails_with_one_line, in_process
from conftest import ROOT
from demo_server import request, served
from documented_blocks import pages, steps_of
from documented_runs import Workspace
from safetensors.numpy import load_file

from clinragen import Explainer, shipped_patient
from clinragen.claims.types import SUPPORTED
from clinragen.shipped_model import MODEL_NOTICE, folder, shipped_model
from clinragen.shipped_model.make import (
    MODEL_FILES,
    MOST_BYTES,
    PATIENTS,
    main,
    make_shipped_model,
    patients_to_show,
)
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import read_json, write_json
from dataset_builder.storage.governance import is_credentialed, is_synthetic, read_provenance
from modeling_clinragen.errors import GovernanceError, InputDataError, StageError

RESOURCES = ROOT / "clinragen" / "shipped_model" / "resources"
NOTE = (
    "Chief Complaint:\nlethargy\nPast Medical History:\n- HTN\n- anxiety\n"
    "Medications on Admission:\n1. Lisinopril 20 mg PO DAILY\n"
)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer.from_pretrained(probabilities=True)


def test_without_a_folder_it_is_the_shipped_model(explainer: Explainer) -> None:
    assert Path(explainer.model.name_or_path) == shipped_model() == RESOURCES / "model"
    assert explainer.checking.knowledge is not None
    assert explainer.model.config.credentialed is False
    found = explainer.explain(NOTE, None)
    assert "Essential hypertension" in found.diagnoses
    assert found.verified


@pytest.mark.parametrize(("page", "kinds"), [("README.md", ("python",)), ("docs/start.md", ("file", "python"))])
def test_the_first_example_of_a_page_says_something(
    page: str, kinds: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path, {})
    monkeypatch.chdir(tmp_path)
    steps = [step for step in steps_of(page, pages()[page]) if step.kind in kinds]
    first = next(place for place, step in enumerate(steps) if step.kind == "python")
    said = [workspace.run(step) for step in steps[: first + 1]][-1]
    found = workspace.names["found"]
    assert len(found.diagnoses) > 2
    assert all(sentence.text in said for sentence in found.sentences)
    assert found.without_evidence == ()
    assert {sentence.verdict for sentence in found.sentences} == {SUPPORTED}


def test_a_patient_that_is_not_there_is_refused() -> None:
    assert shipped_patient(PATIENTS - 1)[1].values.size
    for number in (-1, PATIENTS):
        with pytest.raises(InputDataError, match=f"there is no patient {number}; the package has {PATIENTS} of them"):
            shipped_patient(number)


def test_every_sentence_about_its_patients_holds(explainer: Explainer) -> None:
    rows = load_examples(shipped_model().parent / "rationales")["test"]
    patients = [explainer.patient(row["note"], LabSeries.from_example(explainer.vocabulary, row)) for row in rows]
    found = explainer.explain_many(patients)
    assert len(found) == PATIENTS
    right = sum(len({*one.diagnoses} & {*row["diagnoses"]}) for one, row in zip(found, rows, strict=True))
    wrong = sum(len({*one.diagnoses} ^ {*row["diagnoses"]}) for one, row in zip(found, rows, strict=True))
    # On all test patients its micro F1 is 0.92; these are few.
    assert 2 * right / (2 * right + wrong) > 0.85
    assert all(one.sentences and not one.warnings for one in found)
    assert {sentence.verdict for one in found for sentence in one.sentences} <= {SUPPORTED, "none"}


def test_it_is_small_and_holds_what_the_script_writes_and_nothing_else() -> None:
    files = {str(path.relative_to(RESOURCES)): path for path in RESOURCES.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in files.values()) <= MOST_BYTES
    assert set(files) == {
        *("README.md", "provenance.json", "evaluation/metrics.json", "evaluation/provenance.json"),
        *("rationales/provenance.json", "rationales/vocabulary.json"),
        *(f"rationales/data/{split}.parquet" for split in ("train", "validation", "test")),
        *(f"model/{name}" for name in MODEL_FILES),
    }
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files.values()), "an installation is for everybody"


def test_all_of_it_is_synthetic_and_anybody_s() -> None:
    for path in (RESOURCES, *(RESOURCES / name for name in ("model", "rationales", "evaluation"))):
        provenance = read_provenance(path)
        assert is_synthetic(provenance)
        assert not is_credentialed(provenance)
        assert provenance["licence"]["id"] == "cc0-1.0"
    assert read_provenance(RESOURCES)["steps"][-1]["test_patients"] == PATIENTS
    splits = load_examples(RESOURCES / "rationales")
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 0, "validation": 0, "test": PATIENTS}
    assert len(set(splits["test"]["subject_id"])) == PATIENTS
    assert {name for names in splits["test"]["diagnoses"] for name in names} == set(splits.vocabulary.disease_names)


def test_its_figures_are_those_of_its_card() -> None:
    from trainers.formatting import format_score

    metrics = read_json(RESOURCES / "evaluation" / "metrics.json")
    card = (RESOURCES / "model" / "README.md").read_text(encoding="utf-8")
    assert f"| full | {format_score(metrics['systems']['full']['micro_f1'])} |" in card
    assert metrics["held_out"]["examples"] > 1000


def test_patients_who_bring_a_disease_come_first() -> None:
    listed = [["a"], ["a"], [], ["b", "a"], ["c"], ["b"], ["d"]]
    assert patients_to_show(listed, 4) == [0, 3, 4, 6]
    assert patients_to_show(listed, 6) == [0, 1, 2, 3, 4, 6]
    assert patients_to_show(listed, 2) == [0, 3]
    assert patients_to_show(listed, 20) == list(range(7))


def test_the_script_takes_of_a_run_what_loading_needs(tiny_run: Path, tmp_path: Path) -> None:
    target = tmp_path / "shipped"
    make_shipped_model(tiny_run, target)
    # Made again, it is replaced as a whole.
    (target / "model" / "old.json").touch()
    make_shipped_model(tiny_run, target)
    made = shipped_model(target)
    assert sorted(path.name for path in made.iterdir()) == sorted(MODEL_FILES)
    before, after = (load_file(path / "model.safetensors") for path in (tiny_run / "model", made))
    assert all((before[name] == after[name]).all() for name in before)
    whole, shipped = (Explainer.from_pretrained(path, probabilities=True) for path in (tiny_run / "model", made))
    assert whole.explain(NOTE, None) == shipped.explain(NOTE, None)
    test = load_examples(tiny_run / "rationales")["test"].to_list()
    shown = load_examples(target / "rationales")["test"].to_list()
    assert len(shown) == min(PATIENTS, len(test))
    assert [row for row in test if row in shown] == shown
    # The classes are found without the copies of the code, as soon as clinragen is imported.
    assert "auto_map" not in (made / "config.json").read_text() + (made / "processor_config.json").read_text()


def test_the_script_refuses_patients_who_are_real(tiny_run: Path, tmp_path: Path, capsys: Any) -> None:
    run = tmp_path / "run"
    for name in ("rationales", "evaluation", "model"):
        shutil.copytree(tiny_run / name, run / name)
    write_json(run / "rationales" / "provenance.json", {"title": "A hospital", "credentialed": True})
    with pytest.raises(GovernanceError, match="rationales: is not made of synthetic patients alone"):
        make_shipped_model(run, tmp_path / "shipped")
    shutil.copy(tiny_run / "rationales" / "provenance.json", run / "rationales" / "provenance.json")
    (run / "model" / "knowledge.json").unlink()
    with pytest.raises(InputDataError, match=r"knowledge.json: is missing; give the output folder"):
        make_shipped_model(run, tmp_path / "shipped")
    assert not (tmp_path / "shipped").exists()
    with pytest.raises(SystemExit, match=r"^clinragen: give the output folder of one"):
        main([])


def test_an_installation_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StageError, match="has not the shipped one; give a model folder"):
        shipped_model(tmp_path)
    (tmp_path / "note.txt").write_text(NOTE)
    monkeypatch.setattr(folder, "RESOURCES", tmp_path)
    for words in (["predict", "--note", tmp_path / "note.txt"], ["demo", "--port", "0"]):
        fails_with_one_line(in_process(*words), "no model is given, and this installation has not the shipped one")


def test_the_commands_take_it_where_no_model_is_given_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(NOTE)
    done = in_process("predict", "--note", tmp_path / "note.txt", "--json")
    assert done.returncode == 0, done.stderr[-1500:]
    assert done.stderr == f"Note: {MODEL_NOTICE}\n"
    assert "Essential hypertension" in json.loads(done.stdout)["diagnoses"]


def test_the_page_opens_on_it_with_its_patients(tmp_path: Path) -> None:
    with served(["demo", "--port", "0"], tmp_path / "tmp") as page:
        config = json.loads(request(page, "/config").content)
        assert MODEL_NOTICE in page.errors.read_text()
    assert sum("Patient " in json.dumps(one["props"].get("choices") or []) for one in config["components"]) <= 1
    assert f"Patient {PATIENTS}: " in json.dumps(config)


def test_hooks_let_these_files_pass_and_no_others() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    data, large = (
        next(one for one in hooks if one["id"] == name) for name in ("no-patient-data", "check-added-large-files")
    )

    def refused(path: str) -> bool:
        return bool(re.search(data["files"], path)) and not re.search(data["exclude"], path)

    inside = [path for path in RESOURCES.rglob("*") if path.is_file()]
    assert not [path for path in inside if refused(str(path.relative_to(ROOT)))]
    heavy = [path for path in inside if path.stat().st_size > 500 * 1024]
    assert len(heavy) == 2
    assert all(re.search(large["exclude"], str(path.relative_to(ROOT))) for path in heavy)
    own = "clinragen/shipped_model/resources"
    for path in (
        "model.safetensors",
        f"{own}/model/other.safetensors",
        f"{own}/rationales/data/real.parquet",
        f"{own}/a.csv",
    ):
        assert refused(path), path
        assert not re.search(large["exclude"], path), path


def test_a_wheel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    setuptools = pytest.importorskip("setuptools", reason="finds files as the build does")
    monkeypatch.chdir(ROOT)
    built = setuptools.Distribution()
    built.parse_config_files(["pyproject.toml"])
    command = built.get_command_obj("build_py")
    command.ensure_finalized()
    command.manifest_files = {}
    name = "clinragen.shipped_model"
    found = {Path(path).resolve() for path in command.find_data_files(name, name.replace(".", "/"))}
    assert {path for path in RESOURCES.rglob("*") if path.is_file()} <= found
