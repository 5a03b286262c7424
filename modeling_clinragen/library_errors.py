"""The errors of libraries that a user can cause and cure, as messages: one table.

An error is known by its class, by the module that raised it and by what it says. One that is not in the table is a
fault of the program and keeps its traceback. No message quotes more of a library's text than the table's patterns
take, so that nothing of a patient's data is in it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ClinRaGenError, InputDataError, SettingsError

DISK_FULL = "the disk is full; free some space and run again"
TOO_LARGE = (
    "a file would be larger than your account or this disk allows; raise the limit (ulimit -f) or choose another place"
)
NO_MEMORY = (
    "there is not enough memory; a smaller batch (batch_size, per_device_train_batch_size) or model, or fewer "
    "examples, needs less"
)
NO_HUB = "a server, such as the Hub, cannot be reached or refuses; check network, name and token, or use local files"

# What the system says of a file, by number. A file that is missing or of another kind is not among them: whoever
# opens one that a user names says which option named it.
SYSTEM = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EFBIG: TOO_LARGE,
    errno.ENOMEM: NO_MEMORY,
    errno.EACCES: "you have no right to this; choose another folder, or ask for the right",
    errno.EPERM: "you have no right to this; choose another folder, or ask for the right",
    errno.EROFS: "the disk can only be read; choose another output folder",
    errno.ENAMETOOLONG: "the name is too long for a file; choose a shorter one",
    errno.ELOOP: "links lead around in a circle; correct the path",
    errno.EIO: "the disk failed; check it, and run again with a copy elsewhere",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; run again later",
}
# The optional libraries, and the extra of this project that brings each.
EXTRAS = {
    "psycopg": "postgres",
    "pyspark": "spark",
    "py4j": "spark",
    "openai": "teacher",
    "gradio": "demo",
    "inspect_ai": "inspect",
}


@dataclass(frozen=True)
class Known:
    """An error that is known.

    Args:
        kind: Module and name of its class, or of one that it descends from; a compiled library's may be private.
        says: Pattern that its text contains.
        message: Fault and cure; `{0}` and so on are the pattern's groups.
        origin: Package or module that raised it; any without one.
        made: The class of the error that a user gets.
    """

    kind: str
    says: str
    message: str
    origin: str = ""
    made: type[ClinRaGenError] = SettingsError

    def message_for(self, error: BaseException) -> str | None:
        """The message for an error; None where this is another one."""
        names = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__]
        if self.kind not in names or not raised_in(error, self.origin):
            return None
        found = re.search(self.says, str(error), re.DOTALL)
        return None if found is None else self.message.format(*found.groups())


TABLE = (
    # A full disk, as torch, safetensors, tokenizers and DuckDB report it.
    Known("builtins.Exception", "No space left|os error 28", DISK_FULL, made=InputDataError),
    Known("builtins.Exception", "os error 27", TOO_LARGE, made=InputDataError),
    Known(
        "builtins.RuntimeError",
        r"PytorchStreamWriter failed|file write failed|inline_container\.cc.*unexpected pos",
        DISK_FULL,
        "torch",
        InputDataError,
    ),
    # As `Path.resolve` says it before Python 3.13.
    Known(
        "builtins.RuntimeError",
        "Symlink loop from '(.*)'",
        "{0}: links lead around in a circle; correct the path",
        "pathlib",
        InputDataError,
    ),
    # Memory.
    Known("builtins.MemoryError", "", NO_MEMORY, made=InputDataError),
    Known(
        "builtins.RuntimeError",
        "can't allocate memory|out of memory|not enough memory",
        NO_MEMORY,
        "torch",
        InputDataError,
    ),
    # Libraries that are not installed.
    Known(
        "builtins.ImportError",
        "gguf",
        "a GGUF file is read by the package gguf; run: pip install 'clinragen[gguf]'",
        "transformers",
    ),
    Known(
        "builtins.ImportError",
        r"The '([\w.-]+)[^']*' distribution was not found",
        "{0} is not installed; install it, or choose a setting that does not need it",
    ),
    *(
        Known(
            "builtins.ImportError",
            pattern,
            "{0} is not installed; install it, or choose a setting that does not need it",
            library,
        )
        for library in ("transformers", "accelerate", "peft")
        for pattern in (
            r"(?:need to install|Please install) (?!it )`?(\w[\w.-]+)",
            r"`?pip install (?:-U )?`?(\w[\w.-]+)",
            r"requires? (?:the )?`?(\w[\w.-]+)",
        )
    ),
    *(
        Known(
            "builtins.ImportError",
            rf"(?:No module named '{name}|{name})\b",
            f"{name} is not installed; run: pip install 'clinragen[{extra}]'",
        )
        for name, extra in EXTRAS.items()
    ),
    # The network.
    Known(
        "huggingface_hub.errors.OfflineModeIsEnabled",
        "",
        "the Hub is needed, but HF_HUB_OFFLINE keeps this process from it; unset it, or leave push_to_hub out",
    ),
    *(
        Known(kind, "", NO_HUB, made=InputDataError)
        for kind in (
            "huggingface_hub.errors.HfHubHTTPError",
            "huggingface_hub.errors.LocalEntryNotFoundError",
            "httpx.HTTPError",
            "httpx2.HTTPError",
            "requests.exceptions.RequestException",
        )
    ),
    # Settings of a phase that only show themselves when it runs.
    Known(
        "builtins.ValueError",
        "fsdp only works in distributed",
        "fsdp: is for several processes; start them with torchrun, or leave it out",
        "transformers",
    ),
    Known(
        "builtins.KeyError",
        r"`metric_for_best_model` training argument is set to '?([\w.-]+).*?metrics are: \[([^\]]*)\]",
        "metric_for_best_model: there is no {0}; choose one of {1}",
        "transformers",
    ),
    Known(
        "builtins.TypeError",
        r"get_\w+\(\) got an unexpected keyword argument '?(\w+)",
        "lr_scheduler_kwargs: this schedule takes no {0}; leave it out",
        "transformers",
    ),
    Known(
        "builtins.ValueError",
        r"Unexpected keyword arguments: ([\w, ]+)",
        "activation_checkpointing_kwargs: torch takes no {0}; leave it out",
        "torch.utils.checkpoint",
    ),
)


def raised_in(error: BaseException, *modules: str) -> bool:
    """Whether the innermost frame of an error's traceback belongs to one of the modules or what is below them.

    An empty name stands for any. A frame of compiled code has no module, so that its caller's counts.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return any(not name or f"{module}.".startswith(f"{name}.") for name in modules)


def user_error(error: BaseException) -> ClinRaGenError | None:
    """The error of a library as one of the family that a user can cause; None where it is not known as such."""
    if isinstance(error, ClinRaGenError):
        return error
    if isinstance(error, OSError) and error.errno in SYSTEM:
        # Of a copy the second one is written.
        name = error.filename if error.filename2 is None else error.filename2
        where = f"{name}: " if isinstance(name, str | Path) else ""
        return InputDataError(f"{where}{SYSTEM[error.errno]}")
    for known in TABLE:
        message = known.message_for(error)
        if message is not None:
            return known.made(message)
    return None


@contextmanager
def library_errors_named(folder: Path, settings: Path) -> Iterator[None]:
    """Turn known errors of libraries into errors of the family that name what they are about.

    Args:
        folder: The output, which is named with a full disk and the like.
        settings: The file that is named with a setting that cannot work.

    Raises:
        InputDataError, SettingsError: A known error; any other one passes unchanged.
    """
    try:
        yield
    except ClinRaGenError:
        raise
    except Exception as error:
        known = user_error(error)
        if known is not None:
            where = settings if isinstance(known, SettingsError) else folder
            named = str(where) in str(known)
            raise type(known)(str(known) if named else f"{where}: {known}") from error
        raise
