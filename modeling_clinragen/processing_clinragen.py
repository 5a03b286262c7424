"""Input and target layout of the model: prompt, note and series in; diagnoses and rationale out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import BatchFeature, ProcessorMixin

from .errors import ModelInputError, SettingsError
from .governed_clinragen import GovernedProcessor
from .lab_words_clinragen import lab_words
from .note_clinragen import clean_note, find_spans
from .profile_clinragen import Cut, InputProfile, unlike
from .reading_clinragen import (
    NOTE_CUTS,
    Reading,
    ReadReport,
    TokenizedNote,
    read_note,
    read_report,
    require_input,
    require_length,
    tokenize,
)
from .series_input_clinragen import is_table, standard_series
from .target_layout_clinragen import (
    DIAGNOSIS_MARK,
    LAYOUTS,
    NO_DIAGNOSIS,
    RATIONALE_MARK,
    ParsedOutput,
    parse_target,
    write_target,
)
from .token_ids_clinragen import bare_ids, padded, special_ids
from .vocabulary_clinragen import DEFAULT_RANGE_SET, Vocabulary

logger = logging.getLogger(__name__)

FORMAT_VERSION = 3
"""Format of processor_config.json; 1 is the first that holds the vocabulary, 2 the first with `note_cut`, 3 with
`lab_input`."""
LAB_INPUTS = ("vectors", "words")
IGNORED = -100


class ClinRaGenProcessor(GovernedProcessor, ProcessorMixin):
    r"""One object for both modalities and for the target text.

    Args:
        feature_extractor: `ClinRaGenLabFeatureExtractor`.
        tokenizer: The language model's tokenizer.
        vocabulary: Variables and diseases of the model: a `Vocabulary`, or the dictionary that processor_config.json
            holds. None is a bare processor, which lays out texts and series but cannot be trained with or explain.
        range_set: Name of the normal ranges that the model's rationales are written with.
        instruction: Text before the note (may be empty).
        lab_marker: Text between the note and the labs (may be empty).
        lab_input: What the language model gets of a series: "vectors" behind its tokens, from the lab encoder, or
            "words" as the paper's baseline, which is all of it then (see `lab_words`).
        layout: "diagnosis-first" (the paper) or "rationale-first".
        max_source_tokens: Maximum tokens of prompt and note (the paper: 1600 with the lab vectors).
        max_target_tokens: Maximum tokens of a target; longer ones are truncated.
        note_cut: Which part of a longer note is left out: its "middle" or its "end" (see `read_note`). Folders of
            format 1 were trained with "end" and keep it.
        profile: The inputs of the last training: an `InputProfile`, its dictionary, or None where it is not known.

    Raises:
        SettingsError: The vocabulary's variables or units are not the feature extractor's (the message has both
            lists), it has no such range set, the layout, the cut or the lab input is unknown, or the profile is
            another version's.
    """

    def __init__(  # noqa: PLR0913 (configs of transformers' kind)
        self,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        vocabulary: Vocabulary | Mapping[str, Any] | None = None,
        range_set: str = DEFAULT_RANGE_SET,
        instruction: str = "Diagnose disease from the medical note:",
        lab_marker: str = "Lab tests:",
        layout: str = "diagnosis-first",
        max_source_tokens: int = 1475,
        max_target_tokens: int = 500,
        note_cut: str = "middle",
        profile: InputProfile | Mapping[str, Any] | None = None,
        lab_input: str = "vectors",
    ) -> None:
        super().__init__(feature_extractor=feature_extractor, tokenizer=tokenizer)
        if layout not in LAYOUTS:
            raise SettingsError(f"unknown target layout '{layout}'; choose one of {', '.join(LAYOUTS)}")
        if note_cut not in NOTE_CUTS:
            raise SettingsError(f"unknown note_cut '{note_cut}'; choose one of {', '.join(NOTE_CUTS)}")
        if lab_input not in LAB_INPUTS:
            raise SettingsError(f"unknown lab_input '{lab_input}'; choose one of {', '.join(LAB_INPUTS)}")
        if isinstance(vocabulary, Mapping):
            vocabulary = Vocabulary.from_dict(vocabulary, "the processor's vocabulary")
        if vocabulary is not None:
            vocabulary.range_set(range_set)
            feature_extractor.require_vocabulary(vocabulary)
        self.vocabulary = vocabulary
        self.range_set = range_set
        self.instruction = instruction
        self.lab_marker = lab_marker
        self.lab_input = lab_input
        self.layout = layout
        self.max_source_tokens = max_source_tokens
        self.max_target_tokens = max_target_tokens
        self.note_cut = note_cut
        if isinstance(profile, Mapping):
            profile = InputProfile.from_dict(profile, "the processor's profile of training inputs")
        self.profile = profile

    def require_vocabulary(self, config: Any = None, where: str = "this processor") -> Vocabulary:
        """The vocabulary of the model.

        Args:
            config: The model's config; where given, its variables and diseases must be the vocabulary's.
            where: What the message calls the processor, such as its folder.

        Raises:
            SettingsError: There is no vocabulary, because the processor is a bare one or an older version saved it,
                or the config has other variables or diseases (the message has both lists).
        """
        if self.vocabulary is None:
            raise SettingsError(
                f"{where} has no vocabulary: this model folder was written by an older version; train it again with "
                "`clinragen train` or `clinragen run`"
            )
        for what, own in (("variables", self.vocabulary.variable_keys), ("diseases", self.vocabulary.disease_names)):
            configured = tuple(getattr(config, what, ()))
            if configured and configured != own:
                raise SettingsError(
                    f"the model's config has the {what} {', '.join(configured)} but its processor has "
                    f"{', '.join(own)}; load both from one folder"
                )
        return self.vocabulary

    def to_dict(self) -> dict[str, Any]:
        """As in transformers, with vocabulary and profile as dictionaries and the format of processor_config.json."""
        content = super().to_dict()
        content["vocabulary"] = None if self.vocabulary is None else self.vocabulary.to_dict()
        content["profile"] = None if self.profile is None else self.profile.to_dict()
        content["format_version"] = FORMAT_VERSION
        return content

    @classmethod
    def from_args_and_dict(cls, args: Any, processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in transformers.

        Raises:
            SettingsError: A newer version wrote the configuration, in a format that this one does not read.
        """
        found = processor_dict.get("format_version", FORMAT_VERSION)
        if not isinstance(found, int) or found > FORMAT_VERSION:
            raise SettingsError(
                f"processor_config.json has the format {found}, this version reads up to {FORMAT_VERSION}; update "
                "clinragen"
            )
        # Format 1 does not name the cut.
        return super().from_args_and_dict(args, {"note_cut": "end", **processor_dict}, **kwargs)

    @property
    def model_input_names(self) -> list[str]:
        """Everything that `__call__` returns for the model."""
        return ["input_ids", "attention_mask", "lab_features", "lab_mask"]

    def __call__(
        self,
        note: str | Sequence[str] | None = None,
        series: Any = None,
        target: str | Sequence[str] | None = None,
        return_tensors: str | None = "pt",
        *,
        text: str | Sequence[str] | None = None,
        warn: bool = True,
    ) -> BatchFeature:
        """Prepare one example or a batch.

        Args:
            note: Text(s), which are cleaned (see `clean_note`) and, where too long, shortened (see `note_cut`); None
                or "" means no note. An example without note, series and prompt is the end token alone.
            series: One series or for each example one: a mapping with `hours` `(steps,)` and `values` `(steps,
                variables)`, columns by variable, or a pandas DataFrame (see `standard_series`); None where the example
                is to be read without its labs (then the lab marker is left out too).
            target: Text(s) to be generated, for training (see `target`).
            return_tensors: As everywhere in transformers ("pt", "np").
            text: transformers' name for `note`.
            warn: Whether to log once how many notes are longer than is read.

        Returns:
            `input_ids`, `attention_mask`, and as given `lab_features`, `lab_mask`, `labels` (padding is -100). With
            labs in words there are no lab features.

        Raises:
            ModelInputError: Nothing is given, the numbers of notes, series and targets differ, a note is too long, or
                a series has a column that is none of the model's variables.
        """
        if note is not None and text is not None:
            raise ModelInputError("note and text are two names of one argument; give one of them")
        note = text if note is None else note
        notes = [note] if isinstance(note, str) else note
        batch = [series] if isinstance(series, Mapping) or is_table(series) else series
        targets = [target] if isinstance(target, str) else target
        sizes = {len(part) for part in (notes, batch, targets) if part is not None}
        if len(sizes) != 1 or (notes is None and batch is None):
            raise ModelInputError(
                f"got {0 if notes is None else len(notes)} notes, {0 if batch is None else len(batch)} series and "
                f"{0 if targets is None else len(targets)} targets; give as many of one as of the others"
            )
        size = sizes.pop()
        batch = None if batch is None else [self.standard_series(one) for one in batch]
        readings = [
            self._read(self._tokenized(text), around)
            for text, around in zip(notes or [""] * size, self._surroundings(batch or [None] * size), strict=True)
        ]
        cut = Cut.of_counts((len(reading.ids), reading.total) for reading in readings)
        if warn and cut.examples:
            logger.warning(cut.sentence)
        encoded = self.inputs(readings, batch, None)
        if targets is not None:
            encoded["labels"] = self.labels([self.target_ids(text) for text in targets])
        return BatchFeature(encoded, tensor_type=return_tensors)

    def inputs(
        self,
        readings: Sequence[Reading],
        series: Sequence[Any] | None,
        return_tensors: str | None = "pt",
        described: Sequence[np.ndarray] | None = None,
    ) -> BatchFeature:
        """The model's inputs where the notes have been read already (see `reading`); otherwise as `__call__`.

        `described` are the series' features, where they have been made already too.
        """
        series = None if series is None else [self.standard_series(one) for one in series]
        given = series or [None] * len(readings)
        sources = zip(readings, self._surroundings(given), given, strict=True)
        encoded = padded(self.tokenizer, [self._source_ids(reading, around, one) for reading, around, one in sources])
        if series is not None and self.lab_input == "vectors":
            extractor = self.feature_extractor
            encoded.update(extractor(series) if described is None else extractor.pad(described))
        return BatchFeature(encoded, tensor_type=return_tensors)

    def modality(self, note: str | None, series: Any) -> str:
        """The modality that a patient is given by, one of `MODALITIES`: "labs" without a word of a note."""
        if not clean_note(note or "").strip():
            return "labs"
        known = self.standard_series(series)
        return "both" if known is not None and len(known["hours"]) else "note"

    def standard_series(self, series: Any) -> Mapping[str, Any] | None:
        """A series in any form that `__call__` takes as `hours` and `values` (see there); None for None."""
        if series is None:
            return None
        return standard_series(series, self.feature_extractor.variables, self.vocabulary)

    def reading(self, note: str | None, series: Any) -> Reading:
        """The part of a note that the model reads beside this series, whose marker or words take some of the room.

        Raises:
            ModelInputError: The note is too long to be one.
            SettingsError: `max_source_tokens` leaves no room for a note.
        """
        return self._read(self._tokenized(note), self._surroundings([self.standard_series(series)])[0])

    def note_start(self) -> int:
        """How many tokens of a source stand before its note."""
        return len(self._surroundings([None])[0][0])

    def read_report(self, note: str | None, series: Any) -> ReadReport:
        """How much the model reads of a patient, and how well its tokenizer knows the words; see `unlike`.

        Args:
            note, series: As `__call__` takes them.

        Raises:
            ModelInputError, SettingsError: As `reading`.
        """
        return self.read_reports([note], [series])[0]

    def read_reports(self, notes: Sequence[str | None], batch: Sequence[Any]) -> list[ReadReport]:
        """The same for many patients."""
        unknown, variables = self.tokenizer.unk_token_id, self.feature_extractor.variables
        given = [self.standard_series(one) for one in batch]
        reports = []
        for note, series, around in zip(notes, given, self._surroundings(given), strict=True):
            tokenized = self._tokenized(note)
            reports.append(read_report(tokenized, self._read(tokenized, around), unknown, variables, series))
        return reports

    def unlike(self, report: ReadReport) -> tuple[str, ...]:
        """Sentences that say what of a patient is unlike the training inputs; none without a profile of these."""
        if self.profile is None:
            return ()
        variables = () if self.vocabulary is None else self.vocabulary.variables
        return unlike(report, self.profile, {variable.key: variable.name for variable in variables})

    def _tokenized(self, note: str | None) -> TokenizedNote:
        require_length(note or "")
        return tokenize(clean_note(note or ""), self.tokenizer)

    def _read(self, tokenized: TokenizedNote, around: tuple[list[int], list[int]]) -> Reading:
        room = self.max_source_tokens - sum(map(len, around))
        if room < 1:
            raise SettingsError(
                f"max_source_tokens is {self.max_source_tokens}: too few for what stands around a note; raise it"
            )
        return read_note(tokenized, self.tokenizer, room, self.note_cut)

    def _source_ids(
        self, reading: Reading, around: tuple[list[int], list[int]], series: Mapping[str, Any] | None
    ) -> list[int]:
        ids = [*around[0], *reading.ids, *around[1]]
        empty = not ids and (series is None or not len(series["hours"]))
        return [self.tokenizer.eos_token_id] if empty else ids

    def _surroundings(self, batch: Sequence[Mapping[str, Any] | None]) -> list[tuple[list[int], list[int]]]:
        """The tokens before and behind the note of each example; without labs nothing of them stands there."""
        opening, closing = special_ids(self.tokenizer)
        before = [*opening, *self._ids(self.instruction)]
        texts = ["" if one is None else self._lab_text(one) for one in batch]
        behind = {text: [*self._ids(text), *closing] for text in set(texts)}
        return [(before, behind[text]) for text in texts]

    def _lab_text(self, series: Mapping[str, Any]) -> str:
        if self.lab_input == "vectors":
            return self.lab_marker
        vocabulary = self.require_vocabulary()
        _, values = self.feature_extractor.checked(series["hours"], series["values"])
        # As the cohort has them: a value at a bound is on the same side.
        words = lab_words(values.astype(np.float32), vocabulary, vocabulary.range_set(self.range_set))
        return " ".join(filter(None, (self.lab_marker, words)))

    def labels(self, targets: Sequence[Sequence[int]]) -> np.ndarray:
        """Tokens of targets as the model's labels, `(batch, target_tokens)`, padding as -100."""
        labels = np.full((len(targets), max(map(len, targets))), IGNORED, dtype=np.int64)
        for row, ids in enumerate(targets):
            labels[row, : len(ids)] = ids
        return labels

    def target_ids(self, text: str) -> list[int]:
        """Tokens of a target with its end."""
        return [*self._ids(text)[: self.max_target_tokens - 1], self.tokenizer.eos_token_id]

    def list_ids(self, diagnoses: Sequence[str]) -> list[int]:
        """Tokens of a target's list of diseases, including the marker that ends it (diagnosis-first layout)."""
        return self._ids(self.target(diagnoses))

    def diagnosis_positions(self, target: str) -> list[bool]:
        """For every label of a target (its tokens and the end token), whether it belongs to the list of diseases.

        Needs a fast tokenizer, which gives the character offsets of tokens.
        """
        start = target.index(DIAGNOSIS_MARK)
        end = target.find(RATIONALE_MARK, start)
        end = len(target) if end < 0 else end
        offsets = self.tokenizer(target, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        positions = [start <= first and last <= end for first, last in offsets[: self.max_target_tokens - 1]]
        return [*positions, end == len(target)]

    def _ids(self, text: str) -> list[int]:
        return bare_ids(self.tokenizer, text)

    def target(self, diagnoses: Sequence[str], *rationales: str) -> str:
        """Write a target in the paper's format: diagnoses, and R_m and/or R_t as one rationale."""
        return write_target(self.layout, diagnoses, rationales)

    def parse(self, text: str) -> ParsedOutput:
        """Parse a generated text. Never raises: a format error is named in `problem`."""
        return parse_target(self.layout, text)


# Some of these are not used here, but an imported module travels with a saved processor, so that a user of the folder
# can clean a note in the same way, find quotations in it, and refuse a patient of whom nothing is known.
__all__ = [
    "DIAGNOSIS_MARK",
    "IGNORED",
    "LAYOUTS",
    "NO_DIAGNOSIS",
    "RATIONALE_MARK",
    "ClinRaGenProcessor",
    "Cut",
    "InputProfile",
    "ParsedOutput",
    "ReadReport",
    "clean_note",
    "find_spans",
    "require_input",
]

ClinRaGenProcessor.register_for_auto_class("AutoProcessor")
