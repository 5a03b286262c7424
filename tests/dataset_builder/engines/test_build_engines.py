"""The builder gives the same bytes on DuckDB, PostgreSQL and Spark, and each engine's failures are one safe line."""

from __future__ import annotations

import gzip
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from postgres_server import PASSWORD, PostgresServer, find_postgres, postgres_server
from tiny_eicu import TinyEicu
from tiny_mimic import DBP, HR, SPO2, START, TinyMimic, crowd, digests, examples_of, make_cohort

import clinragen
from dataset_builder.cohort.build import locate_for
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.session import ENGINES, connect, number_of, whole_number_of
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import ClinRaGenError, SettingsError

SETTINGS: dict[str, dict[str, Any]] = {
    "hospital": {"source": "mimic-iv", "note_policy": "admission"},
    "demo": {"source": "mimic-iv", "note_policy": "structured"},
    "tricky": {"source": "mimic-iv", "note_policy": "full", "grid": "hourly", "window": "stay"},
    "demo_iii": {"source": "mimic-iii", "note_policy": "structured"},
    "eicu": {"source": "eicu", "note_policy": "structured", "grid": "hourly", "window": "stay"},
    "demo_eicu": {"source": "eicu", "note_policy": "structured"},
}
SPARK = ("hospital", "demo", "eicu")  # the other tricky cells are read by Spark further down


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


def tricky() -> TinyMimic:
    """What the engines' own readers and casts see differently."""
    hospital = TinyMimic()
    note = 'Chief Complaint:\n"Pain", she said,\nafter\r\na fall; 5\\n6 \\" °C, ß\n\nAllergies:\nNone'
    hospital.stay(1, codes=((" 041.4 ", 9), ("i50.9", 10), ("03843", 9)), note=note, hours=60.4)
    hospital.stay(2, codes=(("0389", 9), ("41401", 9)), note="")
    hospital.stay(3, start=START.replace(microsecond=900_000))
    # Of two notes at one time and place the first in the order of character codes is taken: capitals before small.
    for text in ("b later", "a small", "B capital", "É accent"):
        hospital.note(103, f"Chief Complaint:\n{text}")
    texts = [
        "72",
        " 73 ",
        "74%",
        ".5",
        "75.",
        "7.6e1",
        "+77",
        "1_000",
        "0x40",
        "78d",
        "1e400",
        "nan",
        "inf",
        "8 1",
        "--",
    ]
    for hour, text in enumerate(texts):
        hospital.chart(1, hour + 0.1, HR, text)
    for number in (1, 2, 3):
        for event in range(40):
            # Thirds of an hour: quotients that no binary number holds.
            hospital.chart(number, event / 3, (HR, DBP, SPO2)[event % 3], 60 + (event * 7 * number) % 39 + 0.1)
    hospital.chart(2, None, HR, 80)
    hospital.add("icu/chartevents", charttime=START, itemid=HR, valuenum=80)  # of a stay that nobody knows
    # Fractions of a second are cut off; mimic-code's loader rounds those of chart times.
    for fraction in (".2", ".400"):
        cells = {"charttime": f"2150-03-02 23:00:07{fraction}", "itemid": HR, "value": 90, "valuenum": 90}
        hospital.add("icu/chartevents", subject_id=2, stay_id=1002, **cells)
    for value in (7.1, 7.35, 7.4):
        hospital.lab(3, 5.5, 50820, value, hadm_id=None)
    return hospital


def tricky_eicu() -> TinyEicu:
    """The same for tables with a column per variable, cells of several codes and times in minutes."""
    hospital = TinyEicu()
    hospital.stay(1, codes=("401.9, I10", " 038.9;a41.9/E87.2 ", "", "X, 401.9.9", None), admissionweight=81.55)
    hospital.stay(2, codes=("V45.81\t584.9",), age="> 89", uniquepid="123-45678", gender=None, unitadmitsource="É r")
    hospital.stay(3, codes=("E785",), unitdischargeoffset=29)
    hospital.stay(4, age="")
    for number in (1, 2, 3, None):
        stay = None if number is None else 1000 + number
        for event in range(40):
            cells = {"patientunitstayid": stay, "observationoffset": event * 7 - 3}
            wide = {
                "temperature": 36.65 + event * 2,
                "sao2": event * 3,
                "heartrate": None if event % 3 else 60 + event,
            }
            hospital.add("vitalPeriodic", **cells, **wide)
            hospital.add("vitalAperiodic", **cells, noninvasivesystolic=100.1 + event, noninvasivemean=event)
    for event, text in enumerate(("40", "60%", "0.5", " 1 ", "on", "1e400", "nan", "0x28", "7.35", "21 %")):
        hospital.respiratory(1, event * 11, "FiO2", text)
        hospital.lab(2, event * 11, "pH", None, text)
        hospital.lab(2, event * 11, "glucose", 100.25 + event, text)
    for minutes, name in ((-10, "COPD"), (-10, " aspirin "), (0, "late"), (None, "undated")):
        entered = {"pasthistoryoffset": 0, "pasthistoryenteredoffset": minutes}
        hospital.chart("pastHistory", 1, **entered, pasthistoryvalue=name)
        hospital.chart("medication", 1, drugstartoffset=minutes, drugname=name)
    return hospital


@pytest.fixture(scope="session")
def roots(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from dataset_builder.synthetic.hospital import write_hospital

    folder = tmp_path_factory.mktemp("roots")
    write_hospital(folder / "hospital", patients=60, seed=3)
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


def same(provenance: Any, other: Any) -> None:
    """Every count is the same; what names files and licences may differ."""
    keys = ("cohort", "patients", "examples", "series", "items", "labels", "positives", "notes", "leakage_audit")
    assert {key: provenance[key] for key in keys} == {key: other[key] for key in keys}


def refused(root: Path | str, output: Path, **settings: Any) -> str:
    """The one line of the error a build ends with; nothing of the output may be left."""
    with pytest.raises(ClinRaGenError) as caught:
        make_cohort("mimic-iv", root, output, **{"note_policy": "full", "engine": "postgres", **settings})
    assert not list(output.parent.glob(f"{output.name}*"))
    message = str(caught.value)
    assert "\n" not in message
    assert PASSWORD not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def test_what_duckdb_makes_of_tricky_cells(expected: Any) -> None:
    folder, provenance = expected("tricky")
    rows = examples_of(folder)
    assert '"Pain", she said,' in rows[1]["note"]
    assert rows[2]["note"] == ""
    assert rows[3]["note"].endswith("B capital")
    assert rows[3]["lab_hours"] == list(range(14))  # the last event is 13 hours after the second the stay began in
    log = next(entry for entry in provenance["items"] if entry["item"] == str(HR))
    assert log["rejected"] == {"unknown_stay": 1, "no_time": 1, "not_a_number": 8}
    assert log["used"] == 3 * 14 + 7 + 2


@pytest.mark.parametrize("name", SETTINGS)
def test_postgres_gives_the_same_bytes(
    name: str, server: PostgresServer, databases: dict[str, str], expected: Any, tmp_path: Path
) -> None:
    folder, of_duckdb = expected(name)
    found = make_cohort(root=databases[name], output=tmp_path / "cohort", engine="postgres", **SETTINGS[name])
    assert digests(tmp_path / "cohort") == digests(folder)
    same(found, of_duckdb)
    assert found["version"] == "unknown"
    assert found["credentialed"] is True
    assert found["engine"] == "postgres"
    assert "reader" not in (tmp_path / "cohort" / "provenance.json").read_text()


@pytest.mark.parametrize("name", SPARK)
@pytest.mark.usefixtures("java")
def test_spark_gives_the_same_bytes(
    name: str, roots: dict[str, Path], expected: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, of_duckdb = expected(name)
    found = make_cohort(root=roots[name], output=tmp_path / "cohort", engine="spark", **SETTINGS[name])
    assert digests(tmp_path / "cohort") == digests(folder)
    same(found, of_duckdb)
    # Nothing in the terminal, nothing beside the output, and no session left for others to find.
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]
    from pyspark.sql import SparkSession

    assert SparkSession.getActiveSession() is None


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_parquet_and_plain_csv_give_the_same_bytes(
    engine: str, roots: dict[str, Path], expected: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "spark":
        request.getfixturevalue("java")
    root = tmp_path / "a b,%20#ü"
    root.mkdir()
    for path in roots["tricky"].rglob("*.csv.gz"):
        stem = path.name.removesuffix(".csv.gz")
        if stem in ("patients", "labevents"):
            shutil.copy(path, root)
        elif stem in ("diagnoses_icd", "discharge", "chartevents"):
            options = {"convert_options": pyarrow.csv.ConvertOptions(column_types={"icd_code": "string"})}
            parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
            pyarrow.parquet.write_table(
                pyarrow.csv.read_csv(path, parse_options=parse, **options),
                root / f"{stem}.parquet",
                coerce_timestamps="us",  # Spark reads no nanoseconds
            )
        else:
            (root / f"{stem}.csv").write_bytes(gzip.decompress(path.read_bytes()))
    make_cohort(root=root, output=tmp_path / "cohort", engine=engine, **SETTINGS["tricky"])
    assert digests(tmp_path / "cohort") == digests(expected("tricky")[0])


# Digits, what the engines' own casts take beside them, and characters that one of them takes for a blank or an end.
NUMBER_LIKE = st.one_of(
    st.text("0123456789+-.eE _xdfinIN%,\t\n\v\f\r\x1c\x85\xa0\u2028\u0663", max_size=8),
    st.from_regex(
        r"[ \t\n\v\f\r]?[+-]?[0-9]{0,20}[.]?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?[ \n\x85\u2028]?", fullmatch=True
    ),
)


def numbers_of(text: str) -> tuple[float | None, int | None]:
    """A text as a decimal and as a whole number, by the rules that `dataset_builder.cohort.session` documents."""
    bare = text.strip(" \t\n\v\f\r")
    decimal = re.fullmatch(r"[+-]?([0-9]{1,30}\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?", bare)
    whole = re.fullmatch(r"([+-]?[0-9]{1,18})(\.0*)?", bare)
    return float(bare) if decimal else None, int(whole[1]) if whole else None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_is_the_same_number_everywhere(
    engine: str, roots: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "spark":
        request.getfixturevalue("java")
    root = request.getfixturevalue("databases")["tricky"] if engine == "postgres" else roots["tricky"]
    names = (f"numbers_{number}" for number in itertools.count())
    with connect(
        engine, locate_for("mimic-iv", root, CohortConfig(note_policy="full", engine=engine)), tmp_path
    ) as con:

        @settings(max_examples=8, deadline=None)
        @given(texts=st.lists(NUMBER_LIKE, min_size=100, max_size=100))
        @example(
            texts=["7\x85", "7\u2028", "7\n", "\v7", "12.0 ", "12.", "1_0", "0x7", "1e400", "9" * 18, "9" * 19, "-0.0"]
        )
        def check(texts: list[str]) -> None:
            table = ibis.memtable(pa.table({"index": range(len(texts)), "text": pa.array(texts, pa.string())}))
            read = table.select("index", decimal=number_of(table.text), whole=whole_number_of(table.text))
            found = con.keep(next(names), read, None).order_by("index").to_pyarrow().drop("index").to_pylist()
            assert [(row["decimal"], row["whole"]) for row in found] == [numbers_of(text) for text in texts]

        check()


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
    assert "mimiciv_icu.icustays: a cell is not of the type" in message
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


@pytest.mark.usefixtures("java")
def test_spark_names_damaged_files_and_quotes_no_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hospital = crowd(40)
    for row in hospital.rows["note/discharge"]:
        row["text"] = "Chief Complaint:\nUNIQUENOTETEXT" + "x" * 50
    root = hospital.write(tmp_path / "tables")
    stays = root / "icu" / "icustays.csv.gz"
    whole = stays.read_bytes()
    stays.write_bytes(gzip.compress(gzip.decompress(whole) + b"1,2,UNIQUENOTETEXT\n"))
    messages = [refused(root, tmp_path / "cohort", engine="spark")]
    stays.write_bytes(whole[:-30])
    messages.append(refused(root, tmp_path / "cohort", engine="spark"))
    stays.write_bytes(b"")
    messages.append(refused(root, tmp_path / "cohort", engine="spark"))
    shutil.copytree(root, tmp_path / "tables[1]")
    assert "rename the folder" in refused(tmp_path / "tables[1]", tmp_path / "cohort", engine="spark")
    assert all("icustays.csv.gz" in message for message in messages)
    assert "UNIQUENOTETEXT" not in "".join([*messages, *capfd.readouterr()])


def test_without_java_spark_says_what_to_install(tmp_path: Path) -> None:
    root = crowd(1).write(tmp_path / "tables")
    script = (
        "import sys; from pathlib import Path; from dataset_builder.cohort.build import build_cohort\n"
        "from dataset_builder.cohort.config import CohortConfig\n"
        "from modeling_clinragen.errors import SettingsError\n"
        "try:\n"
        "    config = CohortConfig(note_policy='full', engine='spark')\n"
        "    build_cohort('mimic-iv', Path(sys.argv[1]), Path(sys.argv[2]), config)\n"
        "except SettingsError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), str(tmp_path / "cohort")],
        env={**os.environ, "JAVA_HOME": str(tmp_path / "nowhere")},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install Java 17" in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_an_engine_that_cannot_read_the_root_names_the_one_that_can(tmp_path: Path) -> None:
    root = crowd(1).write(tmp_path / "tables")
    with pytest.raises(SettingsError, match="duckdb, postgres, spark"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full", engine="sqlite")
    with pytest.raises(SettingsError, match="postgresql://"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full", engine="postgres")
