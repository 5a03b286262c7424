"""`python -m clinragen.claims "text"`: how the checker reads a text, step by step."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from clinragen.claims.check import Checking
from clinragen.claims.explain import explain
from clinragen.knowledge import load_knowledge
from dataset_builder.contract.definitions import load_definitions
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.note_file import read_note
from modeling_clinragen.errors import ClinRaGenError
from modeling_clinragen.vocabulary_clinragen import DEFAULT_RANGE_SET


def main() -> None:
    """Read the arguments and write the lines."""
    parser = argparse.ArgumentParser(prog="python -m clinragen.claims", description="Show how a rationale is read.")
    parser.add_argument("text", help="a rationale, or a sentence of one")
    parser.add_argument("--labs", type=Path, help="CSV of the measurements; without it, nothing is judged")
    parser.add_argument("--note", type=Path, help="text file of the note")
    parser.add_argument("--vocabulary", type=Path, help="folder of your own vocabulary")
    parser.add_argument("--knowledge", type=Path, help="knowledge.json of your own, for the ties to diseases")
    parser.add_argument("--range-set", default=DEFAULT_RANGE_SET, help="what is low, normal and high")
    chosen = parser.parse_args()
    try:
        vocabulary = load_definitions(chosen.vocabulary).vocabulary
        knowledge = None
        if chosen.knowledge is not None or chosen.vocabulary is None:
            knowledge = load_knowledge(chosen.knowledge, vocabulary)
        checking = Checking(vocabulary, vocabulary.range_set(chosen.range_set), knowledge)
        series = None if chosen.labs is None else read_lab_csv(chosen.labs, vocabulary)
        note = None if chosen.note is None else read_note(chosen.note)
        sys.stdout.writelines(f"{line}\n" for line in explain(chosen.text, checking, series, note))
    except ClinRaGenError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
