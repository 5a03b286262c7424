"""Writes docs/settings.md, the reference of all settings, from the config dataclasses: `make reference`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from dataset_builder.storage.config_fields import expected
from dataset_builder.storage.files import atomic_file

HEAD = """# All settings

Made from the config dataclasses by `make reference`; do not edit. A recipe gives these names; on the command line an
underscore is a hyphen (`num_beams` is `--num-beams`). **Decides** tells whether a stage runs again when the setting
changes. The seed of a run is `clinragen run --seed`, for all its stages; a recipe has none. The phases take the
fields of transformers' `Seq2SeqTrainingArguments` besides those listed here, except what a run does by itself
(`resume_from_checkpoint`, `push_to_hub`, ...), which is refused with the reason.
"""
OTHER_STAGES = {
    "train": "`clinragen train`; in a recipe, `train:` gives each phase its YAML file, which is `config` here",
    "publish": "the last stage of a run, which takes them from the others",
}


def sections() -> list[tuple[str, str, type]]:
    """The tables of the page: title, what it is about, and the config."""
    from clinragen.explain_config import ExplainConfig
    from clinragen.fairness.config import GroupsConfig
    from clinragen.guarantee.config import GuaranteeConfig
    from clinragen.pipeline.prefer import PREFER
    from clinragen.pipeline.recipe import Recipe
    from clinragen.pipeline.rescore import RESCORE
    from clinragen.pipeline.stages import STAGES
    from clinragen.preference.config import ClinicalPreferenceConfig
    from clinragen.transfer.config import TransferConfig
    from trainers.build_model import ModelConfig
    from trainers.phase_trainer import PhaseConfig

    listed = [
        (
            f"Stage `{stage.name}`",
            OTHER_STAGES.get(stage.name, f"`{stage.name}:` in a recipe, and `clinragen {stage.name}`"),
            stage.config,
        )
        for stage in STAGES
    ]
    return [
        ("Recipe", "the YAML file of `clinragen run`; a section's settings are listed below", Recipe),
        *listed,
        ("Model", "the YAML file that `model:` names", ModelConfig),
        ("Phase", "the YAML files that `train:` names", PhaseConfig),
        ("Stage `prefer`", "`clinragen prefer`; a recipe has no such stage", PREFER.config),
        ("Stage `rescore`", "`clinragen rescore`; a recipe has no such stage", RESCORE.config),
        ("Stage `groups`", "`clinragen groups`; a recipe has no such stage", GroupsConfig),
        ("Stage `guarantee`", "`clinragen guarantee`; a recipe has no such stage", GuaranteeConfig),
        ("Stage `transfer`", "`clinragen transfer`; a recipe has no such stage", TransferConfig),
        ("Preference", "the YAML file that `clinragen prefer --config` names", ClinicalPreferenceConfig),
        ("Explanation", "`clinragen predict`, `clinragen demo` and `clinragen.Explainer`", ExplainConfig),
    ]


def reference() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, about, kind in sections():
        rows = list(_rows(kind))
        if rows:
            table = ["| setting | expected | default | decides | meaning |", "| --- | --- | --- | --- | --- |", *rows]
            parts.append(f"## {title}\n\nFor {about}.\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def _rows(kind: type, before: str = "") -> Iterator[str]:
    hints = get_type_hints(kind)
    for one in fields(kind):
        if "help" not in one.metadata or (not before and one.name not in _own_fields(kind)):
            continue
        nested = next((part for part in _options(hints[one.name]) if _is_config(part)), None)
        name = f"{before}{one.name}"
        if nested is not None:
            yield f"| `{name}` | settings | {_default(one)} | | {_cell(one)} |"
            # A recipe's sections are stages, which have tables of their own.
            yield from _rows(nested, f"{name}.") if kind.__name__ != "Recipe" else ()
        else:
            decides = "yes" if one.metadata.get("decides", True) else "no"
            wanted = expected(one, hints[one.name]).replace("|", "\\|")
            yield f"| `{name}` | {wanted} | {_default(one)} | {decides} | {_cell(one)} |"


def _own_fields(kind: type) -> set[str]:
    """Fields that are declared in this project: a phase inherits a hundred more from transformers."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] in ("clinragen", "dataset_builder", "trainers"):
            names |= set(vars(base).get("__annotations__", {}))
    return names


def _options(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__args__", (hint,))


def _is_config(hint: Any) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _cell(one: Field[Any]) -> str:
    return str(one.metadata["help"]).replace("|", "\\|").replace("\n", " ")


def _default(one: Field[Any]) -> str:
    value = one.default if one.default is not MISSING else None
    if one.default is MISSING and one.default_factory is MISSING:
        return "required"
    if one.default_factory is not MISSING:
        value = one.default_factory()
    if is_dataclass(value):
        return ""
    if isinstance(value, tuple | list):
        return ", ".join(f"`{entry}`" for entry in value) or "none"
    return "none" if value is None else f"`{value}`"


def main() -> None:
    """Write the page beside the other documentation."""
    page = Path(__file__).parents[2] / "docs" / "settings.md"
    with atomic_file(page) as beside:
        beside.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
