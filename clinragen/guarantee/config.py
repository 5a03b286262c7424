"""Settings of a guarantee. Nothing heavy is imported here: the command line reads this file for `--help`."""

from __future__ import annotations

from dataclasses import dataclass

from dataset_builder.storage.config_fields import LARGEST_SEED, check_values, setting

ALPHAS = (0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class GuaranteeConfig:
    """Which bounds are wanted, and how they are tried.

    Raises:
        SettingsError: A value has the wrong type or is out of its range.
    """

    alpha: float = setting(
        0.1, help="Bound on the risk of the thresholds that are written.", at_least=0.001, at_most=0.999
    )
    delta: float = setting(0.05, help="How often, at most, a bound may fail.", at_least=0.001, at_most=0.999)
    resplits: int = setting(
        100, help="Divisions of the patients into calibration and test on which the bounds are tried.", at_least=10
    )
    seed: int = setting(0, help="Seed of these divisions.", at_least=0, at_most=LARGEST_SEED)

    def __post_init__(self) -> None:
        check_values(self)
