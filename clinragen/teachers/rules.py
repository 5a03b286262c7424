"""The rule-based teacher: rationales from the note's own phrases and from what the series does.

It needs no language model and cannot invent: each quote is a part of the note, each number comes from the series.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from clinragen.claims.rationale import Complaint, Rationale
from clinragen.knowledge import KnowledgeBase
from clinragen.knowledge.mentions import Mention, load_finder
from clinragen.teachers.wording import Writer, count_words, load_wording
from clinragen.text.term_index import fold_word
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.series_signs import Finding, find_signs, firmest, load_sign_rules, stable_variables
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.note_clinragen import clean_note
from modeling_clinragen.vocabulary_clinragen import RangeSet, Vocabulary

QUOTES_PER_DISEASE = 2
FINDINGS_PER_DISEASE = 2
# With more diseases than this, the meaning of a finding is left out for brevity.
MEANING_DISEASES = 3
# Of a patient without a disease, at most this many abnormal findings and normal variables are described.
UNEXPLAINED_FINDINGS = 2
NORMAL_VARIABLES = 4


class RuleTeacher:
    """Writes R_m and R_t from rules (paper, section 3.2: the teacher knows the diagnoses).

    The wording depends only on `seed` and the example's identifier. A quote is exact except for white space: a line
    break inside it is written as a space.

    Args:
        knowledge: Terms and signs of the diseases.
        vocabulary: Variables and diseases of the examples.
        range_set: What is low, normal and high.
        seed: Draws the wording.
    """

    name = "rules"
    concurrency = 1
    services = ()
    usage: Mapping[str, Any] = {}

    def __init__(self, knowledge: KnowledgeBase, vocabulary: Vocabulary, range_set: RangeSet, seed: int = 0) -> None:
        self._vocabulary = vocabulary
        self._range_set = range_set
        self._seed = seed
        self._finder = load_finder(knowledge)
        self._signs = {entry.key: entry.signs for entry in knowledge.diseases}
        self._rules = load_sign_rules()
        self._wording = load_wording()
        self._keys = vocabulary.key_of_disease
        self._names = vocabulary.name_of_disease

    @property
    def settings(self) -> dict[str, Any]:
        """Seed and ranges, for the provenance."""
        bounds = {key: list(bound) for key, bound in self._range_set.bounds.items()}
        return {"seed": self._seed, "range_set": self._range_set.name, "bounds": bounds}

    async def rationale(self, example: Mapping[str, Any]) -> Rationale:
        """The same as `write`."""
        return self.write(example)

    async def repaired(
        self, example: Mapping[str, Any], rationale: Rationale, complaints: Sequence[Complaint]
    ) -> Rationale | None:
        """None: rules write the same again."""
        return None

    def write(self, example: Mapping[str, Any]) -> Rationale:
        """The rationales of one example. Raises `InputDataError` for a diagnosis outside the vocabulary."""
        unknown = [name for name in example["diagnoses"] if name not in self._keys]
        if unknown:
            raise InputDataError(f"unknown diagnosis '{unknown[0]}'; build the cohort again with this vocabulary")
        diseases = [self._keys[name] for name in example["diagnoses"]]
        draw = random.Random(f"{self._seed}:{example['example_id']}")
        writer = Writer(self._wording, self._vocabulary, draw)
        given = clean_note(example["note"])
        mentions = self._finder.find(given)
        note = self._note_rationale(given, mentions, diseases, writer)
        series = LabSeries.from_example(self._vocabulary, example)
        findings = find_signs(series, self._range_set, self._rules)
        lab, lab_support = self._lab_rationale(series, findings, diseases, writer)
        return Rationale(note, lab, frozenset(diseases) & frozenset(mentions), lab_support)

    def mentions(self, note: str) -> dict[str, list[Mention]]:
        """The affirmed, current mentions of every disease in a note, by disease key, best first."""
        return self._finder.find(note)

    def _note_rationale(
        self, note: str, mentions: Mapping[str, list[Mention]], diseases: Sequence[str], writer: Writer
    ) -> str:
        if not note.strip():
            return writer.note_part("no_note")
        if not diseases:
            if not mentions:
                return writer.note_part("healthy")
            strongest = min(chain(*mentions.values()), key=lambda mention: (mention.past, mention.rank))
            return writer.undiagnosed(strongest.quote, past=strongest.past)
        quotes = {key: [mentions[key][0]] for key in diseases if key in mentions}
        sentences = self._note_sentences(quotes, diseases, writer)
        for key in quotes:
            further = _another(mentions[key], quotes[key])
            if further is None or len(quotes[key]) >= QUOTES_PER_DISEASE:
                continue
            longer = self._note_sentences({**quotes, key: [*quotes[key], further]}, diseases, writer)
            if count_words(longer) <= self._wording.note_budget:
                quotes[key].append(further)
                sentences = longer
        return " ".join(sentences)

    def _note_sentences(
        self, quotes: Mapping[str, list[Mention]], diseases: Sequence[str], writer: Writer
    ) -> list[str]:
        groups: dict[tuple[str, ...], list[str]] = {}
        for key, chosen in quotes.items():
            groups.setdefault(tuple(mention.quote for mention in chosen), []).append(self._names[key])
        sentences = [writer.note_support(texts, names) for texts, names in groups.items()]
        none = [self._names[key] for key in diseases if key not in quotes]
        return sentences + ([writer.note_part("none", none)] if none else [])

    def _lab_rationale(
        self,
        series: LabSeries,
        findings: Mapping[tuple[str, str], Finding],
        diseases: Sequence[str],
        writer: Writer,
    ) -> tuple[str, frozenset[str]]:
        if not series.observed.any():
            return writer.lab_part("nothing_measured"), frozenset()
        if not diseases:
            return self._unexplained(series, findings, writer), frozenset()
        present: dict[str, dict[tuple[str, str], str]] = {key: {} for key in diseases}
        for key in diseases:
            for sign in self._signs[key]:
                if (sign.variable, sign.direction) in findings:
                    present[key][sign.variable, sign.direction] = sign.meaning
        supported = [key for key in diseases if present[key]]
        chosen = {key: [self._best(present[key], findings)] for key in supported}
        sentences = self._lab_sentences(chosen, present, findings, diseases, writer)
        if count_words(sentences) > self._wording.lab_budget:
            chosen = _shared(chosen, present)
            sentences = self._lab_sentences(chosen, present, findings, diseases, writer)
        for key in supported:
            rest = {sign: why for sign, why in present[key].items() if sign[0] != chosen[key][0][0]}
            if not rest or len(chosen[key]) >= FINDINGS_PER_DISEASE:
                continue
            longer_choice = {**chosen, key: [*chosen[key], self._best(rest, findings)]}
            longer = self._lab_sentences(longer_choice, present, findings, diseases, writer)
            if count_words(longer) <= self._wording.lab_budget:
                chosen, sentences = longer_choice, longer
        return " ".join(sentences), frozenset(supported)

    def _lab_sentences(
        self,
        chosen: Mapping[str, list[tuple[str, str]]],
        present: Mapping[str, Mapping[tuple[str, str], str]],
        findings: Mapping[tuple[str, str], Finding],
        diseases: Sequence[str],
        writer: Writer,
    ) -> list[str]:
        groups: dict[tuple[str, str], list[str]] = {}
        for key, signs in chosen.items():
            for sign in signs:
                groups.setdefault(sign, []).append(key)
        sentences = []
        for sign, keys in groups.items():
            alone = len(keys) == 1 and len(diseases) <= MEANING_DISEASES
            meaning = present[keys[0]][sign] if alone else None
            sentences.append(writer.lab_support(findings[sign], [self._names[key] for key in keys], meaning))
        none = [self._names[key] for key in diseases if key not in chosen]
        return sentences + ([writer.lab_part("none", none)] if none else [])

    def _best(
        self, signs: Mapping[tuple[str, str], str], findings: Mapping[tuple[str, str], Finding]
    ) -> tuple[str, str]:
        found = firmest([findings[sign] for sign in signs], self._rules)
        return found.variable, found.direction

    def _unexplained(self, series: LabSeries, findings: Mapping[tuple[str, str], Finding], writer: Writer) -> str:
        """R_t of a patient without any of the diseases; unmeasured variables are never called normal."""
        strongest = sorted(findings.values(), key=lambda found: -found.weight)[:UNEXPLAINED_FINDINGS]
        sentences = [writer.unexplained(found) for found in strongest]
        moving = {variable for variable, _ in findings}
        stable = [key for key in stable_variables(series, self._range_set) if key not in moving][:NORMAL_VARIABLES]
        if stable:
            sentences.append(writer.normal(stable))
        return " ".join(sentences) if sentences else writer.lab_part("none", ["any of the diseases"])


def _shared(
    chosen: Mapping[str, list[tuple[str, str]]], present: Mapping[str, Mapping[tuple[str, str], str]]
) -> dict[str, list[tuple[str, str]]]:
    """Fewer findings: of those chosen, repeatedly the one that most of the remaining diseases share."""
    result: dict[str, list[tuple[str, str]]] = {}
    while len(result) < len(chosen):
        left = [key for key in chosen if key not in result]
        signs = dict.fromkeys(sign for key in left for sign in chosen[key])
        widest = max(signs, key=lambda sign: sum(sign in present[key] for key in left))
        result.update({key: [widest] for key in left if widest in present[key]})
    return {key: result[key] for key in chosen}


def _another(mentions: Sequence[Mention], chosen: Sequence[Mention]) -> Mention | None:
    """The next best mention: another term in other words, elsewhere in the note."""
    terms = {mention.term for mention in chosen}
    texts = {fold_word(mention.quote) for mention in chosen}
    for mention in mentions:
        apart = all(mention.end <= other.start or mention.start >= other.end for other in chosen)
        if apart and mention.term not in terms and fold_word(mention.quote) not in texts:
            return mention
    return None
