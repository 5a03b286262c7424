"""The report of a tokenizer's tokens that come from patients' texts, for whoever is to share the model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset_builder.storage.files import faults_named, read_json, write_json

TOKENS_REPORT = "tokenizer_tokens.json"


@dataclass(frozen=True)
class TokensReport:
    """The tokens that a tokenizer has from patients' texts.

    Args:
        patients: Number of patients whose texts it was trained on.
        min_patients: Every token of more than one byte occurs in the texts of at least so many of them. The names of
            diseases and the markers of a target, which are tokens as well, are not from patients.
        spanning_words: The tokens that span words, with the number of patients in whose texts each occurs.
    """

    patients: int
    min_patients: int
    spanning_words: Mapping[str, int]

    def write(self, folder: Path) -> None:
        """Write the folder's `tokenizer_tokens.json`, the rarest tokens first."""
        ordered = sorted(self.spanning_words.items(), key=lambda pair: (pair[1], pair[0]))
        write_json(
            folder / TOKENS_REPORT,
            {
                "patients": self.patients,
                "min_patients": self.min_patients,
                "spanning_words": [{"token": token, "patients": count} for token, count in ordered],
            },
        )

    @property
    def sentence(self) -> str:
        """The sentence of a model card."""
        return (
            f"Tokenizer: made of the texts of {self.patients:,} training patients. Every token occurs in the texts of "
            f"at least {self.min_patients} of them; the {len(self.spanning_words):,} tokens that span words, none of "
            f"which has a digit, are listed in `{TOKENS_REPORT}` with their numbers of patients."
        )


def read_tokens_report(folder: Path) -> TokensReport | None:
    """Read a model folder's report; None where its tokenizer was not trained on patients' texts.

    Raises:
        InputDataError: The file is damaged.
    """
    path = folder / TOKENS_REPORT
    if not path.is_file():
        return None
    content = read_json(path)
    with faults_named(path):
        tokens = {one["token"]: one["patients"] for one in content["spanning_words"]}
        return TokensReport(content["patients"], content["min_patients"], tokens)
