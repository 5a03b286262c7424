"""The page is made of tabs, and takes vocabulary and normal ranges from the model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from demo_server import PATIENT, write_cohort
from scripted_model import drafted, let_write

from clinragen.demo.page import build_page, open_page, patients_of
from clinragen.demo.patient import OWN
from clinragen.demo.tab import PageState, Tab
from clinragen.demo.tabs import TABS
from clinragen.demo.tabs.explain import EXPLAIN, HINT, READING
from clinragen.inference import Explainer
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import SettingsError, StageError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

ANSWER = {"answer", "off", "compared", "attention-map"}
ELEMENTS = {*ANSWER, "patient", "note", "measurements", "table", "view", "message", "explain"}
WARNINGS, DIAGNOSES, RATIONALE, MEASURED, SCORES = range(5)
HELD = '"hypertension" supports Essential hypertension.'
REFUSED = "Heart rate is low."
NOTE = "Dyspnea.\nHistory of hypertension."


def functions_of(page: Any) -> dict[str, Callable[..., Any]]:
    """The functions behind the page's events, by name."""
    return {function.fn.__name__: function.fn for function in page.fns.values() if function.fn is not None}


def test_one_tab_is_the_page_itself_and_keeps_patients_to_itself(
    save_model: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    page = build_page(PageState(Explainer.from_pretrained(save_model(vocabulary)), {}), [EXPLAIN])
    config = page.config
    assert "tabs" not in {component["type"] for component in config["components"]}
    assert {component["props"].get("elem_id") for component in config["components"]} >= ELEMENTS
    # A program may ask for an explanation; everything else is the page's own.
    public = [event["api_name"] for event in config["dependencies"] if event["api_visibility"] != "private"]
    assert public == ["explain"]
    assert config["analytics_enabled"] is False


def test_further_tabs_stand_in_a_bar_of_tabs(save_model: Callable[..., Path], vocabulary: Vocabulary) -> None:
    state = PageState(Explainer.from_pretrained(save_model(vocabulary)), {})
    seen = []

    def build(gr: Any, page: Any, given: PageState) -> None:
        gr.Markdown("Something else", elem_id="else")
        seen.append(given)

    components = build_page(state, [EXPLAIN, Tab("Another view", build)]).config["components"]
    titles = [one["props"]["label"] for one in components if one["type"] == "tabitem"]
    assert titles == ["Explain", "Another view"]
    assert {one["props"].get("elem_id") for one in components} >= {*ELEMENTS, "else"}
    assert seen == [state]
    assert TABS[0] is EXPLAIN


@pytest.mark.parametrize(
    ("range_set", "words"),
    [("clinical", "heart rate is higher than normal two times."), ("paper", "heart rate is normal all the time.")],
)
def test_a_patient_is_described_with_the_ranges_of_the_model(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path, range_set: str, words: str
) -> None:
    page = open_page(save_model(vocabulary, range_set=range_set), cohort=write_cohort(tmp_path / "cohort", vocabulary))
    explain, choose = (functions_of(page)[name] for name in ("explain", "choose"))
    name, own, note, *_, shown, _, _ = choose(PATIENT)
    assert (name, own["visible"], note) == (PATIENT, False, "")
    assert NOTE in shown
    assert words in shown
    assert explain(PATIENT)[MEASURED] == words


def test_a_csv_is_read_in_the_vocabulary_of_the_model(
    save_model: Callable[..., Path], lactate_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    import gradio as gr

    explain = functions_of(open_page(save_model(lactate_vocabulary)))["explain"]
    table = tmp_path / "labs.csv"
    table.write_text("hours,lactate (mg/dL)\n0,36\n4,45\n")
    assert explain(OWN, "", str(table))[MEASURED] == "Lactate is higher than normal two times."
    # As text, it is the same; and a file that is not the page's own is not its to remove.
    assert explain(OWN, "", None, table.read_text())[MEASURED] == "Lactate is higher than normal two times."
    with pytest.raises(gr.Error, match="given twice"):
        explain(OWN, "", str(table), table.read_text())
    table.write_text("hours,bilirubin (mg/dL)\n0,1\n")
    with pytest.raises(gr.Error, match=r"^.?labs.csv: .*bilirubin"):
        explain(OWN, "", str(table))
    with pytest.raises(gr.Error, match=r"^.?the measurements: .*bilirubin"):
        explain(OWN, "", None, table.read_text())
    table.write_text("hours,lactate (mg/dL)\n" + "0,36\n" * 300_000)
    with pytest.raises(gr.Error, match=r"^.?labs.csv: has more than 1,048,576 bytes"):
        explain(OWN, "", str(table))
    assert table.exists()
    for nothing in (" ", "\N{FACE WITH TEARS OF JOY}"):
        with pytest.raises(gr.Error, match="give a note"):
            explain(OWN, nothing, None)
    with pytest.raises(gr.Error, match="10,000,001 characters, at most 1,000,000 are taken"):
        explain(OWN, "fever and " * 1_000_000 + "x", None)


def test_sentences_stand_with_what_decides_them_and_withheld_ones_are_closed(
    save_model: Callable[..., Path],
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Shock", "Essential hypertension"], f"{HELD} {REFUSED}"))
    page = open_page(save_model(vocabulary), cohort=write_cohort(tmp_path / "cohort", vocabulary))
    answer = functions_of(page)["explain"](PATIENT, NOTE)
    asserted, parted, named = answer[DIAGNOSES].partition("Named without evidence, so not asserted:")
    assert (asserted.split("\n")[0], named.strip()) == ("- Essential hypertension", "- *Shock*")
    assert parted
    shown, closed, withheld = answer[RATIONALE].partition("<details>")
    assert closed
    assert "1 sentence withheld: not borne out by the data" in withheld
    assert (REFUSED in shown, REFUSED in withheld) == (False, True)
    # Only a reader opens it.
    assert " open" not in answer[RATIONALE].replace("opening", "")
    assert ">hypertension</mark>" in shown
    assert answer[WARNINGS] == ""
    assert answer[SCORES] is None


def test_words_of_a_note_and_of_a_model_are_no_markup(
    save_model: Callable[..., Path],
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
) -> None:
    attack = "<script>alert(1)</script>"
    explain = functions_of(open_page(save_model(vocabulary)))["explain"]
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], f"{HELD} Heart rate is {attack} low."))
    assert "<script" not in explain(OWN, f"{attack} {NOTE}", None)[RATIONALE]
    let_write(monkeypatch, tiny_tokenizer, f"{attack} without any mark")
    answer = explain(OWN, NOTE, None)
    assert "<script" not in answer[RATIONALE]
    assert "malformed" in answer[RATIONALE]
    # What cannot be read is no clean bill of health.
    assert answer[DIAGNOSES] == "No diagnosis could be read."


def test_whatever_the_reader_changes_empties_the_answer_in_the_browser(
    save_model: Callable[..., Path], vocabulary: Vocabulary
) -> None:
    page = build_page(PageState(Explainer.from_pretrained(save_model(vocabulary)), {}), [EXPLAIN])
    names = {component["id"]: component["props"].get("elem_id") for component in page.config["components"]}
    events = page.config["dependencies"]
    answers = {event["id"] for event in events if event["api_name"] in ("show", "compare")}
    assert len(answers) == 2
    emptied: dict[tuple[str | None, str], dict[str | None, Any]] = {}
    cancels = set()
    for event in events:
        for component, kind in event["targets"]:
            if event["js"] and not event["backend_fn"] and kind != "failure" and names.get(component) is not None:
                dropped, asked = r"clinragen\.drop\((.*)\)", r"\[(\[.*\]), clinragen\.ask\(\)\]\.flat\(\)"
                given = re.fullmatch(rf"\(\) => (?:{dropped}|{asked})", event["js"])
                assert given is not None, event["js"]
                # The answer that is asked for is that of the last click, whose component has no name.
                places = [names[place] for place in event["outputs"] if names[place] is not None]
                emptied[names[component], kind] = dict(zip(places, json.loads(given[1] or given[2]), strict=True))
            if answers <= set(event["cancels"]):
                cancels.add((names.get(component), kind))
    changes = {
        ("patient", "change"),
        ("note", "input"),
        ("measurements", "input"),
        ("table", "upload"),
        ("table", "clear"),
    }
    assert set(emptied) == {*changes, ("explain", "click")}
    assert cancels == changes
    for place, values in emptied.items():
        assert values["answer"] == (READING if place[0] == "explain" else HINT)
        assert values["off"] == {"__type__": "update", "choices": [], "value": None}
        assert {values[name] for name in ("compared", "attention-map")} == {""}
        # Note and charts with the marks of an answer go with it; asked again, they are the same patient's.
        assert place[0] == "explain" or values["view"] == ""
    # With another patient, nothing at all stays.
    assert set(emptied["patient", "change"]) == ELEMENTS - {"patient", "explain"}


def test_a_patient_of_the_cohort_is_explained_as_recorded_or_not_at_all(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    import gradio as gr

    page = open_page(save_model(vocabulary), cohort=write_cohort(tmp_path / "cohort", vocabulary))
    explain, choose = (functions_of(page)[name] for name in ("explain", "choose"))
    labs = "hours,heart rate (bpm)\n0,50\n"
    table = tmp_path / "labs.csv"
    table.write_text(labs)
    for other in (
        ("Ankle sprain.",),
        (NOTE, str(table)),
        (NOTE, None, labs),
        (f"{NOTE} Ankle sprain.", str(table), labs),
    ):
        with pytest.raises(gr.Error, match="explained as recorded"):
            explain(PATIENT, *other)
    # A browser writes line breaks in its own way; nothing, and the recorded note, are that patient.
    answers = [explain(PATIENT, note) for note in ("", None, NOTE, NOTE.replace("\n", "\r\n"))]
    assert all(answer == answers[0] for answer in answers)
    assert f"Answer for: <strong>{PATIENT}</strong>" in answers[0][RATIONALE]
    own = explain(OWN, NOTE)
    assert own[MEASURED] == "Nothing was measured."
    assert f"Answer for: <strong>{OWN}</strong>" in own[RATIONALE]
    with pytest.raises(SettingsError, match="no such patient") as unknown:
        choose("Patient 2")
    assert "made-up" not in str(unknown.value)
    # What is chosen is the whole page.
    name, group, note, typed, file, shown, answer, told = choose(OWN)
    assert (name, group["visible"], note, typed, file, shown, answer, told) == (OWN, True, "", "", None, "", HINT, "")
    name, group, note, typed, file, shown, answer, told = choose(PATIENT)
    assert (name, group["visible"], note, typed, file, answer, told) == (PATIENT, False, "", "", None, HINT, "")
    assert NOTE in shown


def test_an_uploaded_file_becomes_text_and_is_removed(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = tmp_path / "uploads" / "0123abcd"
    take = functions_of(open_page(save_model(vocabulary), uploads=folder.parent))["take"]

    def upload(content: bytes) -> dict[str, str]:
        folder.mkdir(parents=True)
        (folder / "Smith.csv").write_bytes(content)
        return {"path": str(folder / "Smith.csv"), "orig_name": "../Smith MRN 12.csv"}

    # As Excel writes it in Europe; rows are thinned only when it is read to be explained, which then says so.
    text = "hours;temperature (°C)\r\n0;38,5\r\n"
    assert take(upload(text.encode("cp1252"))) == (None, text, "")
    assert not folder.exists()
    file, typed, told = take(upload(b"hours,heart rate (bpm)\n0,fast\n"))
    assert (file, typed) == (None, "")
    assert ">Smith MRN 12.csv: row 2, heart rate: " in told
    assert not folder.exists()
    # Gone, never there, or somebody else's.
    outside = tmp_path / "outside.csv"
    outside.write_text("hours,heart rate (bpm)\n0,80\n")
    for path, words in ((folder / "Smith.csv", "not there any more"), (outside, "not an uploaded file")):
        assert words in take({"path": str(path)})[2]
    assert words in take(["what"])[2]
    assert outside.exists()


def test_what_makes_an_answer_less_reliable_stands_above_it(
    save_model: Callable[..., Path], vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, tiny_tokenizer: Any
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], HELD))
    folder = save_model(vocabulary, max_source_tokens=100)
    explain = functions_of(open_page(folder))["explain"]
    note = f"{NOTE} " * 60
    report = ClinRaGenProcessor.from_pretrained(folder).read_report(note.strip(), None)
    assert explain(OWN, note, None)[WARNINGS] == f"- **The note is longer than the model reads: {report.sentence}.**"


def test_what_was_done_to_the_rows_of_a_csv_stands_above_the_answer(
    save_model: Callable[..., Path],
    vocabulary: Vocabulary,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_tokenizer: Any,
) -> None:
    let_write(monkeypatch, tiny_tokenizer, drafted(["Essential hypertension"], HELD))
    folder = save_model(vocabulary)
    explainer = Explainer.from_pretrained(folder)
    explain = functions_of(open_page(folder))["explain"]
    table = tmp_path / "labs.csv"
    minutes = "".join(f"2150-03-01 {hour:02d}:{minute:02d},80\n" for hour in range(24) for minute in range(60))
    table.write_text(f"time,heart rate (bpm)\n{minutes}")
    remarks = explainer.read_labs(table).remarks
    assert any("1,440 rows" in remark for remark in remarks)
    # As `clinragen predict` prints them.
    assert explainer.explain(NOTE, explainer.read_labs(table)).warnings == remarks
    shown = "\n".join(f"- **{remark}**" for remark in remarks)
    assert explain(OWN, NOTE, str(table))[WARNINGS] == shown
    assert explain(OWN, NOTE, None, table.read_text())[WARNINGS] == shown


def test_a_cohort_of_another_vocabulary_is_refused(
    save_model: Callable[..., Path], vocabulary: Vocabulary, tmp_path: Path
) -> None:
    folder = save_model(vocabulary)
    first, second, *others = vocabulary.variables
    swapped = replace(vocabulary, variables=(second, first, *others))
    cohort = write_cohort(tmp_path / "cohort", swapped)
    with pytest.raises(
        SettingsError, match=f"different variables.*{first.key}.*{second.key}.*{second.key}.*{first.key}"
    ):
        open_page(folder, cohort=cohort)
    assert patients_of(None, Explainer.from_pretrained(folder)) == {}


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not a model folder"):
        open_page(tmp_path)


def test_an_error_of_the_page_s_inside_is_neither_shown_nor_logged(caplog: pytest.LogCaptureFixture) -> None:
    import gradio as gr

    secret = "Zebulon Quackenbush"
    faults = {
        "cure": (SettingsError("choose another"), "choose another"),
        "reader": (gr.Error("for the reader", print_exception=False), "for the reader"),
        "library": (gr.Error(f"{secret} is not in the list"), "could not do this"),
        "inside": (KeyError(secret), "could not do this"),
    }

    def build(gr: Any, page: Any, state: PageState) -> None:
        def fail(name: str) -> None:
            raise faults[name][0]

        box = gr.Textbox()
        box.submit(fail, box)

    page = build_page(PageState(None, {}), [Tab("Fails", build)])
    (event,) = page.fns
    for name, (_, words) in faults.items():
        with pytest.raises(gr.Error, match=words) as shown:
            asyncio.run(page.process_api(event, [name]))
        assert shown.value.print_exception is False
        assert secret not in str(shown.value)
    assert "internal error KeyError at " in caplog.text
    assert secret not in caplog.text
