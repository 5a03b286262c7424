"""No way out to the Hub is open in a process that has loaded something credentialed; all are in any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hub_ways import NATIVE
from tiny_mimic import crowd, make_cohort
from tiny_provenance import CLOSED, OPEN

from dataset_builder.storage.files import write_json

PLAIN = {"HF_HUB_OFFLINE": "0", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


@pytest.fixture(scope="module")
def folders(
    make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path]]:
    """A cohort and a model, open and closed."""
    base = tmp_path_factory.mktemp("folders")
    root = crowd(12).write(base / "tables")
    (root / "LICENSE.txt").write_text("Synthetic hospital")
    found = {}
    for name, provenance in (("open", OPEN), ("closed", CLOSED)):
        cohort, model = base / f"{name}-cohort", base / f"{name}-model"
        make_cohort("mimic-iv", root, cohort, note_policy="full")
        recorded = json.loads((cohort / "provenance.json").read_text()) | provenance
        write_json(cohort / "provenance.json", recorded)
        made = make_model(credentialed=name == "closed", lora=False)
        made.set_provenance(recorded)
        made.save_pretrained(model)
        processor = make_processor()
        processor.provenance = recorded
        processor.save_pretrained(model)
        found[name] = (cohort, model)
    return found


def tried(cohort: Path, model: Path, *without: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "hub_ways", str(cohort), str(model), *without],
        env={**os.environ, **PLAIN},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(lines[-1])
    return found


def test_nothing_credentialed_is_written_to_the_hub_in_any_way(folders: dict[str, tuple[Path, Path]]) -> None:
    found = tried(*folders["closed"])
    assert len(found) >= 35
    assert {name: one for name, one in found.items() if one["error"] != "GovernanceError"} == {}
    assert {name: one for name, one in found.items() if one["bytes"] or one["wrote"]} == {}


def test_every_way_is_open_to_open_data(folders: dict[str, tuple[Path, Path]]) -> None:
    """What the test above refuses would have arrived: the list of ways is one of ways."""
    found = tried(*folders["open"], *NATIVE)
    assert len(found) >= 34
    assert {name: one for name, one in found.items() if one["error"] == "GovernanceError"} == {}
    assert {name: one for name, one in found.items() if not one["bytes"]} == {}


LOAD = """
import os
import sys
import huggingface_hub as hub
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor
import clinragen
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import GovernanceError

cohort, model = sys.argv[1:]
loads = {
    "nothing": lambda: None,
    "cohort": lambda: load_examples(cohort),
    "model": lambda: AutoModel.from_pretrained(model),
    "config": lambda: AutoConfig.from_pretrained(model),
    "processor": lambda: AutoProcessor.from_pretrained(model),
    "feature extractor": lambda: AutoFeatureExtractor.from_pretrained(model),
}
for name, load in loads.items():
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    load()
    try:
        hub.HfApi(endpoint="http://127.0.0.1:9").create_repo("someone/something", token="none")
    except GovernanceError:
        print(name, "refused", flush=True)
    except Exception as error:
        print(name, "asked", flush=True)
    os._exit(0)
"""


def test_whatever_carries_the_mark_closes_the_process(folders: dict[str, tuple[Path, Path]]) -> None:
    def said(name: str) -> list[list[str]]:
        command = [sys.executable, "-c", LOAD, *map(str, folders[name])]
        done = subprocess.run(command, env={**os.environ, **PLAIN}, capture_output=True, text=True, check=True)
        return [line.rsplit(" ", 1) for line in done.stdout.splitlines()]

    kinds = ["cohort", "model", "config", "processor", "feature extractor"]
    assert said("closed") == [["nothing", "asked"], *([kind, "refused"] for kind in kinds)]
    assert said("open") == [[kind, "asked"] for kind in ("nothing", *kinds)]


def test_the_guard_keeps_a_client_of_the_users_own() -> None:
    """A proxy or certificates given before stay; one that is given twice is guarded once; reading goes on."""
    script = """
import huggingface_hub as hub
from huggingface_hub.utils import _http
from modeling_clinragen.errors import GovernanceError
from modeling_clinragen.hub_guard_clinragen import refuse_hub_writes

def own():
    client = _http.default_client_factory()
    client.headers["X-Of-The-User"] = "yes"
    return client

hub.set_client_factory(own)
refuse_hub_writes()
refuse_hub_writes()
client = hub.get_session()
assert client.headers["X-Of-The-User"] == "yes"
assert len(client.event_hooks["request"]) == 2
asked = ["GET api/models/a/b", "POST api/models/a/b/paths-info/main"]
refused = ["POST api/repos/create", "GET api/buckets/a/b/xet-write-token", "PUT a", "DELETE a", "POST a/paths-info"]
for method, _, path in (line.partition(" ") for line in (*asked, *refused)):
    try:
        client.request(method, "http://127.0.0.1:9/" + path)
    except GovernanceError:
        print("refused")
    except Exception:
        print("asked")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **PLAIN}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["asked", "asked", *["refused"] * 5]
