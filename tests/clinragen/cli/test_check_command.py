"""`clinragen check` as a person, a script and a program meet it: what it prints, writes, refuses and ends with."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest
from command_line import SCRIPT, command, fails_with_one_line, in_process
from hypothesis import given, settings
from hypothesis import strategies as st
from own_vocabulary import write_vocabulary
from typer.testing import CliRunner

from clinragen.checking.inputs import MAX_CHARACTERS
from clinragen.checking.render_json import schema
from clinragen.cli.main import app

NOTE = "History of Present Illness:\nTwo days of cough. She denies fever.\n"
LABS = "hours,heart rate (bpm)\n0,118\n4,124\n8,96\n"
TRUE, FALSE = "Heart rate is high in most readings.", "Heart rate is never high."


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "note.txt").write_text(NOTE, encoding="utf-8")
    (tmp_path / "labs.csv").write_text(LABS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(*words: object) -> subprocess.CompletedProcess[str]:
    return in_process("check", "--note", "note.txt", "--labs", "labs.csv", *words)


def piped(text: bytes, *words: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process with `text` on its standard input."""
    given_stream, sys.stdin = sys.stdin, SimpleNamespace(buffer=io.BytesIO(text))  # type: ignore[assignment]
    try:
        return check(*words)
    finally:
        sys.stdin = given_stream


# --- how it ends


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([TRUE], 0),
        ([FALSE], 1),
        (["Glucose is high."], 0),
        (["Please call."], 0),
        (['"cough" is noted. "fever" is noted.'], 1),
        (['"cough" supports Shock.', "--diagnoses", "Essential hypertension"], 1),
        ([FALSE, "--format", "json"], 1),
        ([FALSE, "--format", "html"], 1),
        ([TRUE, "--format", "json"], 0),
        ([FALSE, "--output", "result.txt"], 1),
        ([TRUE, "--labs", "missing.csv"], 2),
        ([], 2),
        ([TRUE, "--format", "pdf"], 2),
        ([TRUE, "--unknown"], 2),
    ],
)
def test_the_exit_status_is_a_linter_s(patient: Path, words: list[str], code: int) -> None:
    assert check(*words).returncode == code


def test_the_installed_command_ends_so_as_well(patient: Path) -> None:
    files = ("--note", patient / "note.txt", "--labs", patient / "labs.csv")
    done = command("check", *files, FALSE)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(
        "[!] contradicted  Heart rate is never high.\n    [!] contradicted  level (heart rate)"
    )
    assert command("check", *files, TRUE).returncode == 0
    refused = command("check", TRUE)
    assert (refused.returncode, refused.stdout) == (2, "")
    fails_with_one_line(refused, "give --note FILE, --labs FILE.csv, or both")


def test_a_reader_that_is_gone_is_no_verdict(patient: Path) -> None:
    running = subprocess.Popen(
        [str(SCRIPT), "check", "--labs", "labs.csv", FALSE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == ""
    assert running.wait(60) == 141


# --- what it reads


@pytest.mark.parametrize("words", [["-"], ["--text-file", "-"]])
def test_the_rationale_can_come_from_standard_input(patient: Path, words: list[str]) -> None:
    done = piped("\ufeffHeart rate is never high.\r\n".encode(), *words)
    assert (done.returncode, done.stdout) == (1, check(FALSE).stdout)


def test_the_rationale_can_come_from_a_file(patient: Path) -> None:
    (patient / "text.txt").write_text(FALSE, encoding="utf-8")
    assert check("--text-file", "text.txt").stdout == check(FALSE).stdout


@pytest.mark.parametrize(("given_files", "said"), [("--note", "No measurements"), ("--labs", "No note")])
def test_one_of_note_and_labs_is_enough_and_the_other_is_missed(patient: Path, given_files: str, said: str) -> None:
    file = {"--note": "note.txt", "--labs": "labs.csv"}[given_files]
    done = in_process("check", given_files, file, '"cough" is noted. Heart rate is high in most readings.')
    assert done.returncode == 0
    assert f"{said} were given" in done.stdout or f"{said} was given" in done.stdout
    assert "[?] unverifiable" in done.stdout
    assert "[+] supported" in done.stdout


def test_another_vocabulary_and_its_missing_knowledge(patient: Path) -> None:
    folder = write_vocabulary(patient / "own")
    (patient / "lactate.csv").write_text("hours,lactate (mmol/L)\n0,4.1\n2,4.4\n", encoding="utf-8")
    done = in_process("check", "--labs", "lactate.csv", "--vocabulary", folder, "Lactate is high.")
    assert done.returncode == 0
    assert "There is no knowledge base" in done.stdout
    fails_with_one_line(in_process("check", "--labs", "lactate.csv", "Lactate is high."), "lactate.csv", "unknown")


def test_the_range_set_decides(patient: Path) -> None:
    (patient / "labs.csv").write_text("hours,temperature (°C)\n0,37.4\n2,37.4\n", encoding="utf-8")
    words = ("check", "--labs", "labs.csv", "Temperature is normal.", "--format", "json")
    assert json.loads(in_process(*words).stdout)["range_set"] == "clinical"
    assert json.loads(in_process(*words, "--range-set", "paper").stdout)["range_set"] == "paper"


# --- what it refuses


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["give the rationale as TEXT, as --text-file FILE, or as -"]),
        ([TRUE, "--text-file", "text.txt"], ["give the rationale as TEXT"]),
        ([""], ["TEXT: is empty"]),
        (["a" * (MAX_CHARACTERS + 1)], ["TEXT: is longer than 100,000 characters"]),
        (["--text-file", "missing.txt"], ["missing.txt: cannot be read"]),
        (["--text-file", "."], ["cannot be read"]),
        ([TRUE, "--note", "missing.txt"], ["missing.txt: cannot be read"]),
        ([TRUE, "--labs", "missing.csv"], ["missing.csv: cannot be read"]),
        ([TRUE, "--diagnoses", "Plague"], ["--diagnoses: unknown disease 'Plague'"]),
        ([TRUE, "--knowledge", "missing"], ["missing: is missing"]),
        ([TRUE, "--vocabulary", "missing"], ["missing: is not a folder"]),
        ([TRUE, "--range-set", "none"], ["unknown range set 'none'"]),
        ([TRUE, "--format", "json", "--explain"], ["--explain: is for --format text"]),
        ([TRUE, "--output", "."], ["is not a regular file"]),
        ([TRUE, "--output", "note.txt/result.txt"], ["lies below a file"]),
    ],
)
def test_what_cannot_be_checked_ends_in_one_line(patient: Path, words: list[str], parts: list[str]) -> None:
    done = check(*words)
    fails_with_one_line(done, *parts)
    assert done.returncode == 2
    assert done.stdout == ""


@pytest.mark.parametrize("size", [MAX_CHARACTERS + 1, 10_000_000])
def test_a_huge_text_is_refused_unread(patient: Path, size: int) -> None:
    fails_with_one_line(piped(b"a" * size, "-"), "standard input: is longer than 100,000 characters")
    (patient / "text.txt").write_bytes(b"a" * size)
    fails_with_one_line(check("--text-file", "text.txt"), "text.txt: is longer than 100,000 characters")


def test_a_huge_note_is_refused(patient: Path) -> None:
    (patient / "note.txt").write_text("cough " * 2_000_000, encoding="utf-8")
    fails_with_one_line(check(TRUE), "note.txt: has more than")


def test_standard_input_that_is_no_text_is_refused(patient: Path) -> None:
    fails_with_one_line(piped(b"\xff\xfe\0", "-"), "standard input: is not UTF-8 text")
    fails_with_one_line(piped(b"", "-"), "standard input: is empty")


# --- what it writes


def test_a_file_is_written_whole_and_for_its_owner_alone(patient: Path) -> None:
    for kind, start in (("text", "[!]"), ("json", "{"), ("html", "<!DOCTYPE html>")):
        path = patient / f"results/result.{kind}"
        done = check(FALSE, "--format", kind, "--output", path)
        assert done.stdout == ""
        assert path.read_text(encoding="utf-8") == check(FALSE, "--format", kind).stdout
        assert path.read_text(encoding="utf-8").startswith(start)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(path.name for path in (patient / "results").iterdir()) == [
        "result.html",
        "result.json",
        "result.text",
    ]


def test_json_is_for_programs(patient: Path) -> None:
    content = json.loads(check(FALSE, "--format", "json", "--diagnoses", "").stdout)
    jsonschema.validate(content, schema())
    assert content["diagnoses"] == []
    assert content["contradicted"] is True
    assert content["note"] == NOTE.strip()
    (claim,) = content["sentences"][0]["claims"]
    assert claim["evidence"]["hours"] == [0.0, 4.0]
    assert claim["evidence"]["values"] == [118.0, 124.0]
    assert claim["evidence"]["unit"] == "bpm"


def test_explain_shows_how_the_text_is_read(patient: Path) -> None:
    plain, explained = check(TRUE).stdout, check(TRUE, "--explain").stdout
    assert explained.endswith(plain)
    steps = explained.removesuffix(plain)
    assert steps.startswith("tokens:\n")
    assert "\nstatements:\n" in steps
    assert "heart_rate" in steps


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colours_are_only_for_those_who_want_them(
    patient: Path, environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **environment}.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[1;31m" in check(FALSE).stdout) is coloured


def test_an_older_encoding_of_the_terminal_is_no_error(patient: Path) -> None:
    words = [str(SCRIPT), "check", "--note", "note.txt", "Fever was 38 °C, \U0001f600."]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, capture_output=True, env=environment, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Fever was 38 \xb0C, \\U0001f600." in done.stdout


@settings(max_examples=25, deadline=None)
@given(
    text=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))),
    kind=st.sampled_from(["text", "json", "html"]),
)
def test_any_bytes_are_checked_or_refused_in_one_line(
    text: bytes, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "labs.csv").write_text(LABS, encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "--labs", str(folder / "labs.csv"), "--format", kind, "-"], input=text)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if done.exit_code == 2:
        assert done.stdout == ""
        assert done.stderr.startswith("clinragen: standard input: is ")
        assert len(done.stderr.splitlines()) == 1
    else:
        assert done.exit_code in (0, 1)
        assert done.stderr == ""
