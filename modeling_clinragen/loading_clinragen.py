"""The one way in which models, tokenizers and configurations are loaded: no foreign code, no pickles, no surprises.

A name is a folder. One that does not exist is an error and is not looked up on the Hub, where whoever owns that name
would decide what is loaded. A model on the Hub is asked for by `hf://owner/name`, or `hf://owner/name@revision`. A
language model may also be a single file with its tokenizer, in the format GGUF.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import GovernanceError, InputDataError
from .library_errors import raised_in, user_error

HUB = "hf://"
GGUF = ".gguf"
AIR_GAP = "CLINRAGEN_AIR_GAP"
"""Environment variable: where it is neither empty nor a no (0, false), this process reaches no other machine."""
# A `Path` writes a double slash as a single one.
_HUB_NAME = re.compile(r"hf:/{1,2}(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?", re.ASCII)

# Files of a model folder that are JSON objects; transformers reads what else they hold as if it were one.
_OBJECTS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
)


def air_gapped() -> bool:
    """Whether this process is to reach no other machine: `--air-gap`, or the environment variable `AIR_GAP`."""
    return os.environ.get(AIR_GAP, "").lower() not in ("", "0", "false", "no", "off")


def locate(name: str | Path) -> tuple[str, dict[str, Any]]:
    """Where a model is.

    Args:
        name: A folder, `hf://owner/name`, or a GGUF file.

    Returns:
        The folder or Hub id as `from_pretrained` takes it, and the arguments that keep it there.

    Raises:
        InputDataError: There is no such folder or file, or this is not how a Hub id is written.
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
    if is_gguf(name):
        return str(Path(name).parent), {"local_files_only": True, "gguf_file": Path(name).name}
    if not Path(name).is_dir():
        raise InputDataError(
            f"{text}: there is no such folder; check the path, or write {HUB}owner/name for a model on the Hub"
        )
    return text, {"local_files_only": True}


def is_gguf(name: str | Path) -> bool:
    """Whether this is a file in the format GGUF, by its name."""
    return Path(name).suffix.lower() == GGUF and Path(name).is_file()


def load_part(kind: Any, name: str | Path, **settings: Any) -> Any:
    """`kind.from_pretrained` of a configuration, tokenizer or processor, without code of the folder's.

    Raises:
        InputDataError: As `locate`; or a file of the folder is damaged.
        OSError, ValueError: As `from_pretrained`: it cannot be loaded, or only with foreign code.
    """
    source, where = locate(name)
    with _damage_named(name):
        return kind.from_pretrained(source, **where, trust_remote_code=False, **settings)


def load_weights(kind: Any, name: str | Path, **settings: Any) -> Any:
    """`kind.from_pretrained` of a model, without code of the folder's and from safetensors only.

    Raises:
        InputDataError: As `locate`; or a file of the folder is damaged.
        OSError, ValueError: As `from_pretrained`: it cannot be loaded, or only with foreign code or pickled weights.
    """
    source, where = locate(name)
    with _damage_named(name):
        return kind.from_pretrained(source, **where, trust_remote_code=False, use_safetensors=True, **settings)


@contextmanager
def _damage_named(name: str | Path) -> Iterator[None]:
    """Name the file of a folder that is not a JSON object, or the folder whose files transformers cannot read."""
    for file in (Path(name) / each for each in _OBJECTS):
        if not file.is_file():
            continue
        try:
            whole = isinstance(json.loads(file.read_text(encoding="utf-8")), dict)
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise InputDataError(f"{file}: is not a readable JSON object; copy it anew, or make the folder again")
    try:
        yield
    except (KeyError, TypeError, AttributeError, RuntimeError, struct.error) as error:
        # What our own code raises is a fault of it.
        if user_error(error) is not None or not raised_in(error, "transformers", "tokenizers", "safetensors", "gguf"):
            raise
        raise InputDataError(
            f"{name}: its files are damaged, or do not belong together; copy the folder anew, or make it again"
        ) from error
