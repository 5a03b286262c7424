"""A plain page on one model: choose a patient, or give a note and a CSV; diagnoses and rationale come back.

Made for one machine: it listens on the loopback address only, tells nobody that it runs, and keeps no history.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import load_range_set

from clinragen.inference import Explainer
from dataset_builder.contract.lab_csv import read_lab_csv
from dataset_builder.contract.lab_series import LabSeries
from dataset_builder.contract.lab_summary import summarise
from dataset_builder.contract.schema import load_examples
from modeling_clinragen.errors import ClinRaGenError, SettingsError, StageError

OWN = "My own note and measurements"
WARNING = (
    "Research software, not a medical device. A fluent rationale can be wrong: check it against the measurements."
)
SHOWN_PATIENTS = 50
SHOWN_DISEASES = 10


def patients_of(cohort: Path | None) -> dict[str, dict[str, Any]]:
    """Test patients of a cohort by the name they are shown under; empty without a cohort."""
    if cohort is None:
        return {}
    test = load_examples(cohort)["test"]
    rows = test.select(range(min(SHOWN_PATIENTS, len(test))))
    return {f"Patient {number}: {row['example_id']}": row for number, row in enumerate(rows, start=1)}


def build_page(explainer: Explainer, patients: dict[str, dict[str, Any]], title: str) -> Any:
    """Build the page (`gradio.Blocks`)."""
    import gradio as gr

    ranges = load_range_set("clinical")

    def choose(name: str) -> tuple[str, str, str]:
        if name == OWN:
            return "", "", ""
        row = patients[name]
        return row["note"], row["lab_summary"], ", ".join(row["diagnoses"]) or "none"

    def explain(name: str, note: str, table: str | None) -> tuple[str, str, str, dict[str, float] | None]:
        try:
            if table is not None:
                series = read_lab_csv(Path(table))
            elif name != OWN:
                series = LabSeries.from_example(patients[name])
            else:
                series = LabSeries.empty()
            if not note.strip() and len(series) == 0:
                raise SettingsError("give a note, a CSV with measurements, or both")
            found = explainer.explain(note.strip(), series)
        except ClinRaGenError as error:
            raise gr.Error(str(error), print_exception=False) from error
        # A text that cannot be read says nothing; it must not look like a clean bill of health.
        none = "No disease is diagnosed." if found.problem is None else "No diagnosis could be read."
        listed = "\n".join(f"- {disease}" for disease in found.diagnoses) or none
        rationale = found.rationale
        if found.problem is not None:
            rationale = f"The output is malformed ({found.problem}). As written: {found.text}"
        scores = None if found.probabilities is None else dict(found.probabilities)
        return listed, rationale, summarise(series, ranges) or "Nothing was measured.", scores

    # Uploaded files are removed when the page is closed down.
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 600)) as page:
        gr.Markdown(f"# {title}\n\n{WARNING}")
        with gr.Row():
            with gr.Column():
                patient = gr.Dropdown(
                    [OWN, *patients], value=next(iter(patients), OWN), label="Patient", elem_id="patient"
                )
                note = gr.Textbox(label="Note", lines=14, max_lines=24, elem_id="note")
                table = gr.File(label="Measurements (CSV: hours plus variables with units)", file_types=[".csv"])
                button = gr.Button("Explain", variant="primary", elem_id="explain")
            with gr.Column():
                gr.Markdown("### Diagnoses")
                diagnoses = gr.Markdown(elem_id="diagnoses")
                rationale = gr.Textbox(label="Rationale", lines=8, elem_id="rationale")
                scores = gr.Label(
                    label="Probability, given the other diseases listed (not calibrated)",
                    num_top_classes=SHOWN_DISEASES,
                    show_heading=False,
                    visible=explainer.probabilities,
                    elem_id="probabilities",
                )
                anomalies = gr.Textbox(label="Measurements in words", lines=4, elem_id="anomalies")
                truth = gr.Textbox(label="Coded diagnoses (known for patients of the cohort only)", elem_id="truth")
        # The browser's own memory and the queue's log would both keep patients: neither is used.
        quiet: dict[str, Any] = {"api_visibility": "private"}
        patient.change(choose, patient, [note, anomalies, truth], **quiet)
        page.load(choose, patient, [note, anomalies, truth], **quiet)
        button.click(explain, [patient, note, table], [diagnoses, rationale, anomalies, scores], **quiet)
    return page


def serve(
    model: Path,
    *,
    cohort: Path | None = None,
    port: int = 7860,
    constrained: bool = True,
    probabilities: bool = False,
) -> None:
    """Load a model and serve the page on 127.0.0.1 until interrupted.

    Without `cohort`, the cohort of the run that made the model is used where there is one; `constrained` and
    `probabilities` are those of `Explainer`.

    Raises:
        SettingsError: gradio is not installed, or the port is taken.
        StageError: There is no model.
    """
    try:
        import gradio  # noqa: F401 (asked for here so that the message names the extra)
    except ImportError as error:
        raise SettingsError("the demo needs gradio; install it with: pip install 'clinragen[demo]'") from error
    if not (model / "config.json").is_file():
        raise StageError(f"{model}: holds no model; run `clinragen quickstart` first, or give another folder")
    beside = model.resolve().parent / "rationales"
    if cohort is None and beside.is_dir():
        cohort = beside
    explainer = Explainer.from_pretrained(model, constrained=constrained, probabilities=probabilities)
    page = build_page(explainer, patients_of(cohort), "ClinRaGen")
    try:
        page.launch(
            server_name="127.0.0.1",
            server_port=port or None,
            share=False,
            run_history=False,
            footer_links=[],
            show_error=True,
            ssr_mode=False,
        )
    except OSError as error:
        raise SettingsError(f"port {port} of 127.0.0.1 cannot be used; choose another with --port") from error
