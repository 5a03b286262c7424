"""Commands from config dataclasses: every setting becomes an option with its help, unit, range and default."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from dataset_builder.storage.config_fields import expected
from modeling_clinragen.errors import SettingsError

Parameter = inspect.Parameter
NONE = "none"
"""Unsets an option whose setting may be nothing, but has a default."""


def config_parameters(
    kind: type,
    *,
    arguments: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> list[Parameter]:
    """The options of a config, those of nested configs included.

    Args:
        kind: The config's dataclass.
        arguments: Settings that are given by their place on the command line, without a name.
        hidden: Settings that this command does not offer.
        names: Option names that differ from the setting's, such as the singular of a repeatable one.
    """
    found = []
    hints = get_type_hints(kind)
    for one in fields(kind):
        if one.name in hidden or not one.init:
            continue
        nested = _nested(hints[one.name])
        if nested is not None:
            found += config_parameters(nested)
        else:
            name = (names or {}).get(one.name, one.name)
            found.append(_parameter(one, hints[one.name], name, positional=one.name in arguments))
    return found


def config_from(
    kind: type,
    values: Mapping[str, Any],
    *,
    arguments: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> Any:
    """A config of the options' values; an optional nested config is made where one of its options was given.

    `arguments`, `hidden` and `names` are those of `config_parameters`.

    Raises:
        SettingsError: A value is out of its range, or the settings do not fit together.
    """
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for one in fields(kind):
        if one.name in hidden or not one.init:
            continue
        nested = _nested(hints[one.name])
        if nested is not None:
            parts = {name: values[name] for name in _flat_names(nested) if values.get(name) is not None}
            changed = {name: value for name, value in parts.items() if value != _default_of(nested, name)}
            if changed or type(None) not in get_args(hints[one.name]):
                given[one.name] = config_from(nested, values)
        elif values.get(one.name) is not None:
            value = values[one.name]
            if value == NONE and _can_be_unset(one, hints[one.name]):
                value = None
            given[one.name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**given)
    except SettingsError as error:
        shown = {one.name: f"--{(names or {}).get(one.name, one.name).replace('_', '-')}" for one in fields(kind)}
        raise SettingsError(_with_option(str(error), shown | {name: name.upper() for name in arguments})) from error


def given_options(context: typer.Context, kind: type) -> list[str]:
    """Of the options of a nested config, those that the user typed."""
    sources = {name: context.get_parameter_source(name) for name in _flat_names(kind)}
    typed = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return [f"--{name.replace('_', '-')}" for name in typed]


def command(
    app: typer.Typer,
    name: str,
    parameters: list[Parameter],
    work: Callable[..., None],
    text: str,
    *,
    more_options: bool = False,
) -> None:
    """Add a command to `app` whose options are `parameters`; `work` gets their values by name.

    `text` is its help. With `more_options` it takes any other option as well, and `work` gets the `context` that has
    them.
    """

    if more_options:
        parameters = [Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context), *parameters]
    settings = {"allow_extra_args": True, "ignore_unknown_options": True} if more_options else None
    app.command(name, context_settings=settings)(set_parameters(work, name, parameters, text))


def set_parameters(
    work: Callable[..., None], name: str, parameters: list[Parameter], text: str
) -> Callable[..., None]:
    """A function with a signature that Typer reads, which hands its values to `work` by name."""

    def run(**values: Any) -> None:
        work(**values)

    # Required options first: a signature wants them so, and so does a reader of the help.
    ordered = sorted(parameters, key=lambda one: one.default is not Parameter.empty)
    run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in ordered}
    run.__doc__ = text
    run.__name__ = name.replace("-", "_")
    return run


def option(name: str, kind: Any, help_text: str, default: Any = Parameter.empty) -> Parameter:
    """One option that is not a setting of a config: an input folder, the output."""
    annotation = Annotated[kind, typer.Option(f"--{name.replace('_', '-')}", help=help_text)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def argument(name: str, kind: Any, help_text: str, default: Any = Parameter.empty) -> Parameter:
    """One value that is given by its place."""
    annotation = Annotated[kind, typer.Argument(help=help_text)]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _parameter(one: Field[Any], hint: Any, name: str, *, positional: bool = False) -> Parameter:
    text = _help(one, hint)
    flag = f"--{name.replace('_', '-')}"
    option_type = _option_type(hint)
    default = _default(one)
    if isinstance(default, bool):
        flag = f"{flag}/--no-{name.replace('_', '-')}"
    made: Any = typer.Argument(help=text) if positional else typer.Option(flag, help=text)
    if _can_be_unset(one, hint):
        made = typer.Option(flag, help=text, parser=_number_or_none(_without_none(hint)))
    if isinstance(default, tuple) and get_origin(option_type) is list:
        default = list(default) or None
        option_type = option_type | None
    return Parameter(
        one.name,
        Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[option_type, made],
    )


def _help(one: Field[Any], hint: Any) -> str:
    text = str(one.metadata.get("help", ""))
    bounded = any(one.metadata.get(name) is not None for name in ("choices", "at_least", "at_most", "unit"))
    if not bounded:
        return text
    unset = f", or {NONE}" if _can_be_unset(one, hint) else ""
    return f"{text.rstrip('.')}: {expected(one, _without_none(hint))}{unset}."


def _option_type(hint: Any) -> Any:
    bare = _without_none(hint)
    optional = bare is not hint
    origin = get_origin(bare)
    if origin is tuple:
        parts = get_args(bare)
        made: Any = list[parts[0]] if parts[-1] is Ellipsis else bare  # type: ignore[valid-type]
    elif bare in (str, int, float, bool, Path):
        made = bare
    else:
        made = str
    return made | None if optional else made


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        left = [part for part in get_args(hint) if part is not type(None)]
        return left[0] if len(left) == 1 else hint
    return hint


def _nested(hint: Any) -> type | None:
    bare = _without_none(hint)
    return bare if isinstance(bare, type) and is_dataclass(bare) else None


def _default(one: Field[Any]) -> Any:
    if one.default is not MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not MISSING else Parameter.empty


def _flat_names(kind: type) -> list[str]:
    hints = get_type_hints(kind)
    names = []
    for one in fields(kind):
        nested = _nested(hints[one.name])
        names += _flat_names(nested) if nested is not None else [one.name]
    return names


def _default_of(kind: type, name: str) -> Any:
    hints = get_type_hints(kind)
    for one in fields(kind):
        nested = _nested(hints[one.name])
        if nested is not None and name in _flat_names(nested):
            return _default_of(nested, name)
        if one.name == name:
            default = _default(one)
            return None if default is Parameter.empty else default
    raise KeyError(name)


def _with_option(message: str, shown: Mapping[str, str]) -> str:
    """Name the option or argument as the user knows it, where a message begins with the setting's name."""
    name, colon, rest = message.partition(":")
    return f"{shown[name]}:{rest}" if colon and name in shown else message


def _can_be_unset(one: Field[Any], hint: Any) -> bool:
    """Whether an option can be given as `none`: a number that may be nothing, but is something by default."""
    bare = _without_none(hint)
    return bare is not hint and bare in (int, float) and _default(one) not in (None, Parameter.empty)


def _number_or_none(kind: type) -> Callable[[Any], Any]:
    def read(text: Any) -> Any:
        try:
            return NONE if text == NONE else kind(text)
        except ValueError as error:
            number = "a whole number" if kind is int else "a number"
            raise typer.BadParameter(f"'{text}' is neither {number} nor {NONE}") from error

    # The help shows it as the kind of value.
    read.__name__ = "integer" if kind is int else "float"
    return read
