"""The builder as the `datasets` library knows builders: one class, a configuration per source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builder.cohort.build import build_cohort, locate_for
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.provenance import cohort_fingerprint
from dataset_builder.contract.cohort_splits import CohortSplits
from dataset_builder.contract.definitions import read_vocabulary
from dataset_builder.contract.schema import SPLITS, example_features
from dataset_builder.engines.engine import missing_library_named
from dataset_builder.sources.locate import is_database_url
from dataset_builder.sources.spec import source_names
from dataset_builder.storage.config_fields import make_config
from dataset_builder.storage.files import folder_lock, private_folder
from dataset_builder.storage.governance import read_provenance
from modeling_clinragen.errors import InputDataError, SettingsError


@dataclass
class CohortBuilderConfig(datasets.BuilderConfig):
    """A source (the configuration's name), where its tables are (`data_dir`) and how its cohort is built."""

    cohort: CohortConfig | None = None


class CohortBuilder(datasets.ArrowBasedBuilder):
    """Builds a cohort and offers it as a `DatasetDict`; the configuration's name is the source's.

    The cache is keyed by a fingerprint of the tables and their licence, the settings and the builder's code, so that a
    changed input never meets a stale cache; it is in a folder that only its owner can open.

    Args:
        config_name: Source: "mimic-iii", "mimic-iv" or "eicu".
        data_dir: Folder with the source's tables, or a database's URL.
        cache_dir: Where to keep the result; by default below the cache of the `datasets` library.
        settings: See `CohortConfig`; `note_policy` has no default.

    Raises:
        SettingsError: The source or a setting is unknown, or no `data_dir` is given.
        InputDataError: Tables are missing or damaged, or no stay is left.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIG_CLASS = CohortBuilderConfig
    BUILDER_CONFIGS: ClassVar[list[CohortBuilderConfig]] = [CohortBuilderConfig(name=name) for name in source_names()]

    def __init__(
        self,
        config_name: str,
        data_dir: str | Path | None = None,
        cache_dir: str | Path | None = None,
        **settings: Any,
    ) -> None:
        if config_name not in source_names():
            raise SettingsError(f"unknown source '{config_name}'; choose one of {', '.join(source_names())}")
        if data_dir is None:
            raise SettingsError(f"where are the tables of {config_name}? Give their folder as data_dir")
        chosen = make_config(CohortConfig, settings, "cohort")
        if is_database_url(data_dir):
            with missing_library_named("postgres"):
                from dataset_builder.sources.postgres_catalog import wait_for_counters

            wait_for_counters(str(data_dir))  # by these the fingerprint sees that a table changed
        self._fingerprint = cohort_fingerprint(locate_for(config_name, data_dir, chosen), chosen)
        # A folder of our own: the given one may have other files, which others may read.
        self._kept = private_folder(Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "clinragen")
        super().__init__(
            cache_dir=str(self._kept),
            dataset_name="clinragen-cohort",
            config_name=config_name,
            data_dir=str(data_dir),
            hash=self._fingerprint,
            cohort=chosen,
        )
        self._cohort = chosen

    @property
    def folder(self) -> Path:
        """The cohort folder (parquet, card, provenance) that the dataset is read from; built when it is needed."""
        folder = self._kept / "cohorts" / self._fingerprint
        with folder_lock(folder):
            if not folder.is_dir():
                build_cohort(self.config.name, self.config.data_dir, folder, self._cohort)
        return folder

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="A ClinRaGen cohort: see its README.md and provenance.json.")

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        self.info.features = example_features(read_vocabulary(self.folder))
        # The datasets library refuses a split without a row.
        paths = {split: self.folder / "data" / f"{split}.parquet" for split in SPLITS}
        filled = {split: path for split, path in paths.items() if pq.ParquetFile(path).metadata.num_rows}
        if not filled:
            raise InputDataError(f"{self.folder}: has no examples; build the cohort again")
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"paths": [str(path)]}) for split, path in filled.items()
        ]

    def _generate_tables(self, paths: list[str]) -> Iterator[tuple[int, pa.Table]]:
        number = 0
        for path in paths:
            for batch in pq.ParquetFile(path).iter_batches():
                yield number, pa.Table.from_batches([batch])
                number += 1


def load_cohort(
    source: str, root: str | Path, *, cache_dir: str | Path | None = None, **settings: Any
) -> CohortSplits:
    """Build a cohort, or take it from the cache, as a `datasets.DatasetDict` with the columns of `schema`.

    Args:
        source: "mimic-iii", "mimic-iv" or "eicu".
        root: Folder with the source's tables, or a database's URL.
        cache_dir: Where to keep the result; by default below the cache of the `datasets` library.
        settings: See `dataset_builder.cohort.config.CohortConfig`; for instance `note_policy="structured"`.

    Raises `SettingsError` and `InputDataError` as `CohortBuilder` does.
    """
    builder = CohortBuilder(source, root, cache_dir, **settings)
    builder.download_and_prepare()
    return CohortSplits(builder.as_dataset(), read_provenance(builder.folder), read_vocabulary(builder.folder))
