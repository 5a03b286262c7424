"""Which tokens of a tokenizer are words of so few patients that they should not be published."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path

from trainers.tokens_report import read_tokens_report


def rare_tokens(folder: Path, texts: Iterable[tuple[Hashable, str]], fewest_patients: int) -> dict[str, int]:
    """The tokens of a model folder's tokenizer that occur in the texts of at least one but of too few patients.

    A tokenizer that came with a pretrained language model is not made of patients' words; its tokens are its own.

    Args:
        folder: The model folder.
        texts: What the tokenizer was trained on, with the patient whom each text is about.
        fewest_patients: From which number of patients on a token is common.

    Returns:
        The tokens as text, with the number of patients.

    Raises:
        InputDataError: The tokenizer's report is damaged.
    """
    if read_tokens_report(folder) is None:
        return {}
    from transformers import AutoTokenizer

    from modeling_clinragen.loading_clinragen import load_part

    tokenizer = load_part(AutoTokenizer, folder)
    given = set(tokenizer.get_added_vocab()) | set(tokenizer.all_special_tokens)
    names = [name for name in tokenizer.get_vocab() if name not in given and len(name) > 1]
    decode = tokenizer.backend_tokenizer.decoder.decode
    tokens = {token for token in (decode([name]) for name in names) if "\ufffd" not in token}
    read = [(patient, " ".join(text.split())) for patient, text in texts]
    # Most tokens are common and settled by how the texts are cut; the rest are looked for in every text.
    holders: dict[str, set[Hashable]] = {token: set() for token in tokens}
    for start in range(0, len(read), 1000):
        batch = read[start : start + 1000]
        cut = tokenizer([text for _, text in batch], add_special_tokens=False)["input_ids"]
        for (patient, _), ids in zip(batch, cut, strict=True):
            for name in tokenizer.convert_ids_to_tokens(sorted(set(ids))):
                known = holders.get(decode([name])) if name not in given else None
                if known is not None and len(known) < fewest_patients:
                    known.add(patient)
    for token, known in holders.items():
        for patient, text in read:
            if len(known) >= fewest_patients:
                break
            if patient not in known and token in text:
                known.add(patient)
    return {token: len(known) for token, known in sorted(holders.items()) if 0 < len(known) < fewest_patients}
