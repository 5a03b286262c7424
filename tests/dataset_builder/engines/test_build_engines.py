"""The builder gives the same bytes on DuckDB, PostgreSQL and Spark, and each engine's failures are one safe line."""

from __future__ import annotations

import gzip
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from engine_tables import SETTINGS, SPARK, refused, same
from hypothesis import example, given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer
from tiny_mimic import HR, crowd, digests, examples_of, make_cohort

import clinragen
from dataset_builder.cohort.build import locate_for
from dataset_builder.cohort.cells import form_of, number_of, time_of, whole_number_of
from dataset_builder.cohort.config import CohortConfig
from dataset_builder.cohort.session import ENGINES, connect
from modeling_clinragen.errors import SettingsError


def test_what_duckdb_makes_of_tricky_cells(expected: Any) -> None:
    folder, provenance = expected("tricky")
    rows = examples_of(folder)
    assert '"Pain", she said,' in rows[1]["note"]
    assert rows[2]["note"] == ""
    assert rows[3]["note"].endswith("B capital")
    assert rows[3]["lab_hours"] == list(range(14))  # the last event is 13 hours after the second the stay began in
    log = next(entry for entry in provenance["items"] if entry["item"] == str(HR))
    assert log["rejected"] == {"unknown_stay": 1, "no_time": 1, "not_a_number": 8, "implausible": 1}
    assert log["used"] == 3 * 14 + 6 + 2


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


# text -> the time in it, to the second, and the form that is told of where there is none
TIME_LIKE = {
    "2150-03-01 09:00:00": ("2150-03-01 09:00:00", "dddd-dd-dd dd:dd:dd"),
    "2150-03-01T09:00": ("2150-03-01 09:00:00", "dddd-dd-ddadd:dd"),
    "\t2150-03-01 09:00:00.25 ": ("2150-03-01 09:00:00", "?dddd-dd-dd dd:dd:dd.dd "),
    "2150-03-01 09:00:00\n": ("2150-03-01 09:00:00", "dddd-dd-dd dd:dd:dd?"),
    "2150-03-01 09:00:00Z": (None, "dddd-dd-dd dd:dd:dda"),
    "2150-03-01 09:00:00+05": (None, "dddd-dd-dd dd:dd:dd+dd"),
    "2150-03-01": (None, "dddd-dd-dd"),
    "3/1/2150 9:00 PM": (None, "d/d/dddd d:dd aa"),
    "Müller, \u0663": (None, "a?aaaa, ?"),
    "": (None, ""),
    "x" * 60: (None, "a" * 40),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_is_the_same_time_and_has_the_same_form_everywhere(
    engine: str, roots: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if engine == "spark":
        request.getfixturevalue("java")
    root = request.getfixturevalue("databases")["tricky"] if engine == "postgres" else roots["tricky"]
    config = CohortConfig(note_policy="full", engine=engine)
    with connect(engine, locate_for("mimic-iv", root, config), tmp_path) as con:
        texts = pa.array(list(TIME_LIKE), pa.string())
        table = ibis.memtable(pa.table({"index": range(len(TIME_LIKE)), "text": texts}))
        read = table.select("index", time=time_of(table.text).truncate("s"), form=form_of(table.text))
        found = con.keep("times", read, None).order_by("index").to_pyarrow().drop("index").to_pylist()
    written = [(row["time"] and f"{row['time']:%Y-%m-%d %H:%M:%S}", row["form"]) for row in found]
    assert dict(zip(TIME_LIKE, written, strict=True)) == TIME_LIKE


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


@pytest.mark.parametrize("engine", ["postgres", "spark"])
def test_a_missing_library_of_an_engine_says_what_to_install(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = {"postgres": "psycopg", "spark": "pyspark"}[engine]
    for name in [*sys.modules]:
        if name.startswith(("dataset_builder.engines", "dataset_builder.sources.postgres_catalog")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    root: Path | str = "postgresql://host/x" if engine == "postgres" else crowd(1).write(tmp_path / "tables")
    with pytest.raises(SettingsError, match=rf"pip install 'clinragen\[{engine}\]'"):
        make_cohort("mimic-iv", root, tmp_path / "cohort", note_policy="full", engine=engine)
    with pytest.raises(SettingsError, match=rf"pip install 'clinragen\[{engine}\]'"):
        clinragen.load_cohort("mimic-iv", root, cache_dir=tmp_path / "cache", note_policy="full", engine=engine)
