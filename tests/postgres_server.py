"""Starts a throw-away PostgreSQL server and loads hospitals into it as mimic-code's loaders do."""

from __future__ import annotations

import csv
import gzip
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

SCHEMAS = {"hosp": "mimiciv_hosp", "icu": "mimiciv_icu", "note": "mimiciv_note"}
PASSWORD = "S3CRETPASSW0RD"

# The types that the schemas of mimic-code and eicu-code give these columns; everything else is a text there too.
MIMIC = {
    "integer": """subject_id hadm_id stay_id icustay_id itemid seq_num note_seq row_id labevent_id specimen_id
        caregiver_id microevent_id micro_specimen_id spec_itemid test_seq test_itemid org_itemid ab_itemid
        pharmacy_id poe_seq first_wardid last_wardid cgid""",
    "smallint": "icd_version anchor_age anchor_year hospital_expire_flag warning isolate_num error expire_flag",
    "timestamp": "admittime dischtime deathtime edregtime edouttime intime outtime transfertime",
    "timestamp(0)": "charttime storetime starttime stoptime startdate enddate chartdate dob",
    "date": "dod",
    "double precision": "valuenum ref_range_lower ref_range_upper los dilution_value",
    "real": "doses_per_24_hrs",
    "character(1)": "gender",
    "character(2)": "note_type",
    "character(7)": "icd_code",
    "character varying(200)": "value",
}
EICU = {
    "bigint": """patientunitstayid patienthealthsystemstayid hospitaladmitoffset hospitaldischargeoffset
        unitdischargeoffset observationoffset diagnosisoffset nursingchartoffset respchartoffset labresultoffset
        drugstartoffset pasthistoryoffset pasthistoryenteredoffset sao2 heartrate respiration systemicsystolic
        systemicdiastolic systemicmean""",
    "double precision": "noninvasivesystolic noninvasivediastolic noninvasivemean",
    "numeric(11,4)": "temperature labresult",
    "numeric(10,2)": "admissionweight",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `reader` may read the hospitals and make temporary tables; `owner` may do anything."""

    folder: Path
    port: int

    def url(self, database: str, role: str = "reader") -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database: str) -> str:
        """Over TCP the server asks for a password."""
        return f"postgresql://reader@127.0.0.1:{self.port}/{database}"

    def execute(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.url(database, "owner"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def load(self, database: str, root: Path, schema: str = "mimiciii") -> str:
        """Create a database with the .csv.gz tables below `root`; return the URL of the role that only reads.

        Tables that do not lie in a folder of MIMIC-IV's go to `schema`.
        """
        self.execute("postgres", f"CREATE DATABASE {database}")
        with psycopg.connect(self.url(database, "owner")) as connection:
            for path in sorted(root.rglob("*.csv.gz")):
                _load_table(connection, path, SCHEMAS.get(path.parent.name, schema))
        return self.url(database)


def find_postgres() -> Path | None:
    """The folder of the newest server's programs; Debian keeps them out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[PostgresServer]:
    """A server on a socket in a folder of its own and on a loopback port; both are gone afterwards."""
    # It refuses to run as root, and no other user may look into pytest's own folders.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="clinragen-postgres-"))
    folder.chmod(0o755)
    shutil.chown(folder, user)
    try:
        # Texts sort by the rules of English here: whoever relies on the server's order gets other rows than DuckDB's.
        options = ["-U", "owner", "--no-sync", "--encoding=UTF8", "--auth-local=trust", "--auth-host=scram-sha-256"]
        options += ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
        _run([programs / "initdb", "-D", folder / "data", *options], user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = ["-F", "-k", folder, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=10"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in [programs / "postgres", "-D", folder / "data", *settings]],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
            )
        try:
            server = PostgresServer(folder, port)
            _wait_until_ready(server, process)
            server.execute("postgres", f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: what it holds is thrown away
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder)


def _run(command: list[object], user: str) -> None:
    subprocess.run([str(part) for part in command], user=user, cwd="/", check=True, capture_output=True)


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            psycopg.connect(server.url("postgres", "owner")).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, (server.folder / "log").read_text()
            time.sleep(0.1)
    raise TimeoutError((server.folder / "log").read_text())


def _load_table(connection: psycopg.Connection, path: Path, schema: str) -> None:
    table = sql.Identifier(schema, path.name.removesuffix(".csv.gz").lower())
    listed = EICU if schema == "eicu_crd" else MIMIC
    types = {column: kind for kind, columns in listed.items() for column in columns.split()}
    with gzip.open(path, "rb") as stream:
        header = next(csv.reader([stream.readline().decode()]))
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name.lower()), sql.SQL(types.get(name.lower(), "text")))
            for name in header
        )
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO reader").format(sql.Identifier(schema)))
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, columns))
        connection.execute(sql.SQL("GRANT SELECT ON {} TO reader").format(table))
        with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(table)) as copy:
            while block := stream.read(1 << 20):
                copy.write(block)
