"""PostgreSQL: the rights that the role needs, the source of the password, and how changed tables are noticed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from engine_tables import SETTINGS, refused
from postgres_server import PASSWORD, PostgresServer
from tiny_mimic import HR, make_cohort

import clinragen
from dataset_builder.storage.progress import Progress


def test_the_role_needs_no_right_but_to_read_and_to_make_temporary_tables(
    server: PostgresServer, databases: dict[str, str], tmp_path: Path
) -> None:
    url = databases["tricky"]
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in ("CREATE TABLE public.t ()", "CREATE SCHEMA s", "DELETE FROM mimiciv_hosp.patients"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    make_cohort(root=url, output=tmp_path / "cohort", engine="postgres", **SETTINGS["tricky"])

    def stop(progress: Progress) -> None:
        if progress.unit == "examples":
            raise InterruptedError

    with pytest.raises(InterruptedError):
        make_cohort(root=url, output=tmp_path / "c", engine="postgres", report=stop, **SETTINGS["tricky"])
    left = (
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relowner = 'reader'::regrole OR (n.nspname LIKE 'pg_temp%' AND c.relkind = 'r')"
    )
    with psycopg.connect(server.url("tricky", "owner")) as connection:
        assert connection.execute(left).fetchone() == (0,)


def test_a_password_comes_from_the_environment_and_from_nowhere_else(
    server: PostgresServer, databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    output = tmp_path / "out" / "cohort"
    url = server.tcp_url("tricky")
    message = refused(url, output)
    assert url in message
    assert "~/.pgpass" in message
    for held in (url.replace("reader@", f"reader:{PASSWORD}@"), f"{url}?password={PASSWORD}"):
        assert "PGPASSWORD" in refused(held, output)
        assert "as text" in refused(Path(held), output)
        assert "is a database" not in refused(held, output, engine="duckdb")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    make_cohort(root=url, output=output, engine="postgres", **SETTINGS["tricky"])
    for path in output.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes()


def test_what_is_wrong_with_a_database_is_named_with_its_cure(
    server: PostgresServer, databases: dict[str, str], tmp_path: Path
) -> None:
    output = tmp_path / "cohort"
    assert "check host" in refused("postgresql://reader@127.0.0.1:1/tricky", output)
    assert "check host" in refused(server.url("nosuchdatabase"), output)
    assert "valid database URL" in refused("postgresql://reader@[::/x", output)

    server.execute("postgres", "CREATE DATABASE empty", "CREATE DATABASE broken TEMPLATE tricky")
    message = refused(server.url("empty"), output)
    assert "'patients'" in message
    assert "no schema mimiciv_hosp, mimiciv_icu, mimiciv_note" in message

    url = server.url("broken")
    server.execute("broken", "ALTER TABLE mimiciv_icu.chartevents RENAME COLUMN valuenum TO value_num")
    assert "mimiciv_icu.chartevents: has no column 'valuenum'" in refused(url, output)
    server.execute("broken", "ALTER TABLE mimiciv_icu.icustays ALTER intime TYPE text USING 'SECRETCELL'")
    message = refused(url, output)
    assert "mimiciv_icu.icustays: 3 of 3 rows cannot be read (no_time: 3, written like aaaaaaaaaa)" in message
    assert "SECRETCELL" not in message
    server.execute("broken", "REVOKE SELECT ON mimiciv_hosp.admissions FROM reader")
    message = refused(url, output)
    assert "mimiciv_hosp.admissions" in message
    assert "GRANT SELECT" in message
    server.execute("broken", "GRANT SELECT ON mimiciv_hosp.admissions TO reader", "DROP TABLE mimiciv_icu.icustays")
    assert "'icustays'" in refused(url, output)
    server.execute("broken", "REVOKE TEMP ON DATABASE broken FROM PUBLIC")
    assert "GRANT TEMP" in refused(url, output)


def test_an_error_in_the_database_quotes_no_row(
    server: PostgresServer, databases: dict[str, str], tmp_path: Path
) -> None:
    # The server's own message quotes the text that is no number.
    server.execute("postgres", "CREATE DATABASE quoting TEMPLATE tricky")
    server.execute(
        "quoting",
        "ALTER TABLE mimiciv_hosp.diagnoses_icd RENAME TO raw",
        "CREATE VIEW mimiciv_hosp.diagnoses_icd AS SELECT (hadm_id || 'SECRETCELL')::int AS hadm_id, icd_code, "
        "icd_version FROM mimiciv_hosp.raw",
        "GRANT SELECT ON mimiciv_hosp.diagnoses_icd TO reader",
    )
    message = refused(server.url("quoting"), tmp_path / "cohort")
    assert "mimiciv_hosp.diagnoses_icd" in message
    assert "SECRETCELL" not in message


def test_a_changed_database_never_meets_a_stale_cohort(
    server: PostgresServer, databases: dict[str, str], tmp_path: Path
) -> None:
    """Two copies of one database, changed alike in different rows, and one of them again from a session that stays."""
    server.execute("postgres", *(f"CREATE DATABASE {name}_copy TEMPLATE tricky" for name in ("left", "right")))
    change = "UPDATE mimiciv_icu.chartevents SET valuenum = 150 WHERE itemid = {} AND stay_id = {}"

    def highest(database: str) -> dict[int, float]:
        splits = clinragen.load_cohort(
            "mimic-iv", server.url(database), cache_dir=tmp_path, note_policy="structured", engine="postgres"
        )
        rows = [row for split in splits.values() for row in split]
        return {row["stay_id"]: max(value or 0 for step in row["lab_values"] for value in step) for row in rows}

    first = highest("left_copy")
    assert max(first.values()) < 150
    server.execute("left_copy", change.format(HR, 1001))
    server.execute("right_copy", change.format(HR, 1002))
    assert highest("left_copy") == {**first, 1001: 150}
    assert highest("right_copy") == {**first, 1002: 150}
    with psycopg.connect(server.url("left_copy", "owner"), autocommit=True) as staying:
        staying.execute(change.format(HR, 1002))
        staying.execute(change.format(HR, 1003))
        assert highest("left_copy") == dict.fromkeys(first, 150)
    built = len(list((tmp_path / "clinragen" / "cohorts").iterdir()))
    assert highest("left_copy") == dict.fromkeys(first, 150)
    assert len(list((tmp_path / "clinragen" / "cohorts").iterdir())) == built == 4


def test_a_database_s_state_follows_its_rows(server: PostgresServer, databases: dict[str, str]) -> None:
    from dataset_builder.sources.postgres_catalog import find_tables

    server.execute("postgres", "CREATE DATABASE changing TEMPLATE tricky")
    server.execute("changing", "CREATE TABLE mimiciv_icu.chartevents_1 () INHERITS (mimiciv_icu.chartevents)")

    def state() -> dict[str, str]:
        found, _ = find_tables(server.url("changing"), ["mimiciv_icu"], ["chartevents", "icustays"])
        return {table.name: table.state for table in found}

    before = state()
    assert state() == before
    server.execute(
        "changing",
        "INSERT INTO mimiciv_icu.chartevents_1 SELECT * FROM ONLY mimiciv_icu.chartevents LIMIT 1",
        "SELECT pg_stat_force_next_flush()",
    )
    after = state()
    assert after["chartevents"] != before["chartevents"]
    assert after["icustays"] == before["icustays"]
    server.execute("changing", "SELECT pg_stat_reset()")
    reset = state()
    server.execute("changing", "SELECT pg_stat_reset()")
    assert len({before["icustays"], reset["icustays"], state()["icustays"]}) == 3
