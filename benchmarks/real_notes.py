"""Real notes: sections, quotations, negation, what a model reads of a long note, and rationales about them.

    python benchmarks/real_notes.py [RUN] [--reports 200] [--phrases 5] [--explained 40]

Needs the reference data folder (CLINRAGEN_SHARED, by default ../shared): transcribed reports (MTSamples, CC0) and the
87 visit notes of ACI-Bench (train and validation, CC BY 4.0). RUN is the folder of `clinragen quickstart`, whose
model has seen synthetic notes only.

- sections: are sections put together again the note, how much stands under a known heading, and what does the policy
  `admission` leave of it, with words of what came later?
- quotations: does the checker find phrases that are drawn from the note, also with other blanks and capitals, and does
  it refuse phrases with two words exchanged, and phrases of another note?
- negation: a term of the knowledge base directly behind "no", "denies", "denied", "without" or "negative for" must not
  pass for affirmed; one behind "history of", "with", "has", "developed", "due to" and the like is affirmed (where no
  word before it in the sentence denies it, or names a relative). What stands farther from its cue is not counted:
  these are easy cases.
- reading: tokens of a note, how many are read, and whether what is cut ends between sentences.
- rationales: of some notes, without any measurement, as written and as shown.

One thread. Figures go to benchmarks/results/real_notes.json; no text of a note does.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import platform
import re
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from machine import SHARED, commit, processor

from clinragen.claims.check import Checking, PatientChecker
from clinragen.claims.types import CONTRADICTED, SUPPORTED, UNVERIFIABLE
from clinragen.knowledge import load_knowledge
from dataset_builder.cohort.leakage_audit import later_words
from dataset_builder.cohort.note_sections import PREAMBLE, UNKNOWN, apply_policy, parse_sections
from dataset_builder.contract.definitions import shipped_definitions
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.note_clinragen import clean_note, find_spans

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "real_notes.json"
VOCABULARY = shipped_definitions().vocabulary
KNOWLEDGE = load_knowledge(None, VOCABULARY)
CHECKING = Checking(VOCABULARY, VOCABULARY.range_set("clinical"), KNOWLEDGE)
NO_SERIES = LabSeries.empty(VOCABULARY)
SEED = 0
WORDS = (3, 8)
"""A drawn phrase has so many words."""
DENIED = r"(?:no|denies|denied|without|negative for)"
AFFIRMED = r"(?:history of|(?:present|complain)(?:s|ed|ing) (?:with|of)|developed|secondary to|due to|has|with)"
OTHERWISE = re.compile(
    r"\b(?:no|not|denie[sd]|without|\w*(?:mother|father)s?|brother|sister|family|questionable)\b[^.;:]*$", re.I
)
"""Words before the cue, in its sentence, by which it affirms nothing of the patient."""
READ = {"256 tokens, as the quickstart's model": 256, "1,475 tokens, as the paper": 1475}
SENTENCE_ENDS = re.compile(r"[.!?;:]$|^$")


def main() -> None:
    """Measure and record."""
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"))
    parser.add_argument("--reports", type=int, default=200, help="reports drawn of MTSamples' 724")
    parser.add_argument("--phrases", type=int, default=5, help="phrases drawn of a note")
    parser.add_argument("--explained", type=int, default=40, help="notes of each set that rationales are written of")
    parser.add_argument("--output", type=Path, default=RESULTS)
    values = parser.parse_args()
    reports = list(_mtsamples())
    drawn = np.sort(np.random.default_rng(SEED).permutation(len(reports))[: values.reports])
    sets = {"MTSamples": [reports[row] for row in drawn], "ACI-Bench": list(_aci_bench())}
    found: dict[str, Any] = {}
    for name, notes in sets.items():
        others = sets["ACI-Bench" if name == "MTSamples" else "MTSamples"]
        found[name] = {
            "notes": len(notes),
            "sections": _timed(lambda notes=notes: sections(notes), len(notes)),
            "quotations": _timed(lambda: quotations(notes, others, values.phrases), len(notes)),  # noqa: B023
            "negation": negation(notes),
            "reading": reading(notes, values.run / "model"),
            "rationales": rationales(notes[: values.explained], values.run / "model"),
        }
        print(f"done: {name}")
    result = {
        "what": "Real notes: MTSamples (CC0) and ACI-Bench (CC BY 4.0)",
        "command": f"python benchmarks/real_notes.py --reports {values.reports} --phrases {values.phrases} "
        f"--explained {values.explained}",
        "sets": found,
        "seed": SEED,
        "threads": 1,
        "versions": {name: version(name) for name in ("clinragen", "torch", "transformers")},
        "commit": commit(),
        "machine": f"{processor()}, {platform.system()}, Python {platform.python_version()}",
    }
    values.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {values.output}")


def _mtsamples() -> Iterator[str]:
    with gzip.open(SHARED / "notes" / "mtsamples_clinical.csv.gz", "rt", encoding="utf-8", newline="") as stream:
        yield from (row["text"] for row in csv.DictReader(stream))


def _aci_bench() -> Iterator[str]:
    for name in ("train", "valid"):
        with (SHARED / "data" / "aci-bench" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            yield from (row["note"] for row in csv.DictReader(stream))


def _timed(measure: Any, notes: int) -> dict[str, Any]:
    started = time.process_time()
    result = measure()
    return {**result, "milliseconds_per_note": round(1000 * (time.process_time() - started) / notes, 2)}


def sections(notes: Sequence[str]) -> dict[str, Any]:
    """How notes fall into sections, and what the policy `admission` shows of them."""
    counts = {"put_together_again": 0, "with_a_known_heading": 0, "admission_part_is_empty": 0}
    characters = {"known": 0, "unknown": 0, "preamble": 0}
    shares, by_kind = [], dict.fromkeys(later_words(), 0)
    for text in notes:
        parts = parse_sections(text)
        counts["put_together_again"] += "".join(part.heading + part.body for part in parts) == text
        counts["with_a_known_heading"] += any(part.name not in (UNKNOWN, PREAMBLE) for part in parts)
        for part in parts:
            kind = {UNKNOWN: "unknown", PREAMBLE: "preamble"}.get(part.name, "known")
            characters[kind] += len(part.heading + part.body)
        shown = apply_policy(text, "admission")
        counts["admission_part_is_empty"] += not shown
        shares.append(min(1.0, len(shown) / max(1, len(clean_note(text)))))
        in_one_line = " ".join(shown.lower().split())
        for kind, words in later_words().items():
            by_kind[kind] += any(begin in in_one_line and pattern.search(in_one_line) for begin, pattern in words)
    total = sum(characters.values())
    return {
        **counts,
        "share_of_characters": {kind: count / total for kind, count in characters.items()},
        "admission_share_of_a_note": _quantiles(shares),
        "admission_parts_with_words_of": by_kind,
    }


def quotations(notes: Sequence[str], others: Sequence[str], phrases: int) -> dict[str, Any]:
    """Phrases that stand in the note and phrases that do not, quoted, and which the checker finds."""
    rng = np.random.default_rng(SEED)
    asked = dict.fromkeys(("verbatim", "other blanks and capitals", "two words exchanged", "of another note"), 0)
    found = dict(asked)
    elsewhere = [phrase for text in others for phrase in _phrases(clean_note(text), 2, rng)]
    for text in notes:
        note = clean_note(text)
        checker = PatientChecker(NO_SERIES, note, CHECKING)
        for phrase in _phrases(note, phrases, rng):
            words = phrase.split()
            exchanged = " ".join([*words[:-2], words[-1], words[-2]])
            foreign = elsewhere[int(rng.integers(len(elsewhere)))]
            made = {
                "verbatim": phrase,
                "other blanks and capitals": "  ".join(words).swapcase(),
                "two words exchanged": exchanged,
                "of another note": foreign,
            }
            for kind, quoted in made.items():
                absent = kind in ("two words exchanged", "of another note")
                if absent and " ".join(quoted.lower().split()) in " ".join(note.lower().split()):
                    continue
                asked[kind] += 1
                claims = [claim for claim in checker.read(f'The note says "{quoted}".').claims if claim.kind == "note"]
                found[kind] += bool(claims) and claims[0].evidence.reason != "the note does not contain these words"
    return {kind: {"asked": asked[kind], "found": found[kind]} for kind in asked}


def _phrases(note: str, count: int, rng: np.random.Generator) -> Iterator[str]:
    """Phrases of a note, each within a line and without quotation marks or brackets."""
    lines = [line.split() for line in note.splitlines()]
    lines = [words for words in lines if len(words) >= WORDS[0]]
    for _ in range(count if lines else 0):
        words = lines[int(rng.integers(len(lines)))]
        size = int(rng.integers(WORDS[0], min(WORDS[1], len(words)) + 1))
        start = int(rng.integers(0, len(words) - size + 1))
        phrase = " ".join(words[start : start + size]).strip(" .,;:")
        if len(phrase.split()) >= WORDS[0] and not re.search(r'["“”„«»\[\]]', phrase):
            yield phrase


def negation(notes: Sequence[str]) -> dict[str, Any]:
    """Terms of the knowledge base right behind a word that denies, or affirms, them; only notes that say it once."""
    terms = sorted({term.lower() for term in KNOWLEDGE.all_terms()}, key=len, reverse=True)
    listed = "|".join(re.escape(term) for term in terms)
    counts: dict[str, dict[str, int]] = {}
    for kind, cue in (("denied", DENIED), ("affirmed", AFFIRMED)):
        pattern = re.compile(rf"(?<!\w){cue} (?P<term>{listed})(?!\w)", re.IGNORECASE)
        counted = counts.setdefault(kind, {"mentions": 0, SUPPORTED: 0, CONTRADICTED: 0, UNVERIFIABLE: 0})
        for text in notes:
            note = clean_note(text)
            for found in pattern.finditer(note):
                term = found["term"]
                if kind == "denied" and len(find_spans(note, term)) > 1:
                    continue  # it may be affirmed elsewhere
                if kind == "affirmed" and OTHERWISE.search(note[: found.start()]):
                    continue
                checker = PatientChecker(NO_SERIES, note, CHECKING)
                claims = [claim for claim in checker.read(f'"{term}" was noted.').claims if claim.kind == "note"]
                counted["mentions"] += 1
                counted[claims[0].verdict] += 1
    return counts


def reading(notes: Sequence[str], model: Path) -> dict[str, Any]:
    """How much of a note is read, by the quickstart's tokenizer and at two lengths, and where it is cut."""
    from modeling_clinragen.loading_clinragen import load_part
    from modeling_clinragen.processing_clinragen import ClinRaGenProcessor
    from modeling_clinragen.registration import register_auto_classes

    register_auto_classes()
    processing = load_part(ClinRaGenProcessor, model)
    result: dict[str, Any] = {}
    for name, tokens in READ.items():
        processing.max_source_tokens = tokens
        reports = processing.read_reports(notes, [None] * len(notes))
        cut = [(clean_note(text), one.spans) for text, one in zip(notes, reports, strict=True) if not one.whole]
        ends = [bool(SENTENCE_ENDS.search(note[: spans[0][1]].rstrip())) for note, spans in cut if spans]
        result[name] = {
            "tokens": _quantiles([one.tokens_total for one in reports]),
            "read_whole": sum(one.whole for one in reports),
            "share_read": _quantiles([one.tokens_read / max(1, one.tokens_total) for one in reports]),
            "cut": len(cut),
            "first_part_ends_a_sentence_or_line": sum(ends),
        }
    words = [one.known_words for one in reports if one.known_words is not None]
    return {**result, "words_that_one_token_holds": _quantiles(words)}


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    found = np.quantile(np.array(values, dtype=float), (0.0, 0.1, 0.5, 0.9, 1.0))
    return dict(zip(("least", "10 %", "median", "90 %", "most"), found.round(3).tolist(), strict=True))


def rationales(notes: Sequence[str], model: Path) -> dict[str, Any]:
    """Claims of rationales about real notes without measurements, by verdict, as written and as shown."""
    from clinragen.inference import Explainer

    result: dict[str, Any] = {"notes": len(notes)}
    for way, raw in (("as written", True), ("as shown", False)):
        explainer = Explainer.from_pretrained(model, raw=raw)
        started = time.process_time()
        answers = explainer.explain_many([explainer.patient(text, None) for text in notes])
        seconds = time.process_time() - started
        verdicts = [
            claim.verdict
            for answer in answers
            for sentence in answer.sentences
            for claim in sentence.claims
            if claim.kind not in ("tie", "absence")
        ]
        result[way] = {
            "claims": {one: verdicts.count(one) for one in (SUPPORTED, CONTRADICTED, UNVERIFIABLE)},
            "empty": sum(not answer.rationale.strip() for answer in answers),
            "diseases_listed_per_note": float(np.mean([len(answer.diagnoses) for answer in answers])),
            "seconds_per_note": round(seconds / len(notes), 3),
        }
    return result


if __name__ == "__main__":
    main()
