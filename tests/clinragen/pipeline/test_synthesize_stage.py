"""The stage `synthesize`: a whole hospital or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinragen.pipeline.stage import Stage
from clinragen.pipeline.stages import SYNTHESIZE
from clinragen.pipeline.synthesize import SynthesizeConfig
from dataset_builder.storage.progress import Progress


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        assert list(tmp_path.rglob("chartevents.csv.gz")), "the interruption comes after the first tables"
        raise KeyboardInterrupt

    config = SynthesizeConfig(patients=5)
    with pytest.raises(KeyboardInterrupt):
        Stage(SYNTHESIZE, config, {}, tmp_path / "hospital", stop).run()
    assert not (tmp_path / "hospital").exists()
    assert not list(tmp_path.rglob("*.gz"))
    assert Stage(SYNTHESIZE, config, {}, tmp_path / "hospital").run()
    assert list((tmp_path / "hospital" / "tables").rglob("chartevents.csv.gz"))
