"""Stage `build`: a cohort from a source's tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dataset_builder.cohort.config import CohortConfig
from dataset_builder.storage.config_fields import setting
from dataset_builder.storage.progress import Report


@dataclass(frozen=True, kw_only=True)
class BuildConfig(CohortConfig):
    """A source and how its cohort is built; see `CohortConfig`."""

    MAY_BE_FILES: ClassVar[tuple[str, ...]] = ("source",)

    source: str = setting(
        help="mimic-iii, mimic-iv, eicu, meds, fhir, challenge-2012, or the path of a source's YAML file."
    )

    @property
    def deciding_content(self) -> Mapping[str, Any]:
        """Of a source's own file the content decides, not where it lies."""
        own = Path(self.source)
        return {"source": own if own.is_file() else self.source}


def run(config: BuildConfig, inputs: Mapping[str, Any], output: Path, report: Report) -> None:
    """Fill `output` with the cohort of the input `tables`."""
    from dataset_builder.cohort.build import fill_cohort

    fill_cohort(output, config.source, inputs["tables"], config, report)
