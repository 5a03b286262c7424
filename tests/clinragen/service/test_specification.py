"""The service against its own description: schemathesis sends what the description allows and what it forbids."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from clinragen.explain_config import ExplainConfig
from clinragen.inference import Explainer
from clinragen.service.app import guarded_app
from clinragen.service.config import ServiceConfig
from clinragen.service.serve import ServiceAccess

TOKEN = "a-token-of-the-tests"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
NOTE = "Chief Complaint:\nfever and dyspnea\nPast Medical History:\n- hypertension on Lisinopril\n"
# A schema cannot say that of note and labs one must be given and say something, how columns are named, or what a body
# weighs in bytes: that is refused with 400 and 413, as described.
CONFIG = {
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["200", "400", "413"]},
        "negative_data_rejection": {"expected-statuses": ["400", "403", "413", "422"]},
    }
}
GOOD = {
    "/explain": [
        {"patients": [{"note": NOTE}]},
        {"patients": [{"labs": {"hours": [0, 4], "heart rate (bpm)": [118, None], "temperature (°F)": [101.3, 102]}}]},
        {
            "patients": [
                {"note": NOTE, "labs": {"heart_rate": [[0, 118], [4.5, 124]], "pH": [[2, 7.2]]}},
                {"note": "x"},
            ]
        },
        {"patients": [{"note": "fever " * 2000, "labs": {"hours": [], "glucose": []}}]},
    ],
    "/check": [
        {"text": "Heart rate is high.", "patient": {"labs": {"heart_rate": [[0, 140]]}}, "diagnoses": []},
        {"text": '"fever" fits Shock.', "patient": {"note": NOTE}, "diagnoses": ["Shock", "Essential hypertension"]},
        {"text": "\N{FACE WITH TEARS OF JOY}", "patient": {"note": NOTE}},
    ],
}


@pytest.fixture(scope="module")
def described(small_explainer: Explainer) -> Any:
    settled = Explainer(small_explainer.model, small_explainer.processor, ExplainConfig(probabilities=True))
    access = ServiceAccess(frozenset({"http://testserver"}), TOKEN, "clinragen-test")
    app = guarded_app(settled, ServiceConfig(), access)
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_asgi("/openapi.json", app, config=config, headers=HEADERS)


@pytest.mark.parametrize(
    ("label", "mode", "statuses"),
    [
        ("GET /healthz", GenerationMode.POSITIVE, {200}),
        # Columns that no model knows; what a model answers is below.
        ("POST /explain", GenerationMode.POSITIVE, {400}),
        ("POST /explain", GenerationMode.NEGATIVE, {422}),
        ("POST /check", GenerationMode.POSITIVE, {200, 400}),
        ("POST /check", GenerationMode.NEGATIVE, {422}),
    ],
)
def test_every_answer_is_as_described(described: Any, label: str, mode: GenerationMode, statuses: set[int]) -> None:
    operation = described.find_operation_by_label(label)
    seen: Counter[int] = Counter()

    @seed(0)
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode))
    def holds(case: Any) -> None:
        seen[case.call_and_validate(headers=HEADERS).status_code] += 1

    holds()
    assert statuses <= seen.keys(), seen


@pytest.mark.parametrize(("path", "body"), [(path, body) for path, bodies in GOOD.items() for body in bodies])
def test_good_requests_are_answered_as_described(described: Any, path: str, body: Any) -> None:
    case = described[path]["POST"].Case(body=body, media_type="application/json")
    assert case.call_and_validate(headers=HEADERS).status_code == 200
