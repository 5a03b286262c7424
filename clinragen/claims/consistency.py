"""Where the sentences of a rationale disagree with each other, or with the list of diagnoses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from clinragen.claims.argument_words import NOTE, SERIES
from clinragen.claims.arguments import SentenceArguments

_SOURCES = {NOTE: "the note", SERIES: "the series"}


def find_disagreements(
    sentences: Sequence[SentenceArguments], names: Mapping[str, str], listed: Collection[str] | None = None
) -> list[tuple[str, ...]]:
    """The faults of each sentence, in words; an entry is empty where a sentence has none.

    Two sentences disagree if one argues for a disease by the note (or the series) and another says that the note (the
    series) as a whole does not point to it. The later one has the fault. An argument for a disease that is not listed
    is a fault as well, and so is "no disease is diagnosed" where one is.

    Args:
        sentences: What the sentences argue, from `clinragen.claims.arguments.read_arguments`.
        names: Names of the diseases by key.
        listed: Keys of the listed diagnoses; None without a list.
    """
    affirmed: set[tuple[str, str]] = set()
    denied: set[tuple[str, str]] = set()
    result = []
    for sentence in sentences:
        faults: list[str] = []
        if sentence.undiagnosed and listed:
            faults.append("a disease is among the diagnoses")
        for argument in sentence.arguments:
            for key in argument.diseases:
                if not argument.negated:
                    if listed is not None and key not in listed:
                        faults.append(f"it argues for {names[key]}, which is not among the diagnoses")
                    if (argument.source, key) in denied:
                        faults.append(f"{_SOURCES[argument.source]} was said not to point to {names[key]}")
                    affirmed.add((argument.source, key))
                elif argument.is_whole:
                    places = {(source, key) for source in _SOURCES if argument.source in (source, "")}
                    faults += [
                        f"{_SOURCES[source]} was said to point to {names[key]}"
                        for source, _ in sorted(places & affirmed)
                    ]
                    denied |= places
        result.append(tuple(dict.fromkeys(faults)))
    return result
