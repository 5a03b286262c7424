"""Studies to answer: made once, copied by whoever writes into them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from study_folder import write_study_inputs

from clinragen.checking.inputs import read_standards
from clinragen.study.config import StudyConfig
from clinragen.study.folder import Study, read_study
from clinragen.study.make import make_study
from dataset_builder.contract.schema import load_examples
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture(scope="session")
def make(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a study of made-up patients: of the full model as shown and of the teacher, with any settings."""

    def build(*, cases: int, credentialed: bool = False, **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("study")
        about = {"credentialed": credentialed, "synthetic": not credentialed}
        cohort, evaluation = write_study_inputs(folder, vocabulary, patients=cases, **about)
        config = StudyConfig(cases=cases, **settings)
        standards = read_standards(cohort)
        given = {evaluation: read_provenance(evaluation)}
        make_study(folder / "study", load_examples(cohort), given, config, standards)
        return folder / "study"

    return build


@pytest.fixture(scope="session")
def made_small(make: Callable[..., Path]) -> Path:
    """A study of four cases, one of them twice, for two raters."""
    return make(cases=4, repeats=1, raters=2)


@pytest.fixture
def small(made_small: Path, tmp_path: Path) -> Study:
    """A copy of it without answers."""
    shutil.copytree(made_small, tmp_path / "study")
    return read_study(tmp_path / "study")


@pytest.fixture(scope="session")
def large(make: Callable[..., Path]) -> Study:
    """A study of thirty cases, ten of them twice, for four raters."""
    return read_study(make(cases=30, repeats=10, raters=4))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A real Chromium that downloads into `downloads` of the test's folder."""
    with chromium(tmp_path, "1280,1000") as opened:
        yield opened
