"""The tabs beside Explain: any text checked, what was measured of the model, and what the page is."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from clinragen.checking.checked import check_text
from clinragen.checking.render_json import result
from clinragen.claims.sentences import Patient
from clinragen.demo.figures_of_model import CARD, Figures, figures_of
from clinragen.demo.page import build_page
from clinragen.demo.tab import PageState
from clinragen.demo.tabs import TABS
from clinragen.demo.tabs.about import LIMITS, about_html
from clinragen.demo.tabs.check_text import CHECK_TEXT
from clinragen.demo.tabs.quality import NOTHING, QUALITY, figures_html
from clinragen.inference import Explainer
from clinragen.shipped_model import shipped_model
from dataset_builder.storage.files import read_json
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

NOTE = "Dyspnea.\nHistory of hypertension."
LABS = "hours,heart rate (bpm)\n0,110\n5,118\n"
HELD = '"hypertension" supports Essential hypertension.'
TEXT = f"{HELD} Heart rate is high. Heart rate is low. Glucose is low."
RESOURCES = ROOT / "clinragen" / "demo" / "resources"


@pytest.fixture(scope="module")
def state(small_run: Path) -> PageState:
    return PageState(Explainer.from_pretrained(small_run / "model"), {}, folder=small_run / "model")


def functions_of(page: Any) -> dict[str, Callable[..., Any]]:
    return {function.fn.__name__: function.fn for function in page.fns.values() if function.fn is not None}


@pytest.fixture(scope="module")
def checks(state: PageState) -> dict[str, Callable[..., Any]]:
    return functions_of(build_page(state, [CHECK_TEXT]))


def words_of(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def test_the_page_has_four_tabs_of_which_programs_may_call_two(state: PageState) -> None:
    page = build_page(state)
    titles = [one["props"]["label"] for one in page.config["components"] if one["type"] == "tabitem"]
    assert titles == ["Explain", "Check a text", "How good is it", "About"] == [tab.title for tab in TABS]
    public = {one["api_name"] for one in page.config["dependencies"] if one["api_visibility"] != "private"}
    assert public == {"explain", "check"}
    names = [one["props"].get("elem_id") for one in page.config["components"]]
    assert len([name for name in names if name]) == len({name for name in names if name})


def test_a_text_gets_the_verdicts_of_the_checker_without_a_model(
    state: PageState, checks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Explainer, "explain_many", None)
    (tmp_path / "labs.csv").write_text(LABS)
    patient = Patient(state.explainer.read_labs(tmp_path / "labs.csv"), NOTE)
    expected = result(check_text(TEXT, patient, state.explainer.checking))
    assert checks["check"](TEXT, NOTE, LABS) == json.loads(json.dumps(expected))
    assert [one["verdict"] for one in expected["sentences"]] == [
        "supported", "supported", "contradicted", "unverifiable",
    ]  # fmt: skip
    html = checks["show_checked"](TEXT, NOTE, LABS, [])
    assert html.count('<li class="sentence contradicted">') == 1
    assert html.count('<li class="sentence supported">') == 2
    assert "hour 0: 110 bpm; hour 5: 118 bpm" in words_of(html)


def test_a_text_has_to_agree_with_the_listed_diseases(checks: dict[str, Any]) -> None:
    import gradio as gr

    assert checks["check"](HELD, NOTE)["diagnoses"] is None
    agreed = checks["check"](HELD, NOTE, "", ["Essential hypertension"])
    assert agreed["diagnoses"] == ["Essential hypertension"]
    assert not agreed["contradicted"]
    assert checks["check"](HELD, NOTE, "", "Shock")["contradicted"]
    with pytest.raises(gr.Error, match=r"not one of the model's; choose from .*Shock") as refused:
        checks["check"](HELD, NOTE, "", ["Zebulon Quackenbush"])
    assert "Zebulon" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("", NOTE), "the rationale: is empty; give the rationale to check"),
        (("x" * 100_001, NOTE), "the rationale: is longer than 100,000 characters"),
        ((None, NOTE), "the rationale: is empty"),
        (([TEXT], NOTE), "the rationale: is not text"),
        ((TEXT, ""), "nothing to go on: give a note, measurements or both"),
        ((TEXT, "\N{FACE WITH TEARS OF JOY}"), "nothing to go on"),
        ((TEXT, {"note": NOTE}), "the note: is not text"),
        ((TEXT, NOTE, "hours,bilirubin (mg/dL)\n0,1\n"), "the measurements: .*bilirubin"),
        ((TEXT, NOTE, "hours,heart rate (bpm)\n0,fast\n"), "the measurements: row 2, heart rate"),
    ],
)
def test_what_cannot_be_checked_is_said_in_one_line(checks: dict[str, Any], given: Any, words: str) -> None:
    import gradio as gr

    with pytest.raises(gr.Error, match=words) as refused:
        checks["check"](*given)
    assert refused.value.print_exception is False
    said = words_of(checks["show_checked"](*given, *[""] * (3 - len(given)), []))
    assert re.search(words, said)
    assert len(said) < 700


def test_words_of_a_text_and_of_a_note_are_no_markup(checks: dict[str, Any]) -> None:
    attack = "<script>alert(1)</script>"
    shown = checks["show_checked"](f"{attack} Heart rate is {attack} low.", f"{attack} {NOTE}", LABS, [])
    assert "<script" not in shown
    assert "alert(1)" in words_of(shown)


def test_an_uploaded_table_becomes_text_and_is_removed(state: PageState, tmp_path: Path) -> None:
    folder = tmp_path / "uploads" / "0123abcd"
    page = build_page(replace(state, uploads=folder.parent), [CHECK_TEXT])
    take = functions_of(page)["take_table"]

    def upload(content: str) -> dict[str, str]:
        folder.mkdir(parents=True)
        (folder / "Smith.csv").write_text(content)
        return {"path": str(folder / "Smith.csv"), "orig_name": "Smith.csv"}

    assert take(upload(LABS)) == (None, LABS, "")
    assert not folder.exists()
    file, text, told = take(upload("hours,heart rate (bpm)\n0,fast\n"))
    assert (file, text) == (None, "")
    assert words_of(told).startswith("Smith.csv: row 2, heart rate: ")
    assert not folder.exists()


def test_whatever_the_reader_changes_empties_the_verdicts_in_the_browser(state: PageState) -> None:
    page = build_page(state, [CHECK_TEXT])
    names = {component["id"]: component["props"].get("elem_id") for component in page.config["components"]}
    emptied: dict[tuple[str | None, str], set[str | None]] = {}
    cancelling: set[tuple[str | None, str]] = set()
    shown = next(key for key, one in page.fns.items() if one.fn is not None and one.fn.__name__ == "show_checked")
    for event in page.config["dependencies"]:
        for component, kind in event["targets"]:
            if event["js"] and not event["backend_fn"]:
                assert event["js"].count(",") == len(event["outputs"]) - 1
                emptied[names.get(component), kind] = {names[place] for place in event["outputs"]}
            if shown in event["cancels"]:
                cancelling.add((names.get(component), kind))
    changes = {
        *((f"check-{name}", "input") for name in ("text", "note", "measurements", "diseases")),
        *(("check-table", kind) for kind in ("upload", "clear")),
    }
    assert set(emptied) == {*changes, ("check", "click")}
    assert cancelling == changes
    assert all("check-answer" in places for places in emptied.values())


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The card of the shipped model with its evaluation beside."""
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    shutil.copy(shipped_model() / CARD, folder)
    shutil.copytree(shipped_model().parent / "evaluation", tmp_path / "run" / "evaluation")
    return folder


def test_the_figures_are_those_of_the_evaluation_beside(measured: Path, vocabulary: Vocabulary) -> None:
    figures = figures_of(measured)
    assert figures.metrics == read_json(measured.parent / "evaluation" / "metrics.json")
    html = figures_html(figures, vocabulary)
    said = words_of(html)
    full = figures.metrics["systems"]["full"]
    for score in ("micro_f1", "macro_f1", "micro_auroc"):
        assert f"{full[score]['value']:.3f} ({full[score]['low']:.3f} to {full[score]['high']:.3f})" in said
    claims = figures.metrics["rationale"]["full"]["claims"]["raw"]["data"]["contradicted"]
    assert f"Claims contradicted, as written {100 * claims['value']:.1f} % (" in said
    assert "Evidence in the series cited 70.6 %" in said
    error = figures.metrics["calibration"]["full"]["before"]["calibration_error"]
    assert f"{error['value']:.3f} ({error['low']:.3f}" in said
    assert all(notice in said for notice in figures.metrics["notices"])
    assert all(disease.name in said for disease in vocabulary.diseases)
    # As a screen reader needs it.
    assert html.count("<table>") == html.count("<caption>") == 4
    assert "<td" in html
    assert not re.findall(r"<th(?! scope)(?!ead)", html)


def test_figures_of_another_model_are_not_shown(measured: Path, vocabulary: Vocabulary) -> None:
    card = measured / CARD
    card.write_text(card.read_text().replace("0.924 (0.919 to 0.928)", "0.801 (0.790 to 0.812)"))
    figures = figures_of(measured)
    assert not figures.metrics
    # Its own card's section is.
    assert "0.801 (0.790 to 0.812)" in figures.section
    assert "## Limits" not in figures.section
    card.write_text("# A model\n\nNothing is known.\n")
    assert figures_of(measured) == Figures() == figures_of(measured.parent) == figures_of(None)
    assert NOTHING in words_of(figures_html(Figures(), vocabulary))


def test_a_card_s_index_of_results_is_shown_where_there_is_no_evaluation(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="made-up",
            dataset_name="Made-up <hospital>",
            metric_type=kind,
            metric_name=name,
            metric_value=value,
        )
        for kind, name, value in (("f1", "micro F1", 0.71234), ("f1", "macro F1", "0.61 (0.60 to 0.62)"))
    ]
    card = ModelCardData(model_name="made-up", eval_results=results)
    (tmp_path / CARD).write_text(f"---\n{card.to_yaml()}\n---\n\n# A model\n\n## Evaluation\n\nGood.\n")
    figures = figures_of(tmp_path)
    assert (figures.section, len(figures.listed)) == ("", 2)
    html = figures_html(figures, vocabulary)
    assert "<hospital>" not in html
    assert "Made-up <hospital> micro F1 0.712 Made-up <hospital> macro F1 0.61 (0.60 to 0.62)" in words_of(html)


def test_damaged_figures_are_said_to_be_so_and_the_page_opens(measured: Path, state: PageState) -> None:
    path = measured.parent / "evaluation" / "metrics.json"
    metrics = read_json(path)
    del metrics["rationale"]
    for content in ("{", "[]", json.dumps(metrics)):
        path.write_text(content)
        page = build_page(replace(state, folder=measured), [QUALITY])
        (shown,) = (one for one in page.config["components"] if one["props"].get("elem_id") == "quality")
        assert "metrics.json: " in words_of(shown["props"]["value"])
    (measured / CARD).write_text("---\nmodel-index: [1\n---\n")
    path.unlink()
    with pytest.raises(InputDataError, match="not that of a model card"):
        figures_of(measured)


def test_about_says_limits_data_licence_origin_and_versions(state: PageState) -> None:
    whole = words_of(about_html(replace(state, folder=shipped_model())))
    assert all(limit in whole for limit in LIMITS)
    assert "not a medical device" in whole
    # Those of the model's own card as well.
    assert "Scores are for held-out patients of the same source." in whole
    assert f"clinragen {version('clinragen')}" in whole
    model = state.explainer.model
    before = model.provenance
    try:
        model.provenance = None
        assert "Where the model comes from is not recorded" in words_of(about_html(state))
        model.provenance = {"title": "Lent <b>tables</b>", "credentialed": True, "steps": [{"step": "build"}]}
        lent = about_html(state)
        assert "<b>" not in lent
        assert "Lent <b>tables</b> unknown licence not recorded yes" in words_of(lent)
        assert "The data use agreement of a source binds the model as well" in words_of(lent)
        assert "What was done, in order: build." in words_of(lent)
    finally:
        model.provenance = before


def test_the_tabs_have_the_colours_of_the_page_alone() -> None:
    css = (RESOURCES / "tabs.css").read_text(encoding="utf-8")
    used = set(re.findall(r"[^-](?:color|background|border|border-bottom): ([^;]+);", css))
    assert [one for one in used if "var(--cr-" not in one] == []
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgb|hsl", re.sub(r"#check-[a-z]+", "", css))
    page = (RESOURCES / "page.css").read_text(encoding="utf-8")
    # What is written in: the quiet and the usual colour, on the ground of the page in both schemes.
    for block, ground in ((":root", "#f4f6f8"), (".dark", "#10151b")):
        values = dict(
            re.findall(r"--cr-(words|quiet): (#[0-9a-f]{6});", page.partition(f"{block} {{")[2].partition("}")[0])
        )
        assert all(contrast(values[name], ground) >= 4.5 for name in ("words", "quiet"))


def contrast(first: str, second: str) -> float:
    """The contrast of two colours, as WCAG defines it."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(first), light(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
