"""Losses of a training on open data, in trackio's own files on this machine.

trackio lies apart from the other libraries (`make install-dev`), as the library of four bits does: what it requires
would change the web servers of the other tests.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
from tiny_examples import OPEN, tiny_splits
from tiny_training import SETTINGS, SHAPE, TERMS

from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.model_config import ModelConfig
from trainers.run_phase import CURVE, NewModel, train_phase

OPTIONAL = Path(sys.prefix) / "optional"


def test_trackio_has_the_losses_of_a_training(
    vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_spec("trackio") or (OPTIONAL / "trackio").is_dir(), f"{OPTIONAL}: no trackio; run `make install-dev`"
    if not find_spec("trackio"):
        # Alone: what else lies there would be imported by other tests of this process.
        (tmp_path / "only").mkdir()
        (tmp_path / "only" / "trackio").symlink_to(OPTIONAL / "trackio")
        monkeypatch.syspath_prepend(str(tmp_path / "only"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "tracked"))
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    (tmp_path / "phase.yaml").write_text(
        "max_steps: 3\nlogging_steps: 1\ntrain_backbone: true\nreport_to: trackio\nproject: tiny\nrun_name: one\n"
    )
    config = ModelConfig(scratch=tmp_path / "t5.json", **SETTINGS)
    cohort = tiny_splits(vocabulary, provenance=OPEN)
    folder = tmp_path / "model"
    train_phase("note", folder, cohort=cohort, start=NewModel(config, TERMS), config=tmp_path / "phase.yaml")
    with closing(sqlite3.connect(tmp_path / "tracked" / "tiny.db")) as tracked:
        rows = tracked.execute("SELECT metrics FROM metrics WHERE run_name = 'one' ORDER BY step").fetchall()
    logged = [entry["train/loss"] for entry in map(json.loads, chain(*rows)) if "train/loss" in entry]
    curve = [entry["loss"] for entry in json.loads((folder / CURVE).read_text()) if "loss" in entry]
    assert len(curve) == 3
    assert logged == pytest.approx(curve, rel=1e-5)
