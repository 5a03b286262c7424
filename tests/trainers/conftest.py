"""The cohort and the model of the tests of trainers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_examples import tiny_splits
from tiny_training import SETTINGS, SHAPE, TERMS

from dataset_builder.contract.cohort_splits import CohortSplits
from modeling_clinragen.vocabulary_clinragen import Vocabulary
from trainers.build_model import ModelConfig, build_model


@pytest.fixture(scope="module")
def cohort(vocabulary: Vocabulary) -> CohortSplits:
    return tiny_splits(vocabulary)


@pytest.fixture
def built(cohort: CohortSplits, tmp_path: Path) -> tuple[Any, Any]:
    (tmp_path / "t5.json").write_text(json.dumps(SHAPE))
    return build_model(ModelConfig(scratch=tmp_path / "t5.json", **SETTINGS), cohort, TERMS, 0)
