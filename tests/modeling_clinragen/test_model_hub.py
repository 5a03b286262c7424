"""A model that learned from credentialed data, or from data of unknown origin, is kept off the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modeling_clinragen.errors import GovernanceError


def test_a_model_is_kept_off_the_hub_unless_it_learned_from_open_data_alone(make_model: Any, tmp_path: Path) -> None:
    from modeling_clinragen.modeling_clinragen import ClinRaGenForConditionalGeneration

    unknown = make_model()
    for private in (False, True):
        with pytest.raises(GovernanceError, match="someone/model"):
            unknown.push_to_hub("someone/model", private=private)
    with pytest.raises(GovernanceError):
        unknown.save_pretrained(tmp_path / "pushed", push_to_hub=True, repo_id="someone/model")
    assert not (tmp_path / "pushed").exists()
    make_model(credentialed=False).require_publishable("the Hub")
    # The flag is saved and loaded; a config from before the field existed counts as credentialed.
    opened = make_model(credentialed=False)
    opened.save_pretrained(tmp_path / "model")
    loaded = ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "model")
    loaded.require_publishable("the Hub")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    del config["credentialed"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(GovernanceError):
        ClinRaGenForConditionalGeneration.from_pretrained(tmp_path / "model").push_to_hub("someone/model")
