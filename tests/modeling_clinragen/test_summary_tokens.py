"""Summary tokens: what they know of a series, computed a second time from the measurements themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from modeling_clinragen.errors import SettingsError
from modeling_clinragen.summary_encoder_clinragen import (
    NO_BOUND,
    QUARTER_STATISTICS,
    SUMMARY_STATISTICS,
    summary_statistics,
)

Series = dict[str, np.ndarray]


def by_hand(hours: np.ndarray, values: np.ndarray, low: float, high: float, end: float) -> dict[str, float]:
    """The statistics of one variable; `values` are normalised, NaN where not measured; `end` is the last hour."""
    seen = ~np.isnan(values)
    if not seen.any():
        return {name: float(name == "missing") for name in SUMMARY_STATISTICS}
    x, y = hours[seen] / 24, values[seen]
    slope = np.polyfit(x, y, 1)[0] if len(np.unique(x)) > 1 else 0.0
    return {
        "log_count": np.log1p(len(y)),
        "share_observed": len(y) / len(values),
        "missing": 0.0,
        "first": y[0],
        "last": y[-1],
        "minimum": y.min(),
        "maximum": y.max(),
        "mean": y.mean(),
        "deviation": y.std(),
        "slope": np.clip(slope, -8, 8),
        "share_low": (y < low).mean(),
        "share_high": (y > high).mean(),
        "day_first": x[0],
        "day_last": x[-1],
        "day_minimum": x[y.argmin()],
        "day_maximum": x[y.argmax()],
        "step_mean": np.abs(np.diff(y)).mean() if len(y) > 1 else 0.0,
        "step_maximum": np.abs(np.diff(y)).max() if len(y) > 1 else 0.0,
        **of_quarters(hours[seen] / end, y - y.mean()),
    }


def of_quarters(place: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The statistics of the readings in each quarter; `place` runs from 0 to 1, where the stay's last reading is."""
    found = {}
    for number in range(4):
        inside = y[(place >= number / 4) & ((place < (number + 1) / 4) | (number == 3))]
        table = (
            (len(inside) / len(y), inside.mean(), inside.min(), inside.max(), inside.std())
            if len(inside)
            else 5 * (0,)
        )
        found |= {f"{name}_{number + 1}": value for name, value in zip(QUARTER_STATISTICS, table, strict=True)}
    return found


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_the_measurements(
    seed: int, make_processor: Callable[..., Any], make_series: Callable[..., Series]
) -> None:
    extractor = make_processor().feature_extractor
    series = make_series(9 + seed, seed)
    series["values"][:, 3] = np.nan
    features = extractor([series, make_series(20, 50)], return_tensors="pt")
    width = len(extractor.variables)
    bounds = torch.tensor([[-0.5, 0.7]] * (width - 1) + [[-NO_BOUND, NO_BOUND]])
    found = summary_statistics(features["lab_features"].double(), features["lab_mask"], bounds.double())[0]
    scaled = np.clip((series["values"] - extractor.means) / extractor.stds, -8, 8)
    for column in range(width):
        end = series["hours"][(~np.isnan(series["values"])).any(axis=1)].max()
        expected = by_hand(series["hours"], scaled[:, column], *bounds[column].tolist(), end)
        for name, value in zip(SUMMARY_STATISTICS, found[column].tolist(), strict=True):
            assert value == pytest.approx(expected[name], abs=2e-5), (column, name)


def test_a_token_follows_the_patches_for_every_variable_and_reads_the_whole_series(
    make_model: Callable[..., Any], make_processor: Callable[..., Any], make_series: Callable[..., Series]
) -> None:
    processor, variables = make_processor(), 11
    model, plain = make_model(lab_summary=True), make_model()
    series = make_series(10)
    inputs = processor(["fever"], [series])
    vectors, mask, _ = model.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])
    patches, _, _ = plain.get_lab_vectors(inputs["lab_features"], inputs["lab_mask"])
    assert vectors.shape[1] == patches.shape[1] + variables
    assert mask.all()
    # One reading in the middle changes the token of its variable, and no other token.
    row, column = np.argwhere(~np.isnan(series["values"]))[7]
    series["values"][row, column] *= 3
    changed = processor(["fever"], [series])
    others, _, _ = model.get_lab_vectors(changed["lab_features"], changed["lab_mask"])
    differs = (vectors - others).abs().amax(dim=-1)[0, patches.shape[1] :] > 1e-6
    assert differs.nonzero().flatten().tolist() == [column]


def test_a_stay_without_a_series_has_no_summary_tokens(
    make_model: Callable[..., Any], make_processor: Callable[..., Any], make_series: Callable[..., Series]
) -> None:
    model, processor = make_model(lab_summary=True), make_processor()
    alone, own = model.encode(**processor(["fever and chills"], [None]))
    alone = alone[0][own[0].bool()]
    beside, mask = model.encode(**processor(["fever and chills", "cough"], [None, make_series(12)]))
    kept = beside[0][mask[0].bool()]
    assert len(kept) == len(alone)
    assert torch.allclose(kept, alone, atol=1e-5)


def test_the_paper_layout_has_nothing_to_summarise(make_model: Callable[..., Any]) -> None:
    lab = {"num_input_channels": 11, "patch_length": 4, "patch_stride": 4, "context_length": 64, "d_model": 16}
    with pytest.raises(SettingsError, match="lab_summary needs the lab layout 'patches'"):
        make_model(lab_summary=True, lab_layout="paper", lab_config=lab)
