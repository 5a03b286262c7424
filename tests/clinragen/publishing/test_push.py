"""Models, cohorts and Spaces go to a Hub by its own client, whole or not at all, and what must stay here stays."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import fails_with_one_line, in_process
from conftest import ROOT
from hub_server import TOKEN, HubServer, Repository, hub
from pyarrow.parquet import read_table
from transformers import pipeline

from clinragen.publishing.shipment import model_shipment
from dataset_builder.storage.files import read_json, write_json
from modeling_clinragen.errors import InputDataError

REPO = "someone/clinragen-tiny"
SPLITS = ("train", "validation", "test")
# The tiny cohort has tokens of three patients.
FEW = ("--fewest-patients", 3)
# Commands one after the other in a process that has loaded nothing credentialed, as this one may have. The client does
# not wait before it sends a file again.
PUSH = """
import json, os, sys, time
time.sleep = lambda seconds: None
from command_line import in_process
for words, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    done = in_process(*words)
    print(json.dumps([words, done.returncode, done.stdout, done.stderr]), flush=True)
"""
LOAD = """
import json, sys
sys.modules["clinragen"] = sys.modules["modeling_clinragen"] = None
import huggingface_hub
from datasets import load_dataset
from transformers import AutoModel, pipeline
folder = huggingface_hub.snapshot_download(sys.argv[1])
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
explain = pipeline("clinical-rationale", model=sys.argv[1], trust_remote_code=True)
text = explain(note="Dyspnea and fever.", max_new_tokens=12)["text"]
data = load_dataset(huggingface_hub.snapshot_download(sys.argv[1], repo_type="dataset"))
rows = [data[split].num_rows for split in ("train", "validation", "test")]
print(json.dumps([folder, type(model).__module__, rows, text]))
"""


@pytest.fixture
def server() -> Iterator[HubServer]:
    with hub() as running:
        yield running


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a server was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def pushed(
    server: HubServer, home: Path, *commands: tuple[Sequence[object], str]
) -> list[subprocess.CompletedProcess[str]]:
    """Run commands, each with a token."""
    given = json.dumps([[list(map(str, words)), token] for words, token in commands])
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-P", "-c", PUSH, given],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "PYTHONPATH": path, **server.environment(home)},
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [subprocess.CompletedProcess(*json.loads(line)) for line in done.stdout.splitlines()]


def test_a_push_that_is_cut_is_completed_by_the_next_and_loads_in_a_fresh_process(
    tiny_run: Path, server: HubServer, tmp_path: Path
) -> None:
    model = ("push", tiny_run / "model", "--to", REPO, *FEW, "--dataset", "someone/cohort")
    cohort = ("push-dataset", tiny_run / "rationales", "--to", REPO, "--private")
    server.cut_pushes = 1
    # Of an earlier version, beside a file of the owner's.
    server.repositories["model", REPO] = Repository({}, [{"old_clinragen.py": b"", "picture.png": b"", "x.md": b""}])
    cut, again, data, foreign, more = pushed(
        server,
        tmp_path,
        (model, TOKEN),
        (model, TOKEN),
        (cohort, TOKEN),
        (cohort, "hf_of_another"),
        (cohort, TOKEN),
    )
    fails_with_one_line(cut, REPO, "the connection to the Hub was cut", "the same command again completes it")
    assert again.returncode == 0, again.stderr
    repository = server.repositories["model", REPO]
    assert len(repository.commits) == 2
    assert f"Sent: {server.address}/{REPO}/commit/{repository.sha}" in again.stdout
    files = dict(repository.files)
    assert {"picture.png", "x.md"} <= set(files)
    assert not {"stage.json", "stage.hashes.json", "curve.json", "old_clinragen.py"} & set(files)
    card = files.pop("README.md").decode()
    assert "datasets:\n- someone/cohort\n" in card
    own = {name: content for name, content in files.items() if name not in ("picture.png", "x.md")}
    assert {"knowledge.json", "provenance.json", "pipeline_clinragen.py", "model.safetensors"} <= set(own)
    for name, content in own.items():
        assert content == (tiny_run / "model" / name).read_bytes(), name
    dataset = server.repositories["dataset", REPO]
    assert data.returncode == more.returncode == 0, (data.stderr, more.stderr)
    assert dataset.about["visibility"] == "private"
    parquet = [name for name in dataset.files if name.endswith(".parquet")]
    assert {f"data/{split}.parquet" for split in ("train", "validation", "test")} <= set(parquet)
    # Nothing has changed: nothing is uploaded again, and there is no empty commit.
    assert len(dataset.commits) == 2
    assert len(server.put) == len(set(server.put)) == len(server.verified) == 1 + len(parquet)
    fails_with_one_line(foreign, REPO, "refuses the token (401)")
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, REPO],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**server.environment(tmp_path / "fresh", None), "PATH": "", "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=180,
    )
    assert loaded.returncode == 0, loaded.stderr[-3000:]
    folder, module, rows, found = json.loads(loaded.stdout.splitlines()[-1])
    assert module.startswith("transformers_modules.")
    assert Path(folder, "model.safetensors").read_bytes() == own["model.safetensors"]
    assert rows == [read_table(tiny_run / "rationales" / "data" / f"{one}.parquet").num_rows for one in SPLITS]
    explain = pipeline(model=str(tiny_run / "model"))
    assert found == explain(note="Dyspnea and fever.", max_new_tokens=12)["text"]


def test_a_trained_folder_gets_its_card_and_knowledge_on_the_way(tiny_run: Path, no_network: None) -> None:
    folder = tiny_run / "train" / "multimodal"
    before = sorted(path.name for path in folder.iterdir())
    done = in_process("push", folder, "--to", REPO, "--dry-run", *FEW)
    assert done.returncode == 0, done.stderr
    listed = {line.split("bytes  ")[1]: line for line in done.stdout.splitlines() if "bytes  " in line}
    assert {"README.md", "knowledge.json", "model.safetensors"} <= set(listed)
    assert f"{(folder / 'model.safetensors').stat().st_size:,} bytes" in listed["model.safetensors"]
    assert f"Model for {REPO}, licence cc0-1.0:" in done.stdout
    assert done.stdout.endswith("nothing was sent, and no server was asked.\n")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_space_is_written_and_written_again(tiny_run: Path, tmp_path: Path, no_network: None) -> None:
    words = ("push-space", tiny_run / "model", "--to", REPO, *FEW)
    folder = tmp_path / "space"
    for _ in range(2):
        done = in_process(*words, "--dry-run", "--output", folder)
        assert done.returncode == 0, done.stderr
        (folder / "model" / "left.txt").write_text("from before")
    assert f"Space for {REPO}, licence apache-2.0, its model cc0-1.0:" in done.stdout
    assert "bytes  app.py" in done.stdout
    assert "bytes  model/model.safetensors" in done.stdout
    assert "model/left.txt" not in done.stdout
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    fails_with_one_line(in_process(*words, "--dry-run", "--output", tmp_path / "mine"), "would be lost")
    fails_with_one_line(in_process(*words, "--output", folder), "--dry-run")


def test_no_path_of_this_machine_goes_with_a_model(tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_run / "model", folder)
    write_json(folder / "config.json", {**read_json(folder / "config.json"), "base_model_name_or_path": str(tmp_path)})
    (folder / "notes.csv").write_text("somebody's own")
    given = {"evaluation": tiny_run / "evaluation", "cohort": tiny_run / "rationales"}
    with model_shipment(folder, REPO, **given) as shipment:
        assert "notes.csv" not in shipment.files
        sent = shipment.files["config.json"]
        assert isinstance(sent, bytes)
        assert json.loads(sent)["base_model_name_or_path"] == tmp_path.name
        assert str(tmp_path).encode() not in sent
    (folder / "knowledge.json").unlink()
    with pytest.raises(InputDataError, match="--knowledge"), model_shipment(folder, REPO, **given):
        pass


def test_what_cannot_be_pushed_ends_in_one_line(tiny_run: Path, tmp_path: Path, no_network: None) -> None:
    model = tiny_run / "model"
    for target, part in (("no-owner", "OWNER/NAME"), ("a/b/c", "OWNER/NAME"), ("../x", "OWNER/NAME")):
        fails_with_one_line(in_process("push", model, "--to", target, "--dry-run"), part)
    # Tests are offline.
    fails_with_one_line(in_process("push", model, "--to", REPO), "HF_HUB_OFFLINE")
    fails_with_one_line(in_process("push", tmp_path, "--to", REPO, "--dry-run"), "config.json")
    fails_with_one_line(in_process("push-dataset", model / "x", "--to", REPO, "--dry-run"), "not a folder")
    copied = tmp_path / "alone" / "model"
    shutil.copytree(model, copied)
    fails_with_one_line(in_process("push", copied, "--to", REPO, "--dry-run"), "--evaluation")
    beside = ("--evaluation", tiny_run / "evaluation", "--cohort", tiny_run / "rationales")
    # Other weights, another cohort.
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    fails_with_one_line(in_process("push", copied, "--to", REPO, "--dry-run", *beside), "other weights")
    shutil.copyfile(model / "model.safetensors", weights)
    record = read_json(copied / "provenance.json")
    steps = [{"step": "build", "fingerprint": "another"}, *record["steps"]]
    write_json(copied / "provenance.json", {**record, "steps": steps})
    fails_with_one_line(
        in_process("push", copied, "--to", REPO, "--dry-run", *beside), "trained on 2 cohorts, of which 1"
    )


@pytest.mark.parametrize("verb", ["push", "push-space", "push-dataset"])
def test_what_is_credentialed_is_refused_before_it_is_read(
    verb: str, tiny_run: Path, tmp_path: Path, no_network: None
) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(tiny_run / ("rationales" if verb == "push-dataset" else "model"), folder)
    record = read_json(folder / "provenance.json")
    write_json(folder / "provenance.json", {**record, "credentialed": True, "title": "MIMIC-IV"})
    for more in ((), ("--private",)):
        done = in_process(verb, folder, "--to", REPO, "--dry-run", *more)
        fails_with_one_line(done, "MIMIC-IV", f"cannot go to the Hub repository {REPO}")
    write_json(folder / "provenance.json", record)
    if verb == "push":
        # The config is saved with the weights, whatever a record beside them says.
        write_json(folder / "config.json", {**read_json(folder / "config.json"), "credentialed": True})
        fails_with_one_line(in_process(verb, folder, "--to", REPO, "--dry-run"), "config.json says")
    if verb == "push-space":
        write_json(folder / "provenance.json", {**record, "synthetic": False})
        fails_with_one_line(in_process(verb, folder, "--to", REPO, "--dry-run"), "synthetic patients")
    (folder / "provenance.json").unlink()
    fails_with_one_line(in_process(verb, folder, "--to", REPO, "--dry-run"), "not recorded")


def test_what_is_memorised_keeps_a_model_here(tiny_run: Path, tmp_path: Path, no_network: None) -> None:
    """Planted in the saved texts: a sentence of a training patient."""
    from dataset_builder.contract.schema import load_examples

    evaluation = tmp_path / "evaluation"
    shutil.copytree(tiny_run / "evaluation", evaluation)
    note = load_examples(tiny_run / "rationales")["train"]["note"][0]
    path = evaluation / "predictions.json"
    content = read_json(path)
    row = content["rows"][0]
    content["texts"]["full"][row] += " " + note
    write_json(path, content)
    report = tmp_path / "private.json"
    words = ("push", tiny_run / "model", "--to", REPO, "--dry-run", *FEW, "--evaluation", evaluation)
    done = in_process(*words, "--report", report)
    fails_with_one_line(done, "memorisation check found", str(report))
    said = done.stderr + done.stdout
    found = read_json(report)
    assert found["overlaps"]
    assert found["overlaps"][0]["example"] == f"{content['example_id'][row]}, full"
    # Counts only: none of the words that were found, and nobody else can read the report.
    assert not [one for one in found["overlaps"] if one["words"][:40] in said.casefold()]
    assert report.stat().st_mode & 0o777 == 0o600
    fails_with_one_line(in_process(*words), "--report FILE")
    # As it comes, k = 10 is too many for a tokenizer of three patients.
    fails_with_one_line(in_process(*words[:5]), "rare tokens")
