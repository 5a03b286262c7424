"""Credentialed data stays private, unpublished and on this machine, and whatever is made of it says so."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_teacher import with_rationales
from tiny_mimic import crowd, make_cohort
from tiny_provenance import CLOSED, OPEN

from dataset_builder.cohort.build import build_cohort, fill_cohort
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.files import atomic_folder, private_folder
from dataset_builder.storage.governance import (
    PROVENANCE,
    SYNTHETIC_NOTICE,
    UNRECORDED,
    carry_provenance,
    is_credentialed,
    is_synthetic,
    provenance_notices,
    read_provenance,
    require_local_trackers,
    require_publishable,
    write_provenance,
)
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import GovernanceError, InputDataError


@pytest.fixture
def _loose_umask() -> Iterator[None]:
    old = os.umask(0)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder: Path) -> list[Path]:
    return [path for path in (folder, *folder.rglob("*")) if mode(path) & 0o077]


# --- private folders


@pytest.mark.usefixtures("_loose_umask")
def test_a_private_folder_is_never_open_to_others_not_even_while_it_is_written(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "out", private=True) as folder:
        assert mode(folder) == 0o700
        (folder / "data").mkdir()
        (folder / "data" / "patients.csv").write_text("1")
        assert open_to_others(folder)  # files as other libraries write them
    assert open_to_others(tmp_path / "out") == []
    assert mode(tmp_path / "out" / "data" / "patients.csv") == 0o600
    with atomic_folder(tmp_path / "open") as folder:
        (folder / "file").write_text("1")
    assert mode(tmp_path / "open") & 0o077


@pytest.mark.usefixtures("_loose_umask")
def test_what_a_resumed_run_left_open_becomes_private(tmp_path: Path) -> None:
    left = tmp_path / "out.partial"
    left.mkdir()
    (left / "old").write_text("1")
    with atomic_folder(tmp_path / "out", resume=True, private=True) as folder:
        assert mode(folder) == 0o700
    assert open_to_others(tmp_path / "out") == []


def test_a_private_folder_is_not_made_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputDataError, match="is a file"):
        private_folder(tmp_path / "file")


# --- provenance


@pytest.mark.parametrize("value", [None, 0, "", "false", "no", [], True])
def test_only_a_recorded_no_is_open(value: Any) -> None:
    assert is_credentialed({**OPEN, "credentialed": value})
    assert not is_credentialed(OPEN)
    assert is_credentialed({})
    assert is_credentialed({**OPEN, "origins": "nonsense"})
    assert is_credentialed({**OPEN, "origins": [CLOSED]})


def test_a_folder_without_provenance_counts_as_credentialed(tmp_path: Path) -> None:
    assert is_credentialed(read_provenance(tmp_path))
    (tmp_path / PROVENANCE).write_text("[]")
    assert is_credentialed(read_provenance(tmp_path))
    (tmp_path / PROVENANCE).write_text("{")
    with pytest.raises(InputDataError, match="not readable JSON"):
        read_provenance(tmp_path)
    (tmp_path / PROVENANCE).write_text(json.dumps(OPEN))
    assert not is_credentialed(read_provenance(tmp_path))


origins = st.sampled_from([OPEN, CLOSED, UNRECORDED, {**OPEN, "title": "Another hospital"}])


@given(st.lists(st.lists(origins, min_size=1, max_size=3), min_size=1, max_size=4))
def test_through_any_chain_of_steps_nothing_credentialed_becomes_open(generations: list[list[dict[str, Any]]]) -> None:
    carried: dict[str, Any] | None = None
    for number, others in enumerate(generations):
        carried = carry_provenance([*([carried] if carried else []), *others], f"step {number}", {"seed": number})
    assert carried is not None
    used = [origin for others in generations for origin in others]
    assert is_credentialed(carried) == any(origin["credentialed"] for origin in used)
    assert carried["credentialed"] == is_credentialed(carried)
    assert {origin["title"] for origin in carried["origins"]} == {origin["title"] for origin in used}
    named = [step["step"] for step in carried["steps"] if step["step"].startswith("step ")]
    assert named == [f"step {number}" for number in range(len(generations))]
    assert {"source", "release", "title", "version", "licence"} <= set(carried)
    # Top and list agree: the licence shown is the one that binds.
    if is_credentialed(carried):
        assert carried["licence"] != OPEN["licence"]


def test_without_any_parent_the_origin_is_not_recorded() -> None:
    assert is_credentialed(carry_provenance([], "train", {}))


def test_synthetic_patients_stay_synthetic_through_every_step() -> None:
    """A knowledge base of published texts among the parents changes nothing; a credentialed parent does."""
    made = {**OPEN, "synthetic": True, "about_the_notes": "The notes are short."}
    literature = {**OPEN, "release": "literature", "title": "Published texts"}
    assert provenance_notices(made) == [SYNTHETIC_NOTICE, "The notes are short."]
    for parents in ([made], [made, literature], [made, made]):
        carried = carry_provenance([carry_provenance(parents, "rationales", {})], "train note", {})
        assert is_synthetic(carried)
        assert provenance_notices(carried) == [SYNTHETIC_NOTICE, "The notes are short."]
    for parents in ([made, CLOSED], [OPEN], []):
        carried = carry_provenance(parents, "train", {})
        assert carried["synthetic"] is False
        assert SYNTHETIC_NOTICE not in provenance_notices(carried)
    assert provenance_notices(UNRECORDED) == []
    assert not is_synthetic({"synthetic": "yes"})


def test_writing_a_credentialed_provenance_closes_the_folder(tmp_path: Path) -> None:
    for name, provenance, closed in (("open", OPEN, False), ("closed", CLOSED, True)):
        folder = tmp_path / name
        folder.mkdir()
        folder.chmod(0o755)
        write_provenance(folder, provenance)
        assert json.loads((folder / PROVENANCE).read_text()) == provenance
        assert (mode(folder) == 0o700) == closed


# --- publishing


def test_what_comes_from_credentialed_data_is_not_published(tmp_path: Path) -> None:
    require_publishable(OPEN, "the Hub")
    with pytest.raises(GovernanceError) as caught:
        require_publishable(CLOSED, "the Hub repository me/mimic")
    message = str(caught.value)
    for part in ("MIMIC-IV", "PhysioNet Credentialed Health Data License", "me/mimic", "publish code"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(GovernanceError, match="not recorded"):
        require_publishable(tmp_path, "the Hub")
    mixed = carry_provenance([OPEN, CLOSED], "train", {})
    with pytest.raises(GovernanceError, match="MIMIC-IV"):
        require_publishable(mixed, "the Hub")


def test_only_trackers_that_stay_on_this_machine_see_a_credentialed_training() -> None:
    require_local_trackers([])
    require_local_trackers(["none", "tensorboard"])
    for tracker in ("wandb", "comet_ml", "mlflow", "azure_ml", "trackio", "all", "clearml", "swanlab", "neptune"):
        with pytest.raises(GovernanceError, match=f"report_to: {tracker} may send"):
            require_local_trackers(["tensorboard", tracker])


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small hospital built twice: without a licence file (the strictest case), and as synthetic."""
    folder = tmp_path_factory.mktemp("cohorts")
    root = crowd(12).write(folder / "tables")
    make_cohort("mimic-iv", root, folder / "closed", note_policy="full")
    (root / "LICENSE.txt").write_text("Synthetic hospital")
    make_cohort("mimic-iv", root, folder / "open", note_policy="full")
    return {name: folder / name for name in ("closed", "open")}


def test_build_and_rationales_keep_credentialed_cohorts_private_and_traceable(
    cohorts: dict[str, Path], tmp_path: Path
) -> None:
    assert open_to_others(cohorts["closed"]) == []
    assert mode(cohorts["open"]) & 0o077
    for name, cohort in cohorts.items():
        folder = tmp_path / name
        with_rationales(cohort, folder)
        assert (open_to_others(folder) == []) == (name == "closed")
        built, carried = (json.loads((path / PROVENANCE).read_text()) for path in (cohort, folder))
        assert carried["credentialed"] is (name == "closed")
        assert built["synthetic"] is carried["synthetic"] is (name == "open")
        for key in ("source", "release", "title", "version", "licence", "fingerprint"):
            assert carried[key] == built[key]
        assert [step["step"] for step in carried["steps"]] == ["build", "rationales"]


def test_an_existing_folder_is_closed_before_anything_is_written_into_it(tmp_path: Path) -> None:
    root = crowd(12).write(tmp_path / "tables")
    (tmp_path / "stage").mkdir(mode=0o755)
    (tmp_path / "stage" / "stage.json.started").write_text("{}")
    seen: list[bool] = []

    def look(progress: Progress) -> None:
        seen.append(bool(mode(tmp_path / "stage") & 0o077))

    config = CohortConfig(note_policy="full")
    provenance = fill_cohort(tmp_path / "stage", "mimic-iv", root, config, look)
    assert len(seen) > 4
    assert not any(seen)
    assert open_to_others(tmp_path / "stage") == []
    assert provenance == load_examples(tmp_path / "stage").provenance
    assert provenance == build_cohort("mimic-iv", root, tmp_path / "built", config)
    for name in ("train", "validation", "test"):
        filled, built = (tmp_path / folder / "data" / f"{name}.parquet" for folder in ("stage", "built"))
        assert filled.read_bytes() == built.read_bytes()
    with pytest.raises(InputDataError, match="overlaps with the input"):
        fill_cohort(root / "hosp", "mimic-iv", root, config)


def test_credentialed_notes_beside_an_open_demo_close_the_cohort(tmp_path: Path) -> None:
    root = crowd(6).write(tmp_path / "mimic-iv-demo" / "2.2")
    (root / "LICENSE.txt").write_text("Open Database License (ODbL) v1.0")
    beside = tmp_path / "mimic-iv-note" / "2.2"
    beside.mkdir(parents=True)
    (root / "note").rename(beside / "note")
    for licence in ("The PhysioNet Credentialed Health Data License\nVersion 1.5.0", None):
        (beside / "LICENSE.txt").unlink(missing_ok=True)
        if licence is not None:
            (beside / "LICENSE.txt").write_text(licence)
        provenance = make_cohort("mimic-iv", root, tmp_path / "out", note_policy="full")
        assert provenance["credentialed"] is True
        assert open_to_others(tmp_path / "out") == []
        with pytest.raises(GovernanceError):
            require_publishable(tmp_path / "out", "the Hub")
    (beside / "LICENSE.txt").write_text("Open Database License (ODbL) v1.0")
    assert make_cohort("mimic-iv", root, tmp_path / "out", note_policy="full")["credentialed"] is False


def test_a_credentialed_cohort_cannot_be_pushed_to_the_hub(cohorts: dict[str, Path]) -> None:
    closed = load_examples(cohorts["closed"])
    for private in (False, True):
        with pytest.raises(GovernanceError, match="someone/cohort"):
            closed.push_to_hub("someone/cohort", private=private)
    # That the open one is pushed, in a process of its own: tests/modeling_clinragen/test_hub_guard.py.
    opened = load_examples(cohorts["open"])
    assert isinstance(opened, CohortSplits)
    assert not is_credentialed(opened.provenance)
    # A copy has no provenance, and what has none counts as credentialed.
    assert not isinstance(opened.map(lambda row: row), CohortSplits)
