"""Fixtures: one synthetic hospital for all tests of the room."""

from __future__ import annotations

import pytest
from synthetic_hospital import PATIENTS, Hospital

from dataset_builder.synthetic.hospital import fill_hospital


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("synthetic") / "hospital"
    return Hospital(folder, fill_hospital(folder, patients=PATIENTS, seed=3))
