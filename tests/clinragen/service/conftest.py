"""A tiny model for the service: its head lists diseases, so that what it writes can be read and is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clinragen.inference import Explainer


@pytest.fixture(scope="session")
def small_model(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model."""
    folder = tmp_path_factory.mktemp("service") / "model"
    model = make_model("t5", disease_head=True, list_from="head")
    model.generation_config.max_new_tokens = 24
    model.save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_explainer(small_model: Path) -> Explainer:
    """The model, loaded."""
    return Explainer.from_pretrained(small_model)
