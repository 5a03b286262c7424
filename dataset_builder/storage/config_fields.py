"""Settings as dataclass fields: each with its help, unit, range, and whether it decides the result.

The command line, the check of recipes and the reference page of all settings are made from these fields.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from modeling_clinragen.errors import SettingsError

Config = TypeVar("Config")
LARGEST_SEED = 2**32 - 1
"""Of all random generators together: numpy takes no larger one, and none below 0."""
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
PLURALS = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}


def setting(
    default: Any = MISSING,
    *,
    help: str,
    unit: str | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] | None = None,
    decides: bool = True,
) -> Any:
    """A dataclass field with the description of a setting.

    Args:
        default: Its default; a setting without one must be given. A list or dict is copied for every instance.
        help: One sentence for the command line and the reference page.
        unit: What a number counts or measures.
        at_least, at_most: The range of a number, inclusive.
        choices: The values that a text may have.
        decides: Whether the result depends on it; a batch size or an address does not decide anything.
    """
    metadata = {
        "help": help,
        "unit": unit,
        "at_least": at_least,
        "at_most": at_most,
        "choices": tuple(choices) if choices is not None else None,
        "decides": decides,
    }
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def setting_types(kind: type) -> dict[str, Any]:
    """The fields of a config that can be set, with their types."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in _fields(kind) if one.init}


def check_mapping(kind: type, content: Any, where: str, *, partial: bool = False) -> None:
    """Check that a config could be made of `content`, without making it.

    Args:
        kind: The config's dataclass.
        content: What a YAML file says.
        where: What the message begins with: a file, or a file and a section.
        partial: Whether settings without a default may be missing (they come from elsewhere).

    Raises:
        SettingsError: A key is unknown or missing, or a value has the wrong type; the message names `where`, the key,
            and what was expected. Nested configs are checked as well.
    """
    if not isinstance(content, Mapping):
        raise SettingsError(f"{where}: expected settings (key: value), got {_kind_of(content)}")
    hints = setting_types(kind)
    for name in content:
        if name not in hints:
            raise SettingsError(f"{where}: unknown setting '{name}'; expected one of {', '.join(hints)}")
    for one in _fields(kind):
        if not one.init:
            continue
        if _is_required(one) and not partial and one.name not in content:
            raise SettingsError(f"{where}: missing setting '{one.name}'; expected {expected(one, hints[one.name])}")
        if one.name in content:
            _check_value(content[one.name], hints[one.name], one, f"{where}: {one.name}")


def make_config(kind: type[Config], content: Any, where: str, **more: Any) -> Config:
    """A config of what a YAML file says.

    Args:
        kind: The config's dataclass.
        content: A mapping of setting names to values; None counts as an empty one.
        where: What a message begins with: a file, or a file and a section.
        more: Settings that are not for the file to give; a value in the file wins over these.

    Raises:
        SettingsError: As `check_mapping`, and where the config itself refuses a combination of values.
    """
    content = {} if content is None else content
    check_mapping(kind, content, where, partial=True)
    merged = {**more, **content}
    hints = setting_types(kind)
    for one in _fields(kind):
        if _is_required(one) and one.name not in merged:
            wanted = expected(one, hints[one.name])
            raise SettingsError(f"{where}: missing setting '{one.name}'; expected {wanted}")
    try:
        return kind(**{name: _converted(value, hints[name], f"{where}: {name}") for name, value in merged.items()})
    except SettingsError as error:
        if str(error).startswith(where):
            raise
        raise SettingsError(f"{where}: {error}") from error


def check_values(config: Any) -> None:
    """Check types and ranges of a config that was made in Python; call it in `__post_init__`.

    Raises:
        SettingsError: A value has the wrong type, is out of its range, or is none of the choices.
    """
    hints = get_type_hints(type(config))
    for one in fields(config):
        _check_value(getattr(config, one.name), hints[one.name], one, one.name, written=False)


def deciding(config: Any, plain: Callable[[Any], Any] | None = None) -> dict[str, Any]:
    """The settings that decide the result, JSON-able and by name; nested configs are included.

    `plain` makes a value JSON-able, by default with a path as its text.
    """
    plain = plain or _plain
    found = {}
    for one in fields(config):
        if one.metadata.get("decides", True):
            value = getattr(config, one.name)
            nested = is_dataclass(value) and not isinstance(value, type)
            found[one.name] = deciding(value, plain) if nested else plain(value)
    return found


def expected(one: Field[Any], hint: Any) -> str:
    """The values that a setting takes, in words: "a number from 0 to 1", "one of event, hourly", "a list of texts"."""
    options = [option for option in _options(hint) if option is not type(None)]
    text = _type_in_words(Union[tuple(options)]) if options else "nothing"  # noqa: UP007
    plain = text
    if choices := one.metadata.get("choices"):
        text = f"{'a list of any of' if text.startswith('a list') else 'one of'} {', '.join(choices)}"
    low, high = one.metadata.get("at_least"), one.metadata.get("at_most")
    if low is not None and high is not None:
        text += f" from {_number_in_words(low)} to {_number_in_words(high)}"
    elif low is not None:
        text += f" of at least {_number_in_words(low)}"
    elif high is not None:
        text += f" of at most {_number_in_words(high)}"
    if unit := one.metadata.get("unit"):
        text += f" ({unit})"
    if len(options) < len(_options(hint)) and options:
        text += " or nothing" if text == plain else ", or nothing"
    return text


def _fields(kind: type) -> tuple[Field[Any], ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a dataclass")
    return fields(kind)


def _is_required(one: Field[Any]) -> bool:
    return one.init and one.default is MISSING and one.default_factory is MISSING


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _check_value(value: Any, hint: Any, one: Field[Any], where: str, *, written: bool = True) -> None:
    if not _fits(value, hint, where, written):
        raise SettingsError(
            f"{where}: expected {expected(one, hint)}, got {_fault_in_words(value, hint, where, written)}"
        )
    choices: Sequence[str] = one.metadata.get("choices") or ()
    given = value if isinstance(value, (list, tuple)) else (value,)
    for entry in given if choices else ():
        if entry is not None and entry not in choices:
            raise SettingsError(f"{where}: expected one of {', '.join(choices)}, got '{entry}'")
    low, high = one.metadata.get("at_least"), one.metadata.get("at_most")
    for number in given if low is not None or high is not None else ():
        if number is None:
            continue
        # A whole number of any size can be compared, but not made a float.
        measured = float(number) if isinstance(number, str) else number
        if (low is not None and measured < low) or (high is not None and measured > high):
            raise SettingsError(f"{where}: expected {expected(one, hint)}, got {number}")


def _fits(value: Any, hint: Any, where: str, written: bool) -> bool:
    """Whether a value has a type; a mapping for a nested config is checked down to its last key.

    `written` is for a value of a file, where a number may stand as a text.
    """
    origin = get_origin(hint)
    if hint is Any or hint is object:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option, where, written) for option in get_args(hint))
    if _is_list(hint):
        kinds = _entry_types(hint, value)
        return kinds is not None and all(
            _fits(entry, kind, where, written) for entry, kind in zip(value, kinds, strict=True)
        )
    if _is_mapping(hint):
        if not isinstance(value, Mapping):
            return False
        key_type, entry_type = get_args(hint) or (Any, Any)
        return all(
            _fits(key, key_type, where, written) and _fits(entry, entry_type, where, written)
            for key, entry in value.items()
        )
    if not isinstance(hint, type):
        return True
    if issubclass(hint, Enum):
        return isinstance(value, hint) or value in [member.value for member in hint]
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            check_mapping(hint, value, where)
            return True
        return isinstance(value, hint)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return _is_number(value, written)
    if hint is Path:
        return isinstance(value, (str, Path)) and str(value) != ""
    return isinstance(value, hint)


def _is_list(hint: Any) -> bool:
    return hint in (list, tuple) or get_origin(hint) in (list, tuple, Sequence)


def _is_mapping(hint: Any) -> bool:
    return hint in (dict, Mapping) or get_origin(hint) in (dict, Mapping)


def _entry_types(hint: Any, value: Any) -> list[Any] | None:
    """The type of every entry of the list `value`; None where it is not a list of that length."""
    if not isinstance(value, (list, tuple)):
        return None
    arguments = get_args(hint) or (Any,)
    if get_origin(hint) is tuple and arguments[-1] is not Ellipsis:
        return list(arguments) if len(value) == len(arguments) else None
    return [arguments[0]] * len(value)


def _is_number(value: Any, written: bool) -> bool:
    # YAML 1.1 reads 1e-4 as a text: it wants a dot.
    if isinstance(value, bool) or not isinstance(value, (int, float, str) if written else (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


def _converted(value: Any, hint: Any, where: str) -> Any:
    """Convert a fitting value of a file to the config's type: a text to a path, a list to a tuple, and so on."""
    for option in _options(hint):
        if not _fits(value, option, where, written=True):
            continue
        if isinstance(option, type) and is_dataclass(option) and isinstance(value, Mapping):
            return make_config(option, value, where)
        if option is Path and isinstance(value, str):
            return Path(value)
        if option is float and isinstance(value, str):
            return float(value)
        if _is_list(option):
            kinds = _entry_types(option, value) or []
            entries = [_converted(entry, kind, where) for entry, kind in zip(value, kinds, strict=True)]
            return entries if option is list or get_origin(option) is list else tuple(entries)
        if _is_mapping(option) and get_args(option):
            return {key: _converted(entry, get_args(option)[1], where) for key, entry in value.items()}
        return value
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    return value


def _type_in_words(hint: Any) -> str:
    parts = []
    for option in _options(hint):
        arguments = get_args(option)
        if option is type(None):
            parts.append("nothing")
        elif _is_list(option):
            entries = PLURALS.get(arguments[0], "entries") if arguments else "entries"
            exact = get_origin(option) is tuple and arguments[-1] is not Ellipsis
            parts.append(f"a list of {len(arguments)} {entries}" if exact else f"a list of {entries}")
        elif _is_mapping(option):
            entries = PLURALS.get(arguments[1], "") if arguments else ""
            parts.append(f"a mapping of names to {entries}" if entries else "a mapping")
        elif get_origin(option) is Literal:
            parts += map(str, arguments)
        elif isinstance(option, type) and is_dataclass(option):
            parts.append(f"settings ({', '.join(setting_types(option))})")
        else:
            parts.append(WORDS.get(option, getattr(option, "__name__", str(option))))
    return " or ".join(dict.fromkeys(parts))


def _fault_in_words(value: Any, hint: Any, where: str, written: bool) -> str:
    """Describe a value that does not fit; of a list or mapping, the faulty entry."""
    for option in _options(hint):
        kinds = _entry_types(option, value) if _is_list(option) else None
        if kinds is not None:
            for number, (entry, kind) in enumerate(zip(value, kinds, strict=True), start=1):
                if not _fits(entry, kind, where, written):
                    return f"{_kind_of(entry)} as entry {number}"
        elif _is_mapping(option) and isinstance(value, Mapping) and get_args(option):
            key_type, entry_type = get_args(option)
            for key, entry in value.items():
                if not _fits(key, key_type, where, written):
                    return f"the name {_kind_of(key)}"
                if not _fits(entry, entry_type, where, written):
                    return f"{_kind_of(entry)} for '{key}'"
    return _kind_of(value)


def _number_in_words(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _kind_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "nothing" if value is None else f"'{value}'"
