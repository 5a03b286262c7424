"""The hand-written admissions: their file is sound and unchanged, and the scores on them are counted right."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import admissions as benchmark
from admissions_set import ADMISSIONS, Admission, load_admissions

from clinragen.claims.sentences import CheckedSentence, Patient
from clinragen.claims.types import Claim, Evidence
from clinragen.inference import Explainer, Explanation
from modeling_clinragen import ClinRaGenProcessor
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

SHOCK, SEPSIS, HYPERTENSION = "Shock", "Septicemia (except in labor)", "Essential hypertension"
DIABETES = "Diabetes mellitus without complication"
FIRST = {
    "id": "h1",
    "kind": "typical",
    "note": "Septic shock\nafter cholangitis. PMH: HTN. No DM.\n",
    "series": {"hours": [0, 1.5], "heart_rate": [124, 110], "temperature": [39.4, None]},
    "present": [SHOCK, SEPSIS, HYPERTENSION],
    "named": {SHOCK: ["Septic shock after"], SEPSIS: ["~after cholangitis"], HYPERTENSION: ["HTN", "~PMH: HTN"]},
    "absent": {DIABETES: "No DM"},
}
SECOND = {
    "id": "h2",
    "kind": "negated",
    "note": "No complaints, no shock.",
    "series": {"hours": [0], "heart_rate": [72]},
    "present": [],
    "named": {},
    "absent": {SHOCK: "no shock", DIABETES: "No complaints"},
}
NOTHING = {
    "id": "h3",
    "kind": "typical",
    "note": "-",
    "series": {"hours": [0], "heart_rate": [None]},
    "present": [SHOCK],
    "named": {SHOCK: []},
}


def write(path: Path, *entries: Any) -> Path:
    path.write_text(yaml.safe_dump({"admissions": list(entries)}, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture
def hand_made(tmp_path: Path, vocabulary: Vocabulary) -> list[Admission]:
    return load_admissions(vocabulary, write(tmp_path / "hand.yaml", FIRST, SECOND, NOTHING))


def test_the_set_is_sound_and_frozen(vocabulary: Vocabulary) -> None:
    found = load_admissions(vocabulary)
    assert [sum(one.kind == kind for one in found) for kind in ("typical", "ambiguous", "negated")] == [10, 10, 10]
    column = {key: place for place, key in enumerate(vocabulary.variable_keys)}
    for one in found:
        systolic, diastolic, mean = (
            one.series.values[:, column[f"{part}_blood_pressure"]] for part in ("systolic", "diastolic", "mean")
        )
        differs = np.abs(mean - (systolic + 2 * diastolic) / 3)
        assert not (differs > 2.5).any(), one.id
        assert one.series.observed.any()
    # A test set that changes compares nothing. A new one gets a new file.
    assert sha256(ADMISSIONS.read_bytes()).hexdigest() == (
        "ba01f549ae682373b328ba6122d07d53dc4820d6a2c6423028481c96bc9bf778"
    )


def test_an_admission_is_read_as_written(hand_made: list[Admission], vocabulary: Vocabulary) -> None:
    first, second, nothing = hand_made
    assert first.present == (SHOCK, SEPSIS, HYPERTENSION)
    assert first.named == {SHOCK: ("Septic shock after",), SEPSIS: (), HYPERTENSION: ("HTN",)}
    assert first.absent == {DIABETES: "No DM"}
    assert first.series.hours.tolist() == [0, 1.5]
    rates = first.series.values[:, vocabulary.variable_keys.index("heart_rate")]
    assert rates.tolist() == [124, 110]
    assert first.series.observed.sum() == 3
    assert second.present == ()
    assert nothing.absent == {}
    assert not nothing.series.observed.any()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"kind": "odd"}, "h1: unknown kind 'odd'"),
        ({"present": [SHOCK, SEPSIS]}, "h1: `named` needs an entry for each present disease"),
        ({"present": [SHOCK, SHOCK, SEPSIS, HYPERTENSION]}, "h1: a disease is present twice"),
        ({"present": ["Gout"], "named": {"Gout": []}}, "h1: 'Gout' is not a disease of the vocabulary"),
        ({"absent": {"Gout": "No DM"}}, "h1: 'Gout' is not a disease of the vocabulary"),
        ({"absent": {SHOCK: "No DM"}}, "h1: 'Shock' is both present and absent"),
        ({"absent": {DIABETES: "no DM"}}, "h1: 'no DM' is not in the note"),
        ({"named": {**FIRST["named"], SHOCK: ["~shock of sepsis"]}}, "h1: 'shock of sepsis' is not in the note"),
        ({"named": {**FIRST["named"], SHOCK: ["~"]}}, "h1: '' is not in the note"),
        ({"series": {"hours": [0, 1], "heart_rate": [80]}}, "h1: heart_rate has 1 values for 2 hours"),
        ({"series": {"hours": [1, 1], "heart_rate": [80, 81]}}, "h1: the hours of the series do not rise"),
        ({"series": {"hours": [0], "pulse": [80]}}, "h1: 'pulse' is not a variable of the vocabulary"),
        ({"series": {"hours": [0], "heart_rate": [1124]}}, "h1: heart_rate has an implausible value"),
        ({"series": {"heart_rate": [80]}}, "h1: the series has no `hours`"),
        ({"age": 71}, "h1: needs id, kind, named, note, present, series, and may have absent"),
        ({"id": "h2"}, "h2: is given more than once"),
    ],
)
def test_each_fault_is_named(changed: dict[str, Any], fault: str, tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = write(tmp_path / "hand.yaml", {**FIRST, **changed}, SECOND)
    with pytest.raises(InputDataError) as raised:
        load_admissions(vocabulary, path)
    assert fault in str(raised.value)
    assert "hand.yaml: correct 1 fault(s): " in str(raised.value)


def test_a_file_without_admissions_is_refused(tmp_path: Path, vocabulary: Vocabulary) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("patients: []\n")
    with pytest.raises(InputDataError, match=r"other\.yaml: has no list of `admissions`"):
        load_admissions(vocabulary, path)


def explanation(
    one: Admission, diagnoses: list[str], claims: list[tuple[str, str]], bare: list[str], *warnings: str
) -> Explanation:
    """An answer with claims of these kinds and verdicts, in one sentence."""
    made = tuple(Claim("x", (0, 1), None, kind, verdict, Evidence("by hand")) for kind, verdict in claims)
    return Explanation(
        diagnoses=tuple(diagnoses),
        rationale="x",
        sentences=(CheckedSentence("x", (0, 1), made),),
        withheld=(),
        verified=True,
        without_evidence=tuple(bare),
        warnings=warnings,
        text="x",
        problem=None,
        patient=Patient(one.series, one.note),
        range_set="clinical",
    )


def counts(shares: dict[str, Any]) -> tuple[int, int]:
    return shares["count"], shares["of"]


def test_the_scores_of_a_hand_made_case(hand_made: list[Admission], vocabulary: Vocabulary) -> None:
    first, second, nothing = hand_made
    shown = [("level", "supported"), ("tie", "supported"), ("note", "supported")]
    raw = [("level", "contradicted"), ("note", "unverifiable"), ("tie", "contradicted"), ("absence", "supported")]
    answers = [
        benchmark.Answer(
            first,
            explanation(first, [SHOCK, DIABETES, "Pneumonia of some kind"], shown, [DIABETES], "odd words", "cut"),
            explanation(first, [SHOCK], raw, []),
            unlike_note=("odd words",),
        ),
        benchmark.Answer(
            second,
            explanation(second, [], [("level", "supported")], [], "few readings"),
            explanation(second, [], [], []),
            unlike_series=("few readings",),
        ),
        benchmark.Answer(nothing, None, None),
    ]
    scores = benchmark.Scorer(hand_made, vocabulary).answers(answers)
    # Right is shock of the first; wrong is diabetes; sepsis, hypertension and the third one's shock are missed.
    assert scores["micro_precision"]["value"] == pytest.approx(1 / 2)
    assert scores["micro_recall"]["value"] == pytest.approx(1 / 4)
    assert scores["micro_f1"]["value"] == pytest.approx(2 / (2 + 1 + 3))
    assert scores["micro_f1_by_kind"] == {"typical": pytest.approx(1 / 3), "ambiguous": None, "negated": None}
    assert counts(scores["named"]) == (1, 2)
    assert counts(scores["not_named"]) == (0, 2)
    assert counts(scores["denied"]) == (1, 3)
    assert counts(scores["listed_per_admission"]) == (2, 3)
    assert counts(scores["without_evidence"]) == (1, 3)
    assert counts(scores["unlike"]) == (2, 3)
    assert counts(scores["unlike_note"]) == (1, 3)
    assert counts(scores["not_read_whole"]) == (1, 3)
    assert counts(scores["no_diagnosis"]) == (1, 3)
    assert counts(scores["refused"]) == (1, 3)
    claims = scores["claims"]
    # Two of the three were answered.
    assert counts(claims["shown"]["all"]["per_rationale"]) == (4, 2)
    assert counts(claims["shown"]["data"]["supported"]) == (3, 3)
    assert counts(claims["shown"]["ties"]["supported"]) == (1, 1)
    assert counts(claims["raw"]["data"]["contradicted"]) == (1, 2)
    assert counts(claims["raw"]["data"]["unverifiable"]) == (1, 2)
    assert counts(claims["raw"]["ties"]["contradicted"]) == (1, 1)
    assert counts(claims["raw"]["absences"]["supported"]) == (1, 1)
    for name in ("micro_precision", "micro_recall", "micro_f1"):
        assert 0 <= scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"] <= 1


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["admissions.py", *map(str, arguments)])
    benchmark.main()


@pytest.fixture(scope="module")
def result(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script writes of a tiny model and of the baselines about hand-made admissions."""
    folder = tmp_path_factory.mktemp("admissions")
    path = write(folder / "hand.yaml", FIRST, SECOND, NOTHING)
    with pytest.MonkeyPatch.context() as patch:
        run(
            patch,
            *(tiny_run / "model", "--boosting", tiny_run / "rationales"),
            *("--admissions", path, "--device", "cpu", "--output", folder / "result.json"),
        )
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_the_script_says_what_was_measured_where(result: dict[str, Any], tiny_run: Path) -> None:
    name = f"{tiny_run.name}/model"
    assert result["command"] == f"python benchmarks/admissions.py {name} --boosting COHORT --seed 0"
    assert {"commit", "seed", "cores", "processor", "python", "versions"} <= set(result)
    weights = sha256((tiny_run / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert result["models"] == {name: {"device": "cpu", "weights": weights}}
    assert {key: result["set"][key] for key in ("admissions", "present", "named", "denied")} == {
        "admissions": 3,
        "present": 4,
        "named": 2,
        "denied": 3,
    }
    assert set(result["systems"]) == {
        *(name, "gradient_boosting", "gradient_boosting_note", "gradient_boosting_labs"),
        *("logistic_regression", "prevalence"),
    }
    assert str(tiny_run) not in json.dumps(result)


def test_the_scores_of_a_model_are_those_of_its_answers(
    result: dict[str, Any], tiny_run: Path, hand_made: list[Admission]
) -> None:
    """Counted again from what the model says when it is asked directly."""
    (name,) = result["answers"]
    scores, answers = result["systems"][name], result["answers"][name]
    shown, raw = (Explainer.from_pretrained(tiny_run / "model", device="cpu", raw=free) for free in (False, True))
    asked = [(shown.explain(one.note, one.series), raw.explain(one.note, one.series)) for one in hand_made[:2]]
    entries = [FIRST, SECOND]
    listed = [set(one.diagnoses) for one, _ in asked]
    for entry, names, (one, _) in zip(entries, listed, asked, strict=True):
        answer = answers[entry["id"]]
        assert {*answer["right"], *answer["wrong"]} == names
        assert {*answer["right"], *answer["missed"]} == set(entry["present"])
        assert set(answer["denied"]) == names & set(entry["absent"])
        assert answer["rationale"] == one.rationale
        assert [*answer["unlike_note"], *answer["unlike_series"]] == [
            warning for warning in one.warnings if not warning.startswith("The note is longer")
        ]
    assert answers["h3"] == {
        **{key: [] for key in ("right", "wrong", "denied", "unlike_note", "unlike_series")},
        **{"missed": [SHOCK], "rationale": ""},
    }
    hits = sum(len(names & set(entry["present"])) for entry, names in zip(entries, listed, strict=True))
    total = sum(map(len, listed))
    assert scores["micro_recall"]["value"] == pytest.approx(hits / 4)
    assert scores["micro_precision"]["value"] == pytest.approx(hits / total if total else 0)
    assert counts(scores["named"]) == (len(listed[0] & {SHOCK, HYPERTENSION}), 2)
    assert counts(scores["denied"]) == (len(listed[0] & {DIABETES}) + len(listed[1] & {SHOCK, DIABETES}), 3)
    assert counts(scores["refused"]) == (1, 3)
    assert counts(scores["no_diagnosis"]) == (sum(not names for names in listed), 3)
    assert counts(scores["without_evidence"]) == (sum(len(one.without_evidence) for one, _ in asked), total)
    for text, place in (("shown", 0), ("raw", 1)):
        verdicts = [claim.verdict for pair in asked for each in pair[place].sentences for claim in each.claims]
        found = scores["claims"][text]["all"]
        assert counts(found["per_rationale"]) == (len(verdicts), 2)
        for verdict in ("supported", "contradicted", "unverifiable"):
            assert counts(found[verdict]) == (verdicts.count(verdict), len(verdicts))


def test_the_prevalence_guess_gives_everybody_the_same(result: dict[str, Any]) -> None:
    count, of = counts(result["systems"]["prevalence"]["listed_per_admission"])
    assert of == 3
    assert count % 3 == 0
    assert count > 0


def test_a_model_of_generated_notes_says_that_these_are_unlike_them(tiny_run: Path, vocabulary: Vocabulary) -> None:
    processor = ClinRaGenProcessor.from_pretrained(tiny_run / "model")
    for one in load_admissions(vocabulary):
        given = {"hours": one.series.hours, "values": one.series.values}
        said = processor.unlike(processor.read_report(one.note, given))
        assert any("words are unknown to the model" in sentence for sentence in said), one.id


def test_what_cannot_be_measured_ends_in_one_line(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = tiny_run / "model", tmp_path / "result.json"
    for models, said in (([tmp_path / "none"], "there is no such folder"), ([model, model], "the same folder names")):
        with pytest.raises(SystemExit):
            run(monkeypatch, *models, "--output", output)
        assert said in capsys.readouterr().err
    assert not output.exists()
