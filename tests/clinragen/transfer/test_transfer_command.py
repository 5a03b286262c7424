"""The command `transfer` on a run of the tiny quickstart."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from command_line import fails_with_one_line, in_process

from dataset_builder.contract.schema import SPLITS
from dataset_builder.storage.files import read_json, write_json

OTHER = "Other"


@pytest.fixture(scope="module")
def elsewhere(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's cohort in folders of its own: as it is, credentialed, and of other diseases."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("north", "real", "odd"):
        shutil.copytree(tiny_run / "rationales", folder / name / "rationales")
    shutil.copytree(tiny_run / "hospital", folder / "north" / "hospital")
    provenance = folder / "real" / "rationales" / "provenance.json"
    write_json(provenance, read_json(provenance) | {"credentialed": True, "synthetic": False})
    vocabulary = folder / "odd" / "rationales" / "vocabulary.json"
    text = vocabulary.read_text(encoding="utf-8")
    assert '"Shock"' in text
    vocabulary.write_text(text.replace('"Shock"', f'"{OTHER}"'), encoding="utf-8")
    return folder


def test_one_table_of_all_places(tiny_run: Path, elsewhere: Path, tmp_path: Path) -> None:
    words = ["transfer", "--train", tiny_run, "--test", elsewhere / "north", elsewhere / "odd"]
    words += ["--output", tmp_path / "out", "--texts", 3]
    done = in_process(*words)
    assert done.returncode == 0, done.stderr
    assert f"as '{OTHER}', not 'Shock'" in done.stdout
    content = read_json(tmp_path / "out" / "transfer.json")
    home, north, odd = content["places"]
    assert [place["name"] for place in content["places"]] == ["home", "north", "odd"]
    assert (home["home"], content["compared_with"]) == (True, "home")
    assert "refused" in odd
    # The same patients: the same answers, and the intervals of a difference around zero.
    assert north["scores"]["micro_f1"]["value"] == home["scores"]["micro_f1"]["value"]
    assert north["difference"]["micro_f1"]["value"] == 0
    assert {"cited_note", "cited_series", "contradicted"} <= set(north["scores"])
    assert home["explained"] == min(3, home["examples"])
    # As the evaluation of the run scores the same lists.
    metrics = read_json(tmp_path / "out" / "home" / "metrics.json")
    assert home["scores"]["micro_f1"]["value"] == pytest.approx(
        metrics["systems"]["full"]["micro_f1"]["value"], abs=1e-5
    )
    for source in ("note", "series"):
        wanted = metrics["rationale"]["full"]["evidence"]["shown"][source]["present"]["value"]
        assert home["scores"][f"cited_{source}"]["value"] == pytest.approx(wanted, abs=1e-5)
    claims = metrics["rationale"]["full"]["claims"]["shown"]["data"]["contradicted"]["value"]
    assert home["scores"]["contradicted"]["value"] == (None if claims is None else pytest.approx(claims, abs=1e-5))
    assert "## Minus home" in (tmp_path / "out" / "transfer.md").read_text(encoding="utf-8")
    # Again: no place is asked again, and the table is the same.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/predictions.json")}
    assert in_process(*words).returncode == 0
    assert len(before) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert read_json(tmp_path / "out" / "transfer.json") == content


def test_all_patients_of_another_place(tiny_run: Path, elsewhere: Path, tmp_path: Path) -> None:
    words = ["transfer", "--train", tiny_run, "--test", f"ward={elsewhere / 'real'}", "--output", tmp_path / "out"]
    done = in_process(*words, "--split", "all", "--texts", 1)
    assert done.returncode == 0, done.stderr
    home, ward = read_json(tmp_path / "out" / "transfer.json")["places"]
    sizes = read_json(tiny_run / "build" / "provenance.json")["examples"]
    patients = sum(sizes[name] for name in SPLITS)
    assert ward["name"] == "ward"
    assert (home["examples"], ward["examples"]) == (sizes["test"], patients)
    # Credentialed, and no hospital beside it.
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "out" / "transfer.json").stat().st_mode) == 0o600
    assert "cited_note" not in ward["scores"]


def test_what_cannot_be_compared(tiny_run: Path, elsewhere: Path, tmp_path: Path) -> None:
    words = ["transfer", "--output", tmp_path / "out"]
    own = [*words, "--train", tiny_run]
    fails_with_one_line(in_process(*own, "--test", elsewhere / "odd"), "cannot be compared", f"as '{OTHER}'")
    fails_with_one_line(in_process(*own, "--test", tmp_path), "is not a cohort")
    fails_with_one_line(in_process(*words, "--train", tmp_path, "--test", elsewhere / "north"), "has no model")
    model = [*words, "--train", tiny_run / "model", "--test", elsewhere / "north"]
    fails_with_one_line(in_process(*model), "--home")
    fails_with_one_line(in_process(*model, elsewhere / "north"), "called 'north'")
    inside = [
        "transfer",
        "--train",
        tiny_run,
        "--test",
        elsewhere / "north",
        "--output",
        tiny_run / "rationales" / "x",
    ]
    fails_with_one_line(in_process(*inside), "overlaps")
    assert not (tmp_path / "out").exists()
