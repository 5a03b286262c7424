"""Output folders: nobody else's files are replaced, and of several processes one writes at a time."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dataset_builder.storage.files import (
    OUTPUT_MARKERS,
    atomic_folder,
    faults_named,
    folder_lock,
    output_folder,
    read_json,
    read_yaml,
    require_apart,
    write_json,
)
from modeling_clinragen.errors import InputDataError

ROOT = Path(__file__).parents[3]


def write(path: Path, text: str = "new") -> None:
    with atomic_folder(path) as folder:
        (folder / "file").write_text(text)


# --- what a power cut leaves


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """Every path that was put on the disk, with the names in the output's folder at that time."""
    found: list[tuple[str, set[str]]] = []

    def spy(descriptor: int, sync: Any = os.fsync) -> None:
        sync(descriptor)
        where = Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path).as_posix()
        found.append((where, {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}))

    monkeypatch.setattr("os.fsync", spy)
    return found


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, synced: list[tuple[str, set[str]]]) -> None:
    write_json(tmp_path / "a.json", {})
    assert synced == [("a.json.partial", {"a.json.partial"}), (".", {"a.json"})]


def test_a_folder_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, synced: list[tuple[str, set[str]]]) -> None:
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "file").write_text("new")
    before = {name for name, there in synced if there == {"out.partial"}}
    assert before == {"out.partial", "out.partial/sub", "out.partial/sub/file"}
    assert synced[-1] == (".", {"out"})


def test_a_folder_that_cannot_be_synced_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.fsync", refuse)
    write(tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "new"


# --- what may be replaced


@pytest.mark.parametrize("mark", OUTPUT_MARKERS)
def test_what_this_project_wrote_is_replaced(tmp_path: Path, mark: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / mark).write_text("{}")
    write(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out")
    assert (tmp_path / "out" / "file").is_file()


@pytest.mark.parametrize("other", ["thesis.tex", "data/patients.csv", "nested/provenance.json"])
def test_somebody_else_s_folder_stays_as_it_is(tmp_path: Path, other: str) -> None:
    path = tmp_path / "out" / other
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputDataError, match="would be lost"):
        write(tmp_path / "out")
    assert path.read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_copy_beside_the_output_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "provenance.json", {})
    (tmp_path / "out.old").mkdir()
    (tmp_path / "out.old" / "copy").write_text("mine")
    write(tmp_path / "out")
    assert (tmp_path / "out.old" / "copy").read_text() == "mine"


def test_the_root_and_the_current_folder_are_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for path in (Path("/"), Path(), Path(".."), tmp_path / "in" / ".." / "in"):
        with pytest.raises(InputDataError, match="current folder"):
            write(path)
    write(Path("below"))
    assert (tmp_path / "in" / "below" / "file").is_file()


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_an_output_that_overlaps_an_input_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "p" / "tables"
    (given / "hosp").mkdir(parents=True)
    (given / "stage.json").write_text('{"fingerprint": "f"}')
    (tmp_path / "p" / "stage.json").write_text("{}")
    (tmp_path / "link").symlink_to(given)
    for path in (given, tmp_path / "p", given / "hosp", given / "new", tmp_path / "link", given / ".." / "tables"):
        with pytest.raises(InputDataError, match="choose another output"):
            output_folder(path, [given])
        with pytest.raises(InputDataError, match="overlaps with the input"):
            require_apart(path, [given])
    assert (given / "hosp").is_dir()
    assert output_folder(tmp_path / "p" / "other", [given]) == (tmp_path / "p" / "other").resolve()


# --- one writer at a time


def hold(path: Path, ready: Path) -> subprocess.Popen[str]:
    """A process that is writing the folder `path` until it is killed."""
    script = (
        "import sys, time; from pathlib import Path; from dataset_builder.storage.files import atomic_folder\n"
        "with atomic_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text(''); Path(sys.argv[2]).touch(); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path), str(ready)], cwd=ROOT, text=True)
    for _ in range(1000):
        if ready.exists():
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the other process did not start")


def test_a_second_writer_waits_for_the_first_even_when_that_is_killed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = hold(tmp_path / "out", tmp_path / "ready")
    try:
        mine = threading.Thread(target=write, args=(tmp_path / "out",))
        mine.start()
        mine.join(0.5)
        assert mine.is_alive()
        assert (tmp_path / "out.partial" / "half").exists()  # what the other is writing
        other.send_signal(signal.SIGKILL)
        mine.join(10)
        assert not mine.is_alive()
    finally:
        other.kill()
        other.wait()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "ready"]
    assert "waiting for it" in caplog.text


def test_many_writers_of_one_folder_write_one_after_another(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work(target: Path) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        (target / "provenance.json").write_text("{}")
        inside -= 1

    def run() -> None:
        with atomic_folder(tmp_path / "out") as folder:
            work(folder)

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_who_holds_a_folder_may_write_it_and_others_are_free(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "a"):
        write(tmp_path / "a")
        write(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


# --- what is read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"a: [1", "is not a readable YAML file; check its syntax"),
        (b"b: 1\na: 2\n'b': 3", "'b' is given twice (line 3); keep one of them"),
        (b"b: {1: x, 1: y}", "'1' is given twice (line 1)"),
        (b"b: 2020-13-45", "is not a readable YAML file"),
        (b"a: caf\xe9", "is not a text file in UTF-8; save it as UTF-8"),
        (b"a: 1", "'b' is missing or malformed; see the shipped file"),
        (b"b: {c: 1}", "is missing or malformed; see the shipped file"),
    ],
)
def test_a_faulty_yaml_file_is_named_with_what_is_wrong(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputDataError, match=f"{re.escape(str(path))}: .*{re.escape(message)}"), faults_named(path):
        int(read_yaml(path)["b"])


def test_merged_yaml_mappings_may_override_a_key(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n")
    assert read_yaml(tmp_path / "own.yaml")["b"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.json", "is missing; check the path"),
        ("folder", "cannot be read (Is a directory); check the path"),
        ("odd.json/below.json", "cannot be read (Not a directory); check the path"),
        ("odd.json", "is not readable JSON; correct it, or make it again"),
    ],
)
def test_a_json_file_that_cannot_be_read_is_named_with_a_cure(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(InputDataError) as caught:
        read_json(tmp_path / name)
    assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / "file" / "deep" / "out"):
        with pytest.raises(InputDataError, match="file"):
            write(path)
    assert (tmp_path / "file").read_text() == "mine"
