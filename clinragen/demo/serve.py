"""Serves the page of a model on this machine."""

from __future__ import annotations

from pathlib import Path

from clinragen.demo.page import LAUNCH, open_page
from clinragen.explain_config import ExplainConfig
from modeling_clinragen.errors import SettingsError


def serve(model: Path, config: ExplainConfig | None = None, *, cohort: Path | None = None, port: int = 7860) -> None:
    """Load a model and serve its page on 127.0.0.1 until interrupted.

    Args:
        model: Model folder.
        config: How patients are explained.
        cohort: Cohort whose test patients can be chosen; by default that of the run that made the model, if any.
        port: Port; 0 picks a free one.

    Raises:
        SettingsError: gradio is not installed, the port is taken, or the cohort's vocabulary is not the model's.
        StageError: There is no model.
    """
    beside = model.resolve().parent / "rationales"
    if cohort is None and beside.is_dir():
        cohort = beside
    page = open_page(model, config, cohort=cohort)
    try:
        page.launch(server_name="127.0.0.1", server_port=port or None, **LAUNCH)
    except OSError as error:
        raise SettingsError(f"port {port} of 127.0.0.1 cannot be used; choose another with --port") from error
