"""One patient's diagnoses and checked rationale."""

from __future__ import annotations

from dataclasses import dataclass

from clinragen.claims.sentences import CheckedSentence


@dataclass(frozen=True)
class VerifiedRationale:
    """One patient's diagnoses and checked rationale.

    Args:
        diagnoses: The listed diseases.
        sentences: The sentences that hold, in order; their spans are in `rationale`.
        withheld: The refused sentences in whose place none that holds could be written.
        draft: The whole text before anything was checked.
        problem: The format error of the draft, if any; nothing is shown then.
        rewritten: How many refused sentences were replaced.
        asked: How many sentences were asked for because evidence was missing.
    """

    diagnoses: tuple[str, ...]
    sentences: tuple[CheckedSentence, ...]
    withheld: tuple[CheckedSentence, ...]
    draft: str
    problem: str | None = None
    rewritten: int = 0
    asked: int = 0

    @property
    def rationale(self) -> str:
        """The sentences that hold, as one text."""
        return " ".join(sentence.text for sentence in self.sentences)
