"""The one way in which models, tokenizers and configurations are loaded: no foreign code, no pickles, no surprises.

A name is a folder. One that does not exist is an error and is not looked up on the Hub, where whoever owns that name
would decide what is loaded. A model on the Hub is asked for by `hf://owner/name`, or `hf://owner/name@revision`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from .errors import GovernanceError, InputDataError

HUB = "hf://"
AIR_GAP = "CLINRAGEN_AIR_GAP"
"""Environment variable: where it is neither empty nor a no (0, false), this process reaches no other machine."""
# A `Path` writes a double slash as a single one.
_HUB_NAME = re.compile(r"hf:/{1,2}(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?", re.ASCII)


def air_gapped() -> bool:
    """Whether this process is to reach no other machine: `--air-gap`, or the environment variable `AIR_GAP`."""
    return os.environ.get(AIR_GAP, "").lower() not in ("", "0", "false", "no", "off")


def locate(name: str | Path) -> tuple[str, dict[str, Any]]:
    """Where a model is.

    Args:
        name: A folder, or `hf://owner/name`.

    Returns:
        The folder or Hub id as `from_pretrained` takes it, and the arguments that keep it there.

    Raises:
        InputDataError: There is no such folder, or this is not how a Hub id is written.
        GovernanceError: It is on the Hub, and the air gap is closed.
    """
    text = str(name)
    if text.startswith("hf:"):
        found = _HUB_NAME.fullmatch(text)
        if found is None:
            raise InputDataError(f"{text}: is not the name of a model on the Hub; write {HUB}owner/name")
        if air_gapped():
            raise GovernanceError(f"{text}: is on the Hub, but the air gap is closed; give a folder on this machine")
        chosen = {} if found["revision"] is None else {"revision": found["revision"]}
        return found["name"], {"local_files_only": False, **chosen}
    if not Path(name).is_dir():
        raise InputDataError(
            f"{text}: there is no such folder; check the path, or write {HUB}owner/name for a model on the Hub"
        )
    return text, {"local_files_only": True}


def load_part(kind: Any, name: str | Path, **settings: Any) -> Any:
    """`kind.from_pretrained` of a configuration, tokenizer or processor, without code of the folder's.

    Raises:
        InputDataError: As `locate`.
        OSError, ValueError: As `from_pretrained`: it cannot be loaded, or only with foreign code.
    """
    source, where = locate(name)
    return kind.from_pretrained(source, **where, trust_remote_code=False, **settings)


def load_weights(kind: Any, name: str | Path, **settings: Any) -> Any:
    """`kind.from_pretrained` of a model, without code of the folder's and from safetensors only.

    Raises:
        InputDataError: As `locate`.
        OSError, ValueError: As `from_pretrained`: it cannot be loaded, or only with foreign code or pickled weights.
    """
    source, where = locate(name)
    return kind.from_pretrained(source, **where, trust_remote_code=False, use_safetensors=True, **settings)
