"""The report says what the numbers say, and its figures can be looked at."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from written_rationales import row_with, written_by

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.calibration import calibration_scores
from clinragen.evaluation.metrics import compare_systems, rationale_scores
from clinragen.evaluation.outcome import verdict_sentence, verdicts
from clinragen.evaluation.report import note_excerpt, write_report
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.scores import DIAGNOSIS_SCORES, RANKING_SCORES
from clinragen.evaluation.selective import risk_coverage
from clinragen.evaluation.systems import system_name
from clinragen.evaluation.terminal import print_patient, print_table
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

VOCABULARY = shipped_definitions().vocabulary
DISEASES = VOCABULARY.diseases
RANGES = VOCABULARY.range_set("clinical")
FIGURES = ("training_curves.png", "f1_per_disease.png", "patient_series.png")
WARNING = "The hospital is synthetic: these numbers say nothing about real patients."


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = (rng.random((150, 25)) < np.linspace(0.5, 0.05, 25)).astype(int)
    labels[:, 7] = 0

    def system(share: float) -> np.ndarray:
        return np.where(rng.random(labels.shape) < share, labels, rng.random(labels.shape) < 0.3).astype(int)

    predictions = {"full": system(0.7), "note_only": system(0.69), "labs_only": system(0.65)}
    predictions |= {"gradient_boosting": system(0.9), "gradient_boosting_note": system(0.69)}
    predictions |= {"gradient_boosting_labs": system(0.45), "logistic_regression": system(0.5)}
    predictions["prevalence"] = np.tile((np.arange(25) < 6).astype(int), (150, 1))
    predictions["full"][:, 7] = 0
    given = {name: 0.5 * predictions[name] + 0.4 * rng.random(labels.shape) for name in list(predictions)[3:]}
    result = compare_systems(labels, predictions, rng.integers(0, 90, 150), DISEASES, probabilities=given)
    row = {"lab_hours": [], "lab_values": [], "lab_observed": [], "note": ""}
    references = ["a high heart rate", "low glucose"]
    rows = [row, row]
    checking = Checking(VOCABULARY, RANGES, None)
    written = written_by(["high heart rate", None], rows, checking, references=references)
    result["rationale"] = {"full": rationale_scores(written)}
    result["names"] = {"full": {"names": 512, "unmatched": 13, "unmatched_distinct": 4}}
    return result


@pytest.fixture(scope="module")
def patient() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    fills = np.array([variable.fill for variable in VOCABULARY.variables])
    values = fills * rng.normal(1.0, 0.2, size=(20, 11))
    observed = rng.random(values.shape) < 0.6
    observed[:, 3] = False
    return {
        "note": "Chief complaint: dyspnea [on exertion] | see ``` fence\n" + "history " * 300,
        "lab_hours": np.sort(rng.uniform(0, 24, 20)).tolist(),
        "lab_values": [
            [v if o else None for v, o in zip(*r, strict=True)] for r in zip(values, observed, strict=True)
        ],
        "lab_observed": observed.tolist(),
        "lab_summary": "glucose is higher than normal three times",
        "diagnoses": [DISEASES[0].name, DISEASES[12].name],
        "rationale_note": "The note reports dyspnea.",
        "rationale_lab": "Glucose was high.",
        "predicted": [DISEASES[12].name, "Gout | podagra"],
        "generated_rationale": "High glucose supports it.",
    }


CURVES: dict[str, list[dict[str, float]]] = {
    "note": [{"step": 10, "loss": 3.0}, {"step": 10, "eval_loss": 2.9}, {"step": 20, "loss": 2.0, "epoch": 1.0}],
    "lab": [{"step": 10, "loss": 4.0}, {"step": 20, "eval_loss": 1.5}, {"step": 30, "eval_loss": 1.75}],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, metrics: dict[str, Any], patient: dict[str, Any]) -> Path:
    folder = tmp_path_factory.mktemp("report")
    report_into(folder, metrics=metrics, curves=CURVES, patient=patient, notices=[WARNING])
    return folder


def report_into(folder: Path, **given: Any) -> None:
    """Write a report in the shipped vocabulary unless the test gives another."""
    folder.mkdir(exist_ok=True)
    write_report(folder, **{"vocabulary": VOCABULARY, "range_set": RANGES, **given})


def table_after(text: str, heading: str) -> list[dict[str, str]]:
    """The first Markdown table below a heading, as rows by column name."""
    lines = text.split(f"\n{heading}\n", 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"[+-]?\d+\.\d+", cell)]


def test_every_score_in_the_table_is_the_measured_one(report: Path, metrics: dict[str, Any]) -> None:
    rows = {row["System"]: row for row in table_after((report / "report.md").read_text(), "## Diagnosis")}
    assert set(rows) == {system_name(name) for name in metrics["systems"]}
    assert {"micro F1", "micro precision", "micro recall", "macro F1", "macro recall"} <= set(rows["Full model"])
    for name, scores in metrics["systems"].items():
        for score in DIAGNOSIS_SCORES:
            cell = rows[system_name(name)][score.title]
            expected = [scores[score.name][side] for side in ("value", "low", "high")]
            assert numbers(cell) == pytest.approx(expected, abs=0.00051)


def test_every_disease_in_the_table_is_the_measured_one(report: Path, metrics: dict[str, Any]) -> None:
    rows = table_after((report / "report.md").read_text(), "## F1 per disease")
    by_name = {row["Disease"]: row for row in rows}
    assert len(rows) == 25
    for disease in DISEASES:
        for system, scores in metrics["per_disease"].items():
            score, cell = scores[disease.key], by_name[disease.name][system_name(system)]
            if score["value"] is None:
                assert cell == "undefined"
            else:
                assert numbers(cell) == pytest.approx([score[s] for s in ("value", "low", "high")], abs=0.0051)
        assert int(by_name[disease.name]["Held-out cases"]) == metrics["per_disease"]["full"][disease.key]["positives"]
    shown = [numbers(row["Full model"])[0] for row in rows if row["Held-out cases"] != "0"]
    assert shown == sorted(shown, reverse=True)
    assert rows[-1]["Disease"] == DISEASES[7].name


def test_the_verdict_follows_the_paired_interval(report: Path, metrics: dict[str, Any]) -> None:
    text = (report / "report.md").read_text()
    rows = {row["Does the full model beat …"]: row for row in table_after(text, "## Verdict")}
    for name in list(metrics["systems"])[1:]:
        difference = metrics["differences"][f"full_minus_{name}"]["micro_f1"]
        row = rows[system_name(name)]
        expected = [difference[side] for side in ("value", "low", "high")]
        assert numbers(row["Difference in micro F1"]) == pytest.approx(expected, abs=0.00051)
        assert (row["Answer"] == "yes") == (difference["low"] > 0)
    assert verdict_sentence(metrics) in text


@pytest.mark.parametrize(
    ("low", "high", "answer", "words"),
    [
        (0.01, 0.05, "yes", "It beats: note only, +0.030 (+0.010 to +0.050)."),
        (-0.01, 0.07, "no, the interval includes zero", "not shown to beat"),
        (0.0, 0.06, "no, the interval includes zero", "not shown to beat"),
        (-0.09, -0.01, "no, it is worse", "It is worse than: note only"),
    ],
)
def test_verdicts_are_honest(low: float, high: float, answer: str, words: str) -> None:
    ours, theirs = {"value": 0.6, "low": 0.58, "high": 0.62}, {"value": 0.57, "low": 0.55, "high": 0.59}
    made_up = {
        "systems": {"full": {"micro_f1": ours}, "note_only": {"micro_f1": theirs}},
        "differences": {"full_minus_note_only": {"micro_f1": {"value": (low + high) / 2, "low": low, "high": high}}},
    }
    (verdict,) = verdicts(made_up)
    assert verdict.answer == answer
    assert verdict.intervals_apart is False
    sentence = verdict_sentence(made_up)
    assert words in sentence
    assert ("It beats" in sentence) == (answer == "yes")


def test_the_verdict_names_the_strongest_other_system_even_if_it_is_stronger(
    report: Path, metrics: dict[str, Any]
) -> None:
    text = (report / "report.md").read_text()
    rows = {row["Model"]: row for row in table_after(text, "### Against the strongest other system")}
    expected = {
        "full": ("gradient_boosting", "no, it is worse", "It loses to"),
        "note_only": ("gradient_boosting_note", "no, the interval includes zero", "Note only is not shown to beat"),
        "labs_only": ("gradient_boosting_labs", "yes", "Labs only beats"),
    }
    assert list(rows) == [system_name(model) for model in expected]
    sentence = verdict_sentence(metrics)
    for model, (baseline, answer, words) in expected.items():
        row, difference = rows[system_name(model)], metrics["differences"][f"{model}_minus_{baseline}"]["micro_f1"]
        assert row["Strongest baseline that reads the same"] == system_name(baseline)
        assert row["Answer"] == answer
        found = numbers(row["Difference in micro F1"])
        assert found == pytest.approx([difference[side] for side in ("value", "low", "high")], abs=0.00051)
        other = f"{system_name(baseline).lower()}, micro F1 {metrics['systems'][baseline]['micro_f1']['value']:.3f}"
        assert f"{words} the strongest other system that reads the same, {other}" in sentence
    # It stands before the systems that the full model beats, and is not said twice.
    assert sentence.index("It loses to") < sentence.index("It beats:")
    assert "It is worse than" not in sentence


def test_scores_of_probabilities_are_shown_where_there_are_any(report: Path, metrics: dict[str, Any]) -> None:
    text = (report / "report.md").read_text()
    rows = {row["System"]: row for row in table_after(text, "## Diagnosis")}
    for name, scores in metrics["systems"].items():
        for score in RANKING_SCORES:
            cell = rows[system_name(name)][score.title]
            if name in ("full", "note_only", "labs_only"):
                assert cell == "–"
            else:
                expected = [scores[score.name][side] for side in ("value", "low", "high")]
                assert numbers(cell) == pytest.approx(expected, abs=0.00051)
    assert "without probabilities, so nothing can be ranked (full model, note only, labs only)" in text


def test_warnings_stand_before_any_number(report: Path) -> None:
    text = (report / "report.md").read_text()
    assert text.index(WARNING) < text.index("## Verdict")
    assert not re.search(r"\d\.\d", text[: text.index(WARNING)])


def test_counts_losses_and_generated_text_are_reported(report: Path, metrics: dict[str, Any]) -> None:
    text = (report / "report.md").read_text()
    assert f"150 examples of {metrics['held_out']['subjects']} patients" in text
    assert "lab: lowest validation loss 1.500 at step 20, last 1.750" in text
    (row,) = table_after(text, "## Generated text")
    assert numbers(row["BLEU of the rationale"]) == pytest.approx([metrics["rationale"]["full"]["bleu"]], abs=0.0051)
    assert (row["Well-formed outputs"], row["Disease names written"], row["Outside the vocabulary"]) == (
        "50.0 %",
        "512",
        "13",
    )
    assert metrics["rationale"]["full"]["signature"] in text


def test_claims_and_omissions_are_in_the_report_in_per_cent(
    tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    scored = metrics | {"rationale": {"full": claiming()}, "teacher": claiming(Verified.unchecked(TRUE))}
    report_into(tmp_path, metrics=scored, curves={}, patient=patient, notices=[])
    text = (tmp_path / "report.md").read_text()
    rows = {row["Rationales"]: row for row in table_after(text, "## Claims")}
    assert list(rows) == ["Full model, as written", "Full model, as shown", "The teacher"]
    for row, name in ((rows["Full model, as written"], "raw"), (rows["Full model, as shown"], "shown")):
        data = scored["rationale"]["full"]["claims"][name]["data"]
        expected = [100 * data["contradicted"][side] for side in ("value", "low", "high")]
        assert numbers(row["Contradicted"]) == pytest.approx(expected, abs=0.051)
        assert int(row["Claims about the data"]) == data["claims"]
    kinds = {row["Kind"]: row for row in table_after(text, "### By kind")}
    assert kinds["level"]["Full model, as written"] == "50.0 / 0.0 of 2"
    assert kinds["level"]["Full model, as shown"] == "0.0 / 0.0 of 1"
    assert "note" not in kinds
    (withheld,) = table_after(text, "### Sentences that are not shown as written")
    assert withheld["Withheld"].startswith("50.0 %")
    (findings, *_) = table_after(text, "## Findings that are mentioned")
    assert findings["The 3 strongest findings of the series"].startswith("100.0 %")
    assert "## Evidence that is cited" not in text


def test_the_verdict_says_what_does_not_hold_and_what_is_withheld(metrics: dict[str, Any]) -> None:
    sentence = verdict_sentence(metrics | {"rationale": {"full": claiming()}})
    assert (
        "50.0 % (50.0 to 50.0) is contradicted by the patient's own data as written, 0.0 % (0.0 to 0.0) as" in sentence
    )
    assert "50.0 % (50.0 to 50.0) of its sentences are withheld." in sentence
    silent = verdict_sentence(metrics | {"rationale": {"full": claiming(Verified.unchecked("Nothing is known."))}})
    assert "claim nothing about the data" in silent


def test_the_terminal_shows_the_claims_of_every_system(metrics: dict[str, Any]) -> None:
    console = printed()
    print_table(console, metrics | {"rationale": {"full": claiming(), "note_only": claiming()}})
    text = text_of(console)
    table = text[text.index("Rationales, checked") :]
    half, none, one = "50.0 % (50.0 to 50.0)", "0.0 % (0.0 to 0.0)", "1.00 (1.00 to 1.00)"
    assert table.startswith("Rationales, checked against the patients' data Full model Note only")
    for line in (
        f"Claims contradicted, as written {half} {half}",
        f"Claims contradicted, as shown {none} {none}",
        f"Claims supported a rationale {one} {one}",
        f"Sentences withheld {half} {half}",
        "Evidence in the note cited no truth no truth",
    ):
        assert line in table


TRUE, FALSE = "Heart rate is high.", "Heart rate is low."


HALF = Verified(f"{TRUE} {FALSE}", TRUE, sentences=2, withheld=1)
"""One true and one false sentence, of which the false one is withheld."""


def claiming(answer: Verified = HALF) -> dict[str, Any]:
    """The entries of a system that writes this about its only patient."""
    row = row_with(VOCABULARY, "heart_rate", 130.0, 140.0)
    return rationale_scores(written_by([answer], [row], Checking(VOCABULARY, RANGES, None)))


def test_the_patient_is_shown_in_full_and_cannot_break_the_page(report: Path, patient: dict[str, Any]) -> None:
    text = (report / "report.md").read_text()
    part = text.split("## One patient in full", 1)[1]
    # The note holds a fence of three, so its own fence is longer and nothing of it is Markdown.
    assert "````text\nChief complaint: dyspnea [on exertion] | see ``` fence\n" in part
    assert "more characters)" in part
    rows = {row["Disease"]: (row["Given by the model"], row["True"]) for row in table_after(part, "### Diagnoses")}
    assert rows == {
        DISEASES[0].name: ("", "yes"),
        DISEASES[12].name: ("yes", "yes"),
        "Gout \\| podagra": ("yes", ""),
    }
    for piece in ("lab_summary", "rationale_note", "rationale_lab", "generated_rationale"):
        assert patient[piece] in part


def test_metrics_json_is_the_input_and_strict_json(report: Path, metrics: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads((report / "metrics.json").read_text(), parse_constant=refuse) == metrics


def test_figures_have_alt_text_and_content(report: Path) -> None:
    shown = dict(re.findall(r"!\[(.+?)\]\((\S+?)\)", (report / "report.md").read_text()))
    assert sorted(shown.values()) == sorted(FIGURES)
    assert all(len(alt) > 40 for alt in shown)
    for name in FIGURES:
        with Image.open(report / name) as image:
            image.verify()
        with Image.open(report / name) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert min(pixels.shape[:2]) > 400
        assert pixels.std() > 10
        # Nothing is cut off: the outermost pixels are background.
        frame = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        assert all((edge == 255).all() for edge in frame), name


def test_probabilities_get_figures_and_tables(
    tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((300, 4)) < 0.3
    logits = np.where(labels, 1.5, -1.5) + rng.normal(0, 1.5, labels.shape)
    bootstrap = Bootstrap(range(300), resamples=100)
    given = {name: 1 / (1 + np.exp(-sharpness * logits)) for name, sharpness in (("full", 3.0), ("labs_only", 0.4))}
    given["prevalence"] = np.full(labels.shape, 0.3)
    more = {
        "calibration": {
            name: calibration_scores(labels, p, bootstrap, None if name == "prevalence" else (labels, p))
            for name, p in given.items()
        },
        "risk_coverage": {name: risk_coverage(labels, p >= 0.5, p, bootstrap) for name, p in given.items()},
    }
    report_into(tmp_path, metrics=metrics | more, curves={}, patient=None, notices=[])
    text = (tmp_path / "report.md").read_text()
    rows = {row["System"]: row for row in table_after(text, "## Calibration")}
    assert list(rows) == ["Full model", "Labs only", "Prevalence guess"]
    for title, name in (("Full model", "full"), ("Labs only", "labs_only")):
        found = more["calibration"][name]
        assert float(rows[title]["Temperature"]) == pytest.approx(found["temperature"], abs=0.0006)
        for cell, part in (("Calibration error", "before"), ("Error, scaled", "after")):
            assert numbers(rows[title][cell])[0] == pytest.approx(found[part]["calibration_error"]["value"], abs=6e-4)
    assert [rows["Prevalence guess"][cell] for cell in ("Temperature", "Error, scaled")] == ["–", "–"]
    risks = {row["System"]: row for row in table_after(text, "## Risk and coverage")}
    assert numbers(risks["Full model"]["Area, lists"])[0] == pytest.approx(
        more["risk_coverage"]["full"]["lists"]["area"]["value"], abs=6e-4
    )
    assert float(risks["Labs only"]["Risk of all decisions"]) == pytest.approx(
        more["risk_coverage"]["labs_only"]["decisions"]["risk"], abs=6e-4
    )
    assert not any(words in text for words in ("One patient in full", "## Training", "Generated text"))
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("f1_per_disease.png", "reliability.png", "risk_coverage.png")
    }
    for name in ("reliability.png", "risk_coverage.png"):
        with Image.open(tmp_path / name) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert pixels.std() > 10
        assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), name


def test_equal_input_gives_equal_bytes(
    report: Path, tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    report_into(tmp_path, metrics=metrics, curves=CURVES, patient=patient, notices=[WARNING])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(["metrics.json", "report.md", *FIGURES])
    for name in names:
        assert (tmp_path / name).read_bytes() == (report / name).read_bytes(), name


def test_variables_and_ranges_of_ones_own_reach_the_report(
    tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any], lactate_vocabulary: Vocabulary
) -> None:
    # Twelve variables fill the figure's usual grid: the key needs a row of its own.
    own = {
        **patient,
        "lab_values": [[*step, 2.5] for step in patient["lab_values"]],
        "lab_observed": [[*step, True] for step in patient["lab_observed"]],
    }
    paper = lactate_vocabulary.range_set("paper")
    for name, given in (("paper", paper), ("clinical", lactate_vocabulary.range_set("clinical"))):
        report_into(
            tmp_path / name,
            metrics=metrics,
            curves={},
            patient=own,
            notices=[],
            vocabulary=lactate_vocabulary,
            range_set=given,
        )
        text = (tmp_path / name / "report.md").read_text()
        assert f"11 of 12 variables were measured, over 20 steps; points outside the {name} range are marked" in text
    pictures = [(tmp_path / name / "patient_series.png").read_bytes() for name in ("paper", "clinical")]
    assert pictures[0] != pictures[1]
    with Image.open(tmp_path / "paper" / "patient_series.png") as image:
        assert image.height == pytest.approx(5 * 2.375 * 150, abs=2)


def test_an_empty_patient_and_no_curves_still_make_a_report(
    tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    bare = {
        **patient,
        **{key: [] for key in ("lab_hours", "lab_values", "lab_observed", "diagnoses", "predicted")},
        **dict.fromkeys(("note", "lab_summary", "rationale_note", "rationale_lab"), ""),
        "generated_rationale": None,
    }
    report_into(tmp_path, metrics=metrics, curves={}, patient=bare, notices=[])
    text = (tmp_path / "report.md").read_text()
    for words in ("has no note", "nothing was measured", "could not be parsed", "the teacher wrote none"):
        assert words in text
    assert "No training curve was recorded." in text
    assert "Read this before the numbers" not in text


def test_what_is_missing_is_named_and_nothing_half_written(
    tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    without = {key: value for key, value in metrics.items() if key != "held_out"}
    with pytest.raises(InputDataError, match="lack held_out"):
        report_into(tmp_path, metrics=without, curves=CURVES, patient=patient, notices=[])
    nameless = {key: value for key, value in patient.items() if key != "predicted"}
    with pytest.raises(InputDataError, match="lacks predicted"):
        report_into(tmp_path, metrics=metrics, curves=CURVES, patient=nameless, notices=[])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("others", [{}, CURVES])
def test_a_phase_without_a_logged_loss_costs_no_report(
    others: dict[str, Any], tmp_path: Path, metrics: dict[str, Any], patient: dict[str, Any]
) -> None:
    curves = {**others, "short": [], "shorter": [{"step": 1, "learning_rate": 0.1}]}
    report_into(tmp_path, metrics=metrics, curves=curves, patient=patient, notices=[])
    text = (tmp_path / "report.md").read_text()
    for phase in ("short", "shorter"):
        assert f"{phase}: no loss was logged" in text
    assert (tmp_path / "training_curves.png").is_file() == ("training_curves.png" in text) == bool(others)


def test_figures_leave_no_global_state(tmp_path: Path) -> None:
    code = (
        "import sys, matplotlib;"
        # Reading the backend would make matplotlib import pyplot to choose one.
        "state = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'};"
        "before = state();"
        "from pathlib import Path; from clinragen.evaluation.figures import plot_curves;"
        "plot_curves(Path(sys.argv[1]), {'note': [{'step': 1, 'loss': 2.0}, {'step': 2, 'loss': 1.0}]});"
        "assert state() == before; assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    target = str(tmp_path / "curves.png")
    done = subprocess.run([sys.executable, "-c", code, target], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_note_excerpt_is_cut_at_a_word() -> None:
    note = "alpha beta gamma"
    assert note_excerpt(note, 16) == note
    assert note_excerpt(note, 12) == "alpha beta … (6 more characters)"


def printed(width: int = 130) -> Console:
    return Console(file=StringIO(), width=width, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", console.file.getvalue()).split())


def test_the_terminal_table_shows_the_scores_and_the_verdict(metrics: dict[str, Any]) -> None:
    console = printed()
    print_table(console, metrics)
    text = text_of(console)
    for name, scores in metrics["systems"].items():
        assert system_name(name) in text
        assert f"{scores['micro_f1']['value']:.3f} ({scores['micro_f1']['low']:.3f}" in text
    assert verdict_sentence(metrics) in text


def test_the_terminal_patient_is_printed_as_written(patient: dict[str, Any]) -> None:
    console = printed()
    print_patient(console, patient)
    text = text_of(console)
    assert "dyspnea [on exertion]" in text
    assert "The note reports dyspnea. Glucose was high." in text
    assert re.search(rf"{re.escape(DISEASES[0].name)} - yes", text)
    with pytest.raises(InputDataError, match="lacks note"):
        print_patient(console, {key: value for key, value in patient.items() if key != "note"})
