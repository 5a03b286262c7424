"""Draws docs/figures/architecture.svg. Shapes are recorded from a model that processes an example patient; which part
learns in which phase is taken from the table of phases. Run it again after a change of the model:

    python docs/figures/architecture.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.storage.files import atomic_file
from modeling_clinragen import ClinRaGenConfig, ClinRaGenForConditionalGeneration
from modeling_clinragen.summary_encoder_clinragen import SUMMARY_STATISTICS
from trainers.phases import phase_named

# The paper's phases. Parts are named as in `Learns`: language_model, lab_encoder, knowledge_attention, disease_head.
PHASES = tuple(map(phase_named, ("note", "lab", "multimodal")))
PATH = Path(__file__).with_suffix(".svg")
# Flan-T5-small's shape; all else as ClinRaGenConfig has it by default.
BACKBONE = {
    "model_type": "t5",
    "d_model": 512,
    "d_ff": 1024,
    "d_kv": 64,
    "num_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
    "decoder_start_token_id": 0,
}
NOTE_TOKENS, STEPS, KNOWLEDGE_TOKENS, TARGET_TOKENS = 700, 200, 1000, 150

NOTE, LABS, KNOWLEDGE, LANGUAGE = "#0072B2", "#C65102", "#00785A", "#6A4C93"
INK, GREY, RULE = "#1F2328", "#5F6670", "#C9CED6"
MONO = "DejaVu Sans Mono"
STYLE = {"font.family": "DejaVu Sans", "svg.hashsalt": "clinragen", "svg.fonttype": "path"}
WIDTH, HEIGHT = 100.0, 90.0
# Middles of the three columns, and half the width of a box in them.
NOTE_X, LABS_X, KNOWLEDGE_X, HALF = 16.0, 50.0, 84.0, 14.0


def example_shapes() -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors between the parts for one patient, without the batch axis.

    Keys: `note_ids`, `note`, `features`, `patches`, `encoded`, `projected`, `statistics`, `summaries`, `lab_vectors`,
    `knowledge`, `prototypes`, `fused`, `hidden`, `queries`, `diseases`, `logits`.
    """
    vocabulary = shipped_definitions().vocabulary
    variables = len(vocabulary.variables)
    config = ClinRaGenConfig(
        text_config=BACKBONE,
        diseases=list(vocabulary.disease_names),
        variables=list(vocabulary.variable_keys),
        num_knowledge_tokens=KNOWLEDGE_TOKENS,
        lab_summary=True,
        disease_head=True,
    )
    model = ClinRaGenForConditionalGeneration(config).eval()
    seen: dict[str, tuple[int, ...]] = {}

    def record(module: torch.nn.Module, *, input_name: str = "", output_name: str = "") -> None:
        def hook(_: Any, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
            if input_name:
                seen[input_name] = tuple(inputs[0].shape)
            if output_name:
                seen[output_name] = tuple((output if isinstance(output, torch.Tensor) else output[0]).shape)

        module.register_forward_hook(hook)

    lab, attention = model.lab_encoder, model.knowledge_attention
    assert attention is not None
    record(lab.patchtst.encoder.embedder, input_name="patches")
    record(lab.patchtst.encoder.layers[-1].norm_sublayer3, output_name="encoded")
    summary, head = model.summary_encoder, model.disease_head
    assert summary is not None
    assert head is not None
    record(lab.projection, output_name="projected")
    record(summary, output_name="summaries")
    record(attention, input_name="lab_vectors")
    record(attention.k_proj, input_name="prototypes")
    record(attention, output_name="fused")
    record(model.get_encoder(), output_name="hidden")
    features = torch.zeros(1, STEPS, variables, config.lab_step_features)
    ids = torch.ones(1, NOTE_TOKENS, dtype=torch.long)
    labels = torch.ones(1, TARGET_TOKENS, dtype=torch.long)
    mask = torch.ones(1, STEPS, dtype=torch.bool)
    with torch.no_grad():
        output = model(input_ids=ids, lab_features=features, lab_mask=mask, labels=labels)
    seen |= {"note_ids": ids.shape, "features": features.shape, "logits": output.logits.shape}
    shapes = {name: tuple(shape[1:]) for name, shape in seen.items() if name != "prototypes"}
    table = model.get_input_embeddings()
    shapes["note"] = (NOTE_TOKENS, table.embedding_dim)
    shapes["knowledge"] = (len(model.knowledge_token_ids), table.embedding_dim)
    shapes["prototypes"] = seen["prototypes"]
    shapes["statistics"] = (variables, len(SUMMARY_STATISTICS))
    shapes["queries"] = tuple(head.queries.shape)
    shapes["diseases"] = (len(config.diseases),)
    return shapes


def dimensions(shape: tuple[int, ...]) -> str:
    """A shape in words, such as "700 × 512"."""
    return " × ".join(f"{size:,}" for size in shape)


class Drawing:
    """Boxes, arrows and badges on one axes, in units of a tenth of an inch."""

    def __init__(self, ax: Axes) -> None:
        self.ax = ax
        ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        ax.axis("off")

    def text(self, x: float, y: float, words: str, size: float = 9.0, color: str = INK, **style: Any) -> None:
        """Words, by default centred at a point."""
        self.ax.text(x, y, words, fontsize=size, color=color, **{"ha": "center", "va": "center"} | style)

    def frame(
        self, left: float, bottom: float, right: float, top: float, color: str, fill: str, corner: float = 1.1
    ) -> None:
        """A rectangle with rounded corners."""
        shape = f"round,pad=0,rounding_size={corner}"
        self.ax.add_patch(
            FancyBboxPatch(
                (left, bottom), right - left, top - bottom, shape, facecolor=fill, edgecolor=color, linewidth=1.4
            )
        )

    def box(self, x: float, y: float, color: str, title: str, line: str, half: float = HALF) -> None:
        """A part centred at (x, y), with one line of description."""
        self.frame(x - half, y - 3.5, x + half, y + 3.5, color, f"{color}12")
        self.text(x, y + 1.15, title, 10.5, color, weight="bold")
        self.text(x, y - 1.45, line, 8.6)

    def up(self, x: float, start: float, end: float, color: str, shape: tuple[int, ...], what: str = "") -> None:
        """An arrow upwards; beside it the shape of its tensor and a description."""
        self.arrow((x, start), (x, end), color)
        middle = (start + end) / 2
        self.text(x - 1.2, middle, dimensions(shape), 9.2, family=MONO, ha="right")
        self.text(x + 1.2, middle, what, 8.6, GREY, ha="left")

    def arrow(self, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
        """An arrow between two points."""
        line = {"arrowstyle": "-|>,head_length=0.5,head_width=0.25", "color": color, "linewidth": 1.7}
        self.ax.annotate("", end, start, arrowprops=line | {"shrinkA": 0, "shrinkB": 0})

    def badges(self, right: float, y: float, part: str, color: str) -> None:
        """One badge for each phase on a part's border, filled where the part learns in that phase."""
        for number, phase in enumerate(PHASES, start=1):
            x = right - 2.6 * (len(PHASES) - number) - 2.2
            self.badge(x, y, str(number), color, filled=getattr(phase.learns, part))

    def badge(self, x: float, y: float, number: str, color: str, *, filled: bool) -> None:
        """One phase's badge."""
        edge = color if filled else RULE
        self.ax.plot(x, y, "o", markersize=12, markerfacecolor=edge if filled else "white", markeredgecolor=edge)
        self.text(x, y - 0.08, number, 8, "white" if filled else GREY, weight="bold")


def draw(on: Drawing, shapes: dict[str, tuple[int, ...]]) -> None:
    """The whole figure, from bottom to top: three columns that meet in the language model."""
    inputs, described, encoded, fused, sequence, bottom, top, written = 9.5, 21.5, 33.5, 45.5, 57.0, 61.5, 74.0, 85.0
    variables, step_features = shapes["features"][1:]
    patch = shapes["patches"]

    on.box(NOTE_X, inputs, NOTE, "Clinical note", "with instruction and lab marker")
    on.box(LABS_X, inputs, LABS, "Bedside series", f"{variables} variables, nothing imputed")
    on.box(KNOWLEDGE_X, inputs, KNOWLEDGE, "Knowledge base", "terms of diseases and variables")
    on.up(NOTE_X, inputs + 3.5, described - 3.5, NOTE, shapes["note_ids"], "tokens")
    on.up(LABS_X, inputs + 3.5, described - 3.5, LABS, shapes["features"][:2], "steps, variables")
    on.up(KNOWLEDGE_X, inputs + 3.5, described - 3.5, KNOWLEDGE, shapes["knowledge"][:1], "tokens, V_k")

    for x in (NOTE_X, KNOWLEDGE_X):
        on.box(x, described, LANGUAGE, "Token embeddings", "the language model's own table")
    on.box(LABS_X, described, LABS, "Feature extractor", "value, measured?, freshness, time")
    on.up(LABS_X, described + 3.5, encoded - 3.5, LABS, shapes["features"], f"{step_features} numbers each")
    on.up(KNOWLEDGE_X, described + 3.5, encoded - 3.5, KNOWLEDGE, shapes["knowledge"])

    # Side by side: patches, and one summary token for each variable.
    quarter = HALF / 2 - 0.4
    on.box(LABS_X - HALF / 2 - 0.4, encoded, LABS, "Lab encoder", f"{patch[1]} patches", quarter)
    on.box(LABS_X + HALF / 2 + 0.4, encoded, LABS, "Summaries", f"{shapes['summaries'][0]} variables", quarter)
    on.box(KNOWLEDGE_X, encoded, KNOWLEDGE, "Prototypes", "linear, over the token axis")
    on.badges(LABS_X + HALF, encoded + 3.5, "lab_encoder", LABS)
    on.badges(KNOWLEDGE_X + HALF, encoded + 3.5, "knowledge_attention", KNOWLEDGE)
    on.up(LABS_X, encoded + 3.5, fused - 3.5, LABS, shapes["lab_vectors"], "queries")
    on.up(KNOWLEDGE_X, encoded + 3.5, fused - 3.5, KNOWLEDGE, shapes["prototypes"], "keys, values")

    middle, half = (LABS_X + KNOWLEDGE_X) / 2, (KNOWLEDGE_X - LABS_X) / 2 + HALF
    on.box(middle, fused, KNOWLEDGE, "Knowledge-augmented attention", "lab vectors attend to prototypes", half)
    on.badges(middle + half, fused + 3.5, "knowledge_attention", KNOWLEDGE)
    on.up(NOTE_X, described + 3.5, sequence - 1.5, NOTE, shapes["note"], "note vectors")
    on.up(LABS_X, fused + 3.5, sequence - 1.5, KNOWLEDGE, shapes["fused"], "lab vectors, H")

    # One sequence, packed without gaps.
    border = LABS_X - HALF
    parts = ((NOTE_X - HALF, border, NOTE, "note"), (border, LABS_X + HALF, KNOWLEDGE, "fused"))
    for left, right, color, name in parts:
        on.frame(left, sequence - 1.5, right, sequence + 1.5, color, f"{color}30", corner=0.0)
        on.text((left + right) / 2, sequence - 0.1, f"{shapes[name][0]} positions", 9)
    on.text(LABS_X + HALF + 1.2, sequence, "one sequence, without gaps", 8.6, GREY, ha="left")
    on.arrow(((NOTE_X + LABS_X) / 2, sequence + 1.5), ((NOTE_X + LABS_X) / 2, bottom + 1.2), LANGUAGE)

    on.frame(NOTE_X - HALF, bottom, KNOWLEDGE_X + HALF, top, LANGUAGE, f"{LANGUAGE}0C")
    words = "Language model with LoRA adapters: an encoder-decoder, or a decoder that continues the sequence"
    on.text(NOTE_X - HALF + 2, top - 2.1, words, 9.6, LANGUAGE, weight="bold", ha="left")
    on.badges(KNOWLEDGE_X + HALF, top, "language_model", LANGUAGE)
    height = (bottom + top) / 2 - 1.6
    left, right = LABS_X + HALF - 6, KNOWLEDGE_X - HALF + 2
    on.box(
        (NOTE_X - HALF + 2 + left) / 2,
        height,
        LANGUAGE,
        "Encoder",
        "reads the sequence",
        (left - NOTE_X + HALF - 2) / 2,
    )
    on.box(KNOWLEDGE_X, height, LANGUAGE, "Decoder", "writes token by token", HALF - 2)
    on.arrow((left, height), (right, height), LANGUAGE)
    on.text((left + right) / 2, height + 1.5, dimensions(shapes["hidden"]), 9.2, family=MONO)

    on.up(NOTE_X, top, written - 3.5, LANGUAGE, shapes["diseases"], "diagnose")
    on.box(NOTE_X, written, INK, "Disease head", "a probability for every disease")
    on.badges(NOTE_X + HALF, written + 3.5, "disease_head", INK)
    on.up(KNOWLEDGE_X, top, written - 3.5, LANGUAGE, shapes["logits"], "generate")
    on.frame(border, written - 3.5, KNOWLEDGE_X + HALF, written + 3.5, INK, f"{INK}08")
    on.text(
        border + 2,
        written + 1.2,
        "### Disease Diagnosed: Shock,Septicemia (except in labor).",
        9,
        family=MONO,
        ha="left",
    )
    on.text(border + 2, written - 1.4, '### Rationale: "febrile" supports Septicemia …', 9, family=MONO, ha="left")

    on.badge(3.2, 3.6, "1", INK, filled=True)
    phases = ", ".join(f"{number} {phase.name}" for number, phase in enumerate(PHASES, start=1))
    on.text(5.2, 3.6, f"trained in phase: {phases}; white: frozen", 8.6, ha="left")
    example = f"a note of {NOTE_TOKENS} tokens, {STEPS} steps and {KNOWLEDGE_TOKENS:,} knowledge tokens"
    words = f"Numbers are the shapes for {example}, in a model of Flan-T5-small's shape, without the batch axis."
    on.text(2, 1.2, words, 8.6, GREY, ha="left")


def main(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Draw and write the figure."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 10, HEIGHT / 10), facecolor="white")
        draw(Drawing(figure.add_axes((0, 0, 1, 1))), shapes)
        with atomic_file(path) as beside:
            # Without a date the same model gives the same bytes.
            figure.savefig(beside, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main(PATH, example_shapes())
