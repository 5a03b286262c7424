"""Fixtures: a PostgreSQL server, Java, and the tables that all engines read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_tables import SETTINGS, tricky, tricky_eicu
from postgres_server import PostgresServer, find_postgres, postgres_server
from tiny_mimic import make_cohort

# What CI installs must be there; elsewhere the tests say what they need.
unavailable = pytest.fail if os.environ.get("CI") else pytest.skip


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    programs = find_postgres()
    if programs is None:
        unavailable("needs a PostgreSQL server (Debian: apt-get install postgresql)")
    with postgres_server(programs) as running:
        yield running


@pytest.fixture(scope="session")
def java() -> None:
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        unavailable("needs Java 17 for Spark (Debian: apt-get install openjdk-17-jre-headless)")
    # Spark on a few rows is mostly Java warming up: compile less.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


@pytest.fixture(scope="session")
def roots(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from dataset_builder.synthetic.hospital import fill_hospital

    folder = tmp_path_factory.mktemp("roots")
    fill_hospital(folder / "hospital", patients=60, seed=3)
    (folder / "hospital" / "LICENSE.txt").unlink()  # a database has none either
    return {
        "hospital": folder / "hospital",
        "demo": shared / "data" / "mimic-iv-demo",
        "tricky": tricky().write(folder / "tricky"),
        "demo_iii": shared / "data" / "mimic-iii-demo",
        "eicu": tricky_eicu().write(folder / "eicu"),
        "demo_eicu": shared / "data" / "eicu-demo",
    }


@pytest.fixture(scope="session")
def expected(roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any]]:
    """DuckDB's cohort and provenance."""
    made: dict[str, tuple[Path, Any]] = {}

    def build(name: str) -> tuple[Path, Any]:
        if name not in made:
            folder = tmp_path_factory.mktemp("duckdb") / name
            made[name] = folder, make_cohort(root=roots[name], output=folder, **SETTINGS[name])
        return made[name]

    return build


@pytest.fixture(scope="session")
def databases(server: PostgresServer, roots: dict[str, Path]) -> dict[str, str]:
    schemas = {"demo_iii": "mimiciii", "eicu": "eicu_crd", "demo_eicu": "eicu_crd"}
    return {name: server.load(name, root, schemas.get(name, "")) for name, root in roots.items()}
