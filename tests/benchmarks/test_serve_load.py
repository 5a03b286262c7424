"""The load test: what it sends is the patient, and its medians and ratios are those of the runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import serve_load as benchmark
from serve_load import Taken

from clinragen.claims.sentences import Patient
from clinragen.inference import Explainer
from clinragen.service.patients import read_patient
from clinragen.service.schema import ExplainRequest
from dataset_builder.contract.lab_series import LabSeries


@pytest.fixture(scope="module")
def explainer(make_model: Any, make_processor: Any) -> Explainer:
    return Explainer(make_model("t5"), make_processor())


def test_the_request_is_the_patient(explainer: Explainer) -> None:
    values = np.full((3, len(explainer.vocabulary.variables)), np.nan)
    values[[0, 2], explainer.vocabulary.variable_keys.index("heart_rate")] = 118.3, 97.1
    values[1, explainer.vocabulary.variable_keys.index("ph")] = 7.31
    patient = Patient(LabSeries.from_values(explainer.vocabulary, np.array([0.1, 4.7, 20]), values), "Fever.")
    (sent,) = ExplainRequest.model_validate(json.loads(benchmark.body_of(patient))).patients
    assert read_patient(explainer, sent, "patient") == patient


def test_ratios_are_taken_within_a_run() -> None:
    # The machine was twice as slow in the second run, and both ways with it.
    found = {
        "service": [Taken(10, 5, [1.0] * 20), Taken(20, 10, [2.0] * 20), Taken(10, 5, [1.0] * 20)],
        "processes": [Taken(5, 5, [0.5] * 20), Taken(10, 10, [1.0] * 20), Taken(5, 5, [0.5] * 20)],
        "explain_many": [Taken(9, 4, ()), Taken(18, 8, ()), Taken(9, 4, ())],
        "generate": [Taken(5, 2, ()), Taken(10, 4, ()), Taken(5, 2, ())],
    }
    result = benchmark.summary(found, 20)
    assert result["ratios"]["service_to_explain_many"] == {"throughput": 0.9, "processor_time": 0.8}
    assert result["ratios"]["service_to_generate"] == {"throughput": 0.5, "processor_time": 0.4}
    assert result["ways"]["service"] == {"patients_per_second": 2, "processor_seconds_per_patient": 0.25}
    assert result["ratios"]["processes_to_generate"] == {"throughput": 1, "processor_time": 0.4}
    assert result["latency_seconds"]["service"] == {"median": 1, "p95": 1}
    assert result["latency_seconds"]["processes"] == {"median": 0.5, "p95": 0.5}
