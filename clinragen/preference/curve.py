"""The curve of a preference training: rewards, claims and length on the same validation patients, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CURVE = "preference_curve.json"


def joined(rounds: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """The curves of several rounds as one, with steps counted through.

    Each entry has its `round` and `step`. Those of the validation patients have `eval_` before each name, and also
    `eval_contradicted_share`, the contradicted share of all claims about the data.
    """
    found: list[dict[str, float]] = []
    before = 0.0
    for number, entries in enumerate(rounds, start=1):
        for entry in entries:
            made = {**entry, "round": number, "step": entry["step"] + before}
            if "eval_claims" in entry:
                made["eval_contradicted_share"] = entry["eval_contradicted"] / max(entry["eval_claims"], 1e-9)
            found.append(made)
        before = max((entry["step"] for entry in found), default=before)
    return found
