"""`clinragen predict`: what is shown, withheld, warned of and refused, for a person and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import fails_with_one_line, in_process
from scripted_model import drafted, let_write, save_short_model

from clinragen.checking.render_json import SCHEMA_VERSION, schema
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.profile_clinragen import FEWEST_EXAMPLES, InputProfile

NOTE = "Dyspnea and fever.\nHistory of hypertension."
HELD = '"hypertension" supports Essential hypertension.'
REFUSED = "Heart rate is low."
HIGH = "Heart rate is high."
DRAFT = drafted(["Shock", "Essential hypertension"], f"{HELD} {REFUSED}")


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a note and a table of heart rates, which are high."""
    path = save_short_model(tmp_path_factory.mktemp("model"), make_model, make_processor)
    (path / "note.txt").write_text(NOTE)
    (path / "labs.csv").write_text("hours,heart rate (bpm)\n0,118\n4,124\n8,131\n")
    return path


def predict(folder: Path, *words: object, note: bool = True, labs: bool = True) -> Any:
    files: list[object] = ["--note", folder / "note.txt"] if note else []
    files += ["--labs", folder / "labs.csv"] if labs else []
    return in_process("predict", folder, *files, *words)


def read_json_of(folder: Path, *words: object, **given: bool) -> dict[str, Any]:
    done = predict(folder, "--json", *words, **given)
    assert done.returncode == 0, done.stderr[-1500:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_the_data_do_not_bear_out_is_withheld_and_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, DRAFT)
    printed = predict(folder).stdout
    assert printed.splitlines()[:6] == [
        "Diagnoses",
        "  Essential hypertension",
        "Named without evidence, so not asserted",
        "  Shock",
        "Rationale",
        f"  {HELD}",
    ]
    assert REFUSED not in printed
    assert "1 sentence was withheld" in printed


def test_details_show_what_decides_each_claim_and_what_is_withheld(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, DRAFT)
    shown, parted, withheld = predict(folder, "--details").stdout.partition("Withheld: 1 sentence was")
    assert parted
    assert f"[+] supported     {HELD}" in shown
    assert "note, line 2: History of hypertension." in shown
    assert REFUSED not in shown
    assert f"[!] contradicted  {REFUSED}" in withheld
    assert "hour 0: 118 bpm; hour 4: 124 bpm; hour 8: 131 bpm" in withheld


def test_raw_output_carries_the_verdict_on_every_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, DRAFT)
    printed = predict(folder, "--raw").stdout
    for line in (f"[+] supported     {HELD}", f"[!] contradicted  {REFUSED}"):
        assert line in printed
    assert "withheld" not in printed
    assert "Each sentence was checked" not in printed
    found = read_json_of(folder, "--raw")
    assert not found["verified"]
    assert [sentence["verdict"] for sentence in found["sentences"]] == ["supported", "contradicted"]


def test_json_has_the_sentences_of_the_check_with_places_that_hold_what_they_say(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], f"{HELD} {HIGH} {REFUSED}"))
    found = read_json_of(folder, "--probabilities")
    assert found["schema_version"] == SCHEMA_VERSION
    of_sentence = {**schema()["$defs"]["sentence"], "$defs": schema()["$defs"]}
    for sentence in (*found["sentences"], *found["withheld"]):
        jsonschema.validate(sentence, of_sentence)
    assert found["verified"]
    assert found["rationale"] == " ".join(sentence["text"] for sentence in found["sentences"]) == f"{HELD} {HIGH}"
    assert [sentence["text"] for sentence in found["withheld"]] == [REFUSED]
    assert (found["diagnoses"], found["without_evidence"]) == (["Essential hypertension"], [])
    assert (found["note"], found["range_set"], found["problem"]) == (NOTE, "clinical", None)
    assert len(found["probabilities"]) == 25
    for sentence in found["sentences"]:
        assert found["rationale"][slice(*sentence["span"])] == sentence["text"]
        for claim in sentence["claims"]:
            assert found["rationale"][slice(*claim["span"])] == claim["text"]
            assert claim["verdict"] == "supported"
    quoted, high = (sentence["claims"] for sentence in found["sentences"])
    places = [place for claim in quoted for place in claim["evidence"]["note"]]
    assert {NOTE[slice(*place["span"])] for place in places} == {"hypertension"}
    assert {place["line"] for place in places} == {2}
    assert [claim["variable"] for claim in high] == ["heart_rate"]
    assert (high[0]["evidence"]["hours"], high[0]["evidence"]["unit"]) == ([0.0, 4.0, 8.0], "bpm")
    assert high[0]["evidence"]["values"] == [118.0, 124.0, 131.0]


def test_nothing_is_asserted_of_what_was_not_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], f"{HELD} {HIGH}"))
    from_note = read_json_of(folder, labs=False)
    assert from_note["rationale"] == HELD
    assert [sentence["text"] for sentence in from_note["withheld"]] == [HIGH]
    from_labs = read_json_of(folder, note=False)
    assert (from_labs["rationale"], from_labs["note"]) == (HIGH, None)
    assert from_labs["without_evidence"] == ["Essential hypertension"]
    assert [sentence["text"] for sentence in from_labs["withheld"]] == [HELD]


def test_a_note_that_is_cut_or_unlike_the_training_is_warned_of(
    folder: Path, tmp_path: Path, make_processor: Any, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, DRAFT)
    monkeypatch.setenv("COLUMNS", "200")
    model = Path(shutil.copytree(folder, tmp_path / "model"))
    assert "Warning" not in predict(model).stdout
    processor = ClinRaGenProcessor.from_pretrained(model)
    reports = processor.read_reports([NOTE] * FEWEST_EXAMPLES, [None] * FEWEST_EXAMPLES)
    processor.profile = InputProfile.of_reports(reports, processor.require_vocabulary().variable_keys)
    processor.max_source_tokens = 120
    processor.save_pretrained(model)
    assert "Warning" not in predict(model, labs=False).stdout
    (model / "note.txt").write_text(f"{NOTE} " * 300)
    lines = predict(model, labs=False).stdout.splitlines()
    warnings = [line.removeprefix("Warning: ") for line in lines if line.startswith("Warning: ")]
    report = processor.read_report((model / "note.txt").read_text(), None)
    assert warnings[0] == f"The note is longer than the model reads: {report.sentence}."
    assert warnings[1].startswith("the note has 1,800 words")
    assert lines.index("Diagnoses") == len(warnings)
    assert read_json_of(model, labs=False)["warnings"] == warnings
    # Measurements, of which the training had none, are named as such.
    (model / "note.txt").write_text(NOTE)
    assert "Warning: there are measurements; no training example had any" in predict(model).stdout


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "is empty, or has no letter or digit"),
        ("\N{FACE WITH TEARS OF JOY} \N{THUMBS UP SIGN}".encode(), "is empty, or has no letter or digit"),
        (b"Dyspnea and fever. " * 550_000, "has more than 1,000,000 bytes"),
        (b"%PDF-1.7 Dyspnea", "is a PDF, not plain text"),
    ],
    ids=["empty", "emoji", "ten megabytes", "pdf"],
)
def test_a_file_that_is_no_note_is_refused_in_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    file = tmp_path / "note.txt"
    file.write_bytes(content)
    done = in_process("predict", tmp_path, "--note", file, "--json")
    fails_with_one_line(done, str(file), part)
    assert done.stdout == ""
    assert "Dyspnea" not in done.stderr
