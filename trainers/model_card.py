"""The card of a model folder, generated from recorded and measured facts, never written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

from dataset_builder.storage.files import atomic_file, make_private, read_json
from dataset_builder.storage.governance import (
    PROVENANCE,
    carry_provenance,
    is_credentialed,
    origins_of,
    read_provenance,
    write_provenance,
)
from trainers.formatting import format_difference, format_score
from trainers.model_card_claims import about_claims
from trainers.model_card_cost import about_cost
from trainers.model_card_results import eval_results
from trainers.phases import DEPARTURES, phase_named
from trainers.tokens_report import read_tokens_report

SCORES = ("micro_f1", "micro_precision", "micro_recall", "macro_f1", "micro_auroc", "micro_auprc")


_ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def write_model_card(
    folder: Path,
    *,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    phases: Sequence[str],
    cost: Mapping[str, Any] | None = None,
) -> None:
    """Write README.md and provenance.json into a model folder; one trained on credentialed data becomes private.

    Args:
        folder: The folder, with config.json, processor_config.json and the weights.
        metrics: The evaluation's `metrics.json`.
        provenance: The cohort's `provenance.json`; empty where it is unknown.
        phases: Names of the phases that were trained, in order.
        cost: The evaluation's `cost.json`; None where it was not measured.

    Raises:
        SettingsError: A phase is unknown.
    """
    from huggingface_hub import ModelCardData
    from safetensors import safe_open

    config = read_json(folder / "config.json")
    processor = read_json(folder / "processor_config.json")
    extractor = processor["feature_extractor"]
    parameters = size = 0
    for path in sorted(folder.glob("*.safetensors")):
        size += path.stat().st_size
        with safe_open(path, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118 (not a dict)
                parameters += prod(weights.get_slice(name).get_shape())
    full = metrics["rationale"]["full"]
    # The provenance that training wrote includes all parents; the cohort's is the fallback.
    trained_on = read_provenance(folder) if (folder / PROVENANCE).is_file() else provenance
    rows = [
        f"| {system} | " + " | ".join(format_score(scores.get(score)) for score in SCORES) + " |"
        for system, scores in metrics["systems"].items()
    ]
    head = "| System | " + " | ".join(score.replace("_", " ") for score in SCORES) + " |"
    title = f"ClinRaGen ({config['text_config']['model_type']}, {provenance.get('title', 'unknown source')})"
    card = ModelCardData(
        library_name="transformers",
        language="en",
        license=provenance.get("licence", {}).get("id", "other"),
        base_model=_base_model(config),
        model_name=title,
        # No task of the Hub's own fits: the folder brings its pipeline.
        tags=["clinragen", "clinical-rationale", "medical", "ehr", "time-series", "lora", "arxiv:2411.07611"],
        eval_results=eval_results(metrics, provenance),
    )
    text = (
        (files("trainers") / "model_card.md")
        .read_text(encoding="utf-8")
        .format(
            title=title,
            diseases=len(config["diseases"]),
            notices="\n".join(f"> **{notice}**" for notice in metrics.get("notices", [])),
            variables=len(config["variables"]),
            columns=", ".join(
                f"{name} ({unit})" for name, unit in zip(extractor["variables"], extractor["units"], strict=True)
            ),
            data=_data(metrics, provenance),
            phases=_phases(phases, trained_on),
            backbone=f"`{_base_model(config) or config['text_config']['model_type']}`",
            parameters=f"{parameters:,}",
            size=f"{size / 1e6:,.1f}",
            cost=about_cost(cost),
            patch_steps=config["lab_patch_steps"],
            max_steps=extractor["max_steps"],
            knowledge_tokens=config["num_knowledge_tokens"],
            prototypes=config["num_prototypes"],
            tokenizer=_tokenizer(folder, provenance),
            examples=metrics["held_out"]["examples"],
            subjects=metrics["held_out"]["subjects"],
            scores="\n".join([head, "| --- " * (len(SCORES) + 1) + "|", *rows]),
            strongest=_strongest(metrics),
            bleu="not measured" if full["bleu"] is None else f"{full['bleu']:.1f}",
            well_formed=f"{100 * full['well_formed']:.1f} %",
            claims=about_claims(full),
            reading=_reading(processor),
            provenance=_provenance(trained_on),
            licence=_licence(provenance),
        )
    )
    with atomic_file(folder / "README.md") as beside:
        beside.write_text(f"---\n{card.to_yaml()}\n---\n\n{text}", encoding="utf-8")
    carried = carry_provenance([trained_on], "publish", {"phases": list(phases)})
    write_provenance(folder, carried)
    if is_credentialed(carried):
        make_private(folder)


def _phases(phases: Sequence[str], provenance: Mapping[str, Any]) -> str:
    """A numbered list of what each phase taught, with the settings that made it another training than that."""
    steps = {step["step"]: step for step in provenance.get("steps", ())}
    lines = []
    for number, name in enumerate(phases, start=1):
        step = steps.get(f"train {name}", {})
        changed = "; ".join(f"{setting}: {step[setting]}" for setting in DEPARTURES if setting in step)
        lines.append(
            f"{number}. {phase_named(name).sentence}{f' **Changed by settings: {changed}.**' if changed else ''}"
        )
    return "\n".join(lines)


def _base_model(config: Mapping[str, Any]) -> str | None:
    """The Hub's name of the pretrained language model; None for one from scratch, or from a folder of somebody's."""
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not _ON_THE_HUB.fullmatch(name) or Path(name).exists():
        return None
    return name


def _provenance(record: Mapping[str, Any]) -> str:
    """The sources of the model and the chain of steps; provenance.json beside it has them in full."""
    lines = [
        f"- {origin.get('title')}, version {origin.get('version')}, "
        f"{(origin.get('licence') or {}).get('name', 'licence not recorded')}"
        for origin in origins_of(record)
    ]
    steps = ", ".join(str(step.get("step")) for step in record.get("steps", ()))
    lines = list(dict.fromkeys(lines))
    return "Made from:\n\n" + "\n".join(lines) + f"\n\nSteps: {steps or 'not recorded'}. In full: `provenance.json`."


def _strongest(metrics: Mapping[str, Any]) -> str:
    """How the model stands to the strongest baseline, from metrics.json; nothing where there is none."""
    name = metrics.get("strongest", {}).get("full")
    if name is None:
        return ""
    difference = metrics["differences"][f"full_minus_{name}"]["micro_f1"]
    return (
        f"The strongest other system that reads the same is `{name}`: micro F1 of this model minus its, "
        f"{format_difference(difference)}."
    )


def _data(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    counts = metrics["training"]
    trained = f"{counts['examples']} ICU stays ({counts['validation_examples']} more for validation)"
    if not provenance:
        return f"{trained} of a source that is not recorded."
    return (
        f"{trained} from {provenance['title']}, version {provenance['version']}. Note policy: "
        f"`{provenance['note_policy']}`. {provenance['about_the_notes']}"
    )


def _tokenizer(folder: Path, provenance: Mapping[str, Any]) -> str:
    """Sentences about patients' texts in the tokenizer; none about one that came with the language model."""
    report = read_tokens_report(folder)
    if report is None:
        return ""
    if not is_credentialed(provenance):
        return report.sentence
    return (
        f"{report.sentence} **These are words of patients whose data are credentialed, or of unrecorded origin: "
        "review the list before anybody else gets this folder.**"
    )


def _reading(processor: Mapping[str, Any]) -> str:
    """How much of a long note the model reads, from processor_config.json."""
    read = {"middle": "their head and tail are read", "end": "they are truncated at their end"}
    # Folders of format 1 don't name it.
    text = f"Notes longer than {processor['max_source_tokens']:,} tokens, prompt included: "
    text += f"{read[processor.get('note_cut', 'end')]}."
    profile = processor.get("profile")
    if profile is None:
        return text
    cut = profile["notes_cut"]
    return (
        f"{text} In the last phase's training, {cut['examples']:,} of {cut['of']:,} notes were longer; "
        f"{cut['tokens_read']:,} of all {cut['tokens']:,} tokens were read."
    )


def _licence(provenance: Mapping[str, Any]) -> str:
    if not provenance:
        return "The licence of the training data is not recorded: do not share this folder until it is known."
    if provenance["credentialed"]:
        return (
            "**Trained on credentialed data.** The data use agreement of the source binds this model too: share it "
            "only as that agreement allows."
        )
    return f"The training data are under: {provenance['licence']['name']}."
