"""Runs another package's context rules; started by context_rules.py in an environment that has only that package.

    python context_peers.py negspacy|medspacy CASES ANSWERS

CASES is a JSON list of [text, start, end] (characters of the mention), ANSWERS receives a list of {"negated": bool,
"historical": bool or null}: null where the package has no such rules. Both run in a blank English pipeline with
sentences split at punctuation, the mention set as an entity, and the package's own default rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spacy


def negspacy_reader() -> Callable[[Any], dict[str, bool | None]]:
    """The English term set of negspacy."""
    from negspacy.negation import Negex
    from negspacy.termsets import termset

    nlp = spacy.blank("en")
    sentences = nlp.add_pipe("sentencizer")
    rules = Negex(
        nlp,
        name="negex",
        neg_termset=termset("en").get_patterns(),
        ent_types=[],
        extension_name="negex",
        chunk_prefix=[],
    )

    def read(doc: Any) -> dict[str, bool | None]:
        entity = rules(sentences(doc)).ents[0]
        return {"negated": bool(entity._.negex), "historical": None}

    return read


def medspacy_reader() -> Callable[[Any], dict[str, bool | None]]:
    """The default rules of medspaCy's ConText."""
    import medspacy.context  # noqa: F401  (registers the component)

    nlp = spacy.blank("en")
    sentences = nlp.add_pipe("sentencizer")
    rules = nlp.add_pipe("medspacy_context")

    def read(doc: Any) -> dict[str, bool | None]:
        entity = rules(sentences(doc)).ents[0]
        return {"negated": bool(entity._.is_negated), "historical": bool(entity._.is_historical)}

    return read


READERS = {"negspacy": negspacy_reader, "medspacy": medspacy_reader}


def main() -> None:
    """Read the cases, write the answers."""
    name, cases, answers = sys.argv[1:]
    read = READERS[name]()
    words = spacy.blank("en")
    found = []
    for text, start, end in json.loads(Path(cases).read_text(encoding="utf-8")):
        doc = words.make_doc(text)
        doc.ents = [doc.char_span(start, end, label="FINDING", alignment_mode="expand")]
        found.append(read(doc))
    Path(answers).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
