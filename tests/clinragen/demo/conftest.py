"""A tiny model for the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeling_clinragen.vocabulary_clinragen import Vocabulary


@pytest.fixture
def save_model(make_model: Any, make_processor: Any, tmp_path: Path) -> Callable[..., Path]:
    """Save a tiny model of a vocabulary."""

    def save(vocabulary: Vocabulary, **settings: Any) -> Path:
        return write_model(make_model, make_processor, tmp_path / "model", vocabulary, **settings)

    return save


@pytest.fixture(scope="session")
def small_run(
    make_model: Any, make_processor: Any, vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run's folder: a tiny model, and beside it a cohort of one made-up patient."""
    from demo_server import write_cohort

    folder = tmp_path_factory.mktemp("run")
    write_model(make_model, make_processor, folder / "model", vocabulary)
    write_cohort(folder / "rationales", vocabulary)
    return folder


def write_model(make_model: Any, make_processor: Any, folder: Path, vocabulary: Vocabulary, **settings: Any) -> Path:
    model = make_model("bart", vocabulary=vocabulary)
    model.generation_config.max_new_tokens = 8
    model.save_pretrained(folder)
    make_processor(vocabulary=vocabulary, **settings).save_pretrained(folder)
    return folder
