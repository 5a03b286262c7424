"""Lists of sums, the catalogue of datasets, and the command that downloads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from download_site import CHART, SECRETS, get, refused, state
from hypothesis import given
from hypothesis import strategies as st
from physionet_site import PASSWORD, USER, Site
from tiny_mimic import SHIPPED

from dataset_builder.download import dataset_names
from dataset_builder.download.catalogue import find_dataset, needed_files, parse_checksums
from dataset_builder.sources.spec import load_source
from modeling_clinragen.errors import InputDataError, SettingsError


@pytest.mark.parametrize(
    "path",
    ["../evil", "hosp/../../evil", "/etc/passwd", "a/./b", "a//b", "..\\evil", "C:evil", "hosp/..", "~\x00", "a\x1bb"],
)
def test_a_list_with_a_path_outside_its_folder_is_refused(site: Site, tmp_path: Path, path: str) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] += f"{'0' * 64} {path}\n".encode()
    refused(site, tmp_path, "SHA256SUMS.txt", "outside its own folder")
    assert not (tmp_path / "mimiciv").exists()


@given(st.text(max_size=60))
def test_a_listed_path_stays_in_its_folder_whatever_it_is(path: str) -> None:
    try:
        sums = parse_checksums(f"{'a' * 64}  {path}\n{'b' * 64} hosp/x.csv", "address")
    except InputDataError:
        return
    base = Path("/data/folder")
    for name in sums:
        assert Path(os.path.normpath(base / name)).is_relative_to(base)
        assert os.path.normpath(base / name) == str(base / name)


@pytest.mark.parametrize(
    "text", ["", "\n", "<html>Please log in</html>", "abc hosp/x", f"{'g' * 64} x", f"{'a' * 64}"]
)
def test_what_is_no_list_of_sums_is_named(site: Site, tmp_path: Path, text: str) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = text.encode()
    refused(site, tmp_path, "SHA256SUMS.txt", "check the base URL")


def test_sums_are_read_in_the_forms_that_tools_write() -> None:
    digest = "A1" * 32
    for line in (f"{digest} a/b.csv", f"{digest}  a/b.csv", f"{digest} *a/b.csv\r"):
        assert parse_checksums(line, "address") == {"a/b.csv": digest.lower()}
    assert parse_checksums(f"{digest}  with space.csv\n", "address") == {"with space.csv": digest.lower()}


def test_binary_and_endless_lists_are_refused(site: Site, tmp_path: Path) -> None:
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = b"\xff\xfe" * 100
    refused(site, tmp_path, "is not text")
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = bytes(17 << 20)
    refused(site, tmp_path, "far larger")


def test_a_missing_table_dataset_or_version_is_named(site: Site, tmp_path: Path) -> None:
    refused(site, tmp_path, "'mimic-v'", "mimic-iv-demo", dataset="mimic-v")
    refused(site, tmp_path, "'9.9'", "3.1", version="9.9")
    refused(site, tmp_path, "404", "2.2/SHA256SUMS.txt", version="2.2")
    listed = site.files["mimiciv/3.1/SHA256SUMS.txt"].decode().splitlines()
    kept = [line for line in listed if "icustays" not in line]
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = "\n".join(kept).encode()
    refused(site, tmp_path, "'icustays'")
    site.files["mimiciv/3.1/SHA256SUMS.txt"] = "\n".join(listed).encode()
    del site.files["mimiciv/3.1/" + CHART]
    refused(site, tmp_path, "chartevents.csv.gz", "404")


def test_tables_are_found_whatever_their_case_and_packing() -> None:
    source = load_source("mimic-iv", SHIPPED)
    sums = dict.fromkeys(["HOSP/Patients.CSV", "hosp/patients.csv.gz", "hosp/labevents.csv", "x/patients.parquet"], "")
    tables, licences = needed_files({**sums, "LICENSE.txt": "", "other/LICENSE.txt": ""}, source)
    assert tables == {"patients": "hosp/patients.csv.gz", "labevents": "hosp/labevents.csv"}
    assert licences == ["LICENSE.txt"]


@pytest.mark.parametrize("dataset", ["mimic-iii-demo", "eicu-demo"])
def test_the_other_datasets_come_in_their_own_layout(site: Site, tmp_path: Path, dataset: str) -> None:
    spec = find_dataset(dataset)
    tables = load_source(spec.source, SHIPPED).tables.values()
    names = {f"{table.file}.csv": b"rows" for table in tables} | {"LICENSE.txt": b"Open Database License"}
    site.publish(spec.parts[0].slug, spec.parts[0].version, {**names, "sqlite/all.sqlite3.gz": b"not needed"})
    done = get(site, tmp_path, dataset)
    assert state(done.root).keys() == {*names, "SHA256SUMS.txt"}
    assert done.root == tmp_path / spec.parts[0].slug / spec.parts[0].version


def test_the_catalogue_has_the_datasets_that_are_promised() -> None:
    assert dataset_names() == ["mimic-iv-demo", "mimic-iii-demo", "eicu-demo", "mimic-iv", "mimic-iii"]
    for name in dataset_names():
        spec = find_dataset(name)
        assert spec.credentialed == (not name.endswith("-demo"))
        assert spec.base_url.startswith("https://")
        for part in spec.parts:
            assert part.page == f"https://physionet.org/content/{part.slug}/{part.version}/"
    with pytest.raises(SettingsError):
        find_dataset("mimic-iv", "1.0")
    assert json.dumps([part.slug for part in find_dataset("mimic-iv").parts]) == '["mimiciv", "mimic-iv-note"]'


def test_the_command_fetches_asks_once_and_says_what_to_do_next(site: Site, tmp_path: Path) -> None:
    words = ["download", "mimic-iv", "--output", str(tmp_path / "data"), "--base-url", site.url]
    script = str(Path(sys.executable).parent / "clinragen")
    environment = {**os.environ, "PHYSIONET_USER": USER, "PHYSIONET_PASSWORD": PASSWORD}
    done = subprocess.run([script, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "data" / "mimiciv" / "3.1"
    assert f"Next: clinragen build mimic-iv --root {root} --note-policy POLICY --output DIR" in done.stdout
    assert (root / CHART).is_file()
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
    again = subprocess.run([script, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert "0 files fetched" in again.stdout


def test_a_wrong_password_ends_the_command_in_one_line(site: Site, tmp_path: Path) -> None:
    words = ["download", "mimic-iv", "--output", str(tmp_path / "data"), "--base-url", site.url]
    environment = {**os.environ, "PHYSIONET_USER": USER, "PHYSIONET_PASSWORD": "hunter2"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / "clinragen"), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("clinragen: ")]
    assert done.returncode == 1
    assert len(lines) == 1
    assert "Traceback" not in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]
