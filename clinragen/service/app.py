"""The service as an ASGI application: patients in, checked explanations out, both as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from clinragen.claims.sentences import Patient
from clinragen.service.batches import Batches, ClosedError, QueueFullError
from clinragen.service.config import ServiceConfig
from clinragen.service.schema import CheckRequest, ExplainRequest, Health, PatientData
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import ClinRaGenError, ModelInputError
from modeling_clinragen.series_input_clinragen import standard_series

if TYPE_CHECKING:
    from clinragen.inference import Explainer, Explanation

logger = logging.getLogger(__name__)

RETRY_AFTER = "1"
"""Seconds after which a request that found no room may be sent again."""
_FAULT = {"description": "The request was refused.", "content": {"application/json": {"example": {"error": "why"}}}}


def service_app(
    explainer: Explainer,
    render: Callable[[Explanation], dict[str, Any]],
    check: Callable[[str, Patient, Sequence[str] | None], dict[str, Any]],
    config: ServiceConfig,
) -> FastAPI:
    """The application, without anything that keeps others out (see `clinragen.demo.guard`).

    Args:
        explainer: The model.
        render: An explanation as values of JSON.
        check: A checked rationale as values of JSON: of a text, a patient and the diseases that it has to agree with.
        config: How requests are answered.
    """
    batches: Batches[Patient, Explanation] = Batches(explainer.explain_many, config.batch_size, config.queue)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        yield
        await batches.close()

    app = FastAPI(
        title="ClinRaGen",
        version=version("clinragen"),
        description="Diagnoses from a note and measurements, with sentences that the patient's data support. Research "
        "software, not a medical device.",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
    )
    refusals: dict[int | str, dict[str, Any]] = {400: _FAULT, 413: _FAULT, 422: _FAULT, 503: _FAULT}

    @app.get("/healthz", summary="Is the service there?")
    async def health() -> Health:
        return Health(status="ok", waiting=batches.waiting)

    @app.post("/explain", summary="Diagnose patients and explain why", responses=refusals)
    async def explain(request: ExplainRequest) -> dict[str, Any]:
        patients = [_patient(explainer, one, f"patients[{place}]") for place, one in enumerate(request.patients)]
        found = await batches.answer(patients)
        return {"explanations": [render(one) for one in found]}

    @app.post("/check", summary="Check a rationale against a patient's data", responses=refusals)
    async def check_text(request: CheckRequest) -> dict[str, Any]:
        patient = _patient(explainer, request.patient, "patient")
        return await asyncio.to_thread(check, request.text, patient, request.diagnoses)

    @app.exception_handler(ClinRaGenError)
    async def refuse(request: Request, error: ClinRaGenError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.exception_handler(RequestValidationError)
    async def refuse_form(request: Request, error: RequestValidationError) -> JSONResponse:
        # Where and what, but not the value: it may be the patient's.
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"error": f"{where or 'body'}: {first['msg']}"}, status_code=422)

    @app.exception_handler(QueueFullError)
    async def wait(request: Request, error: QueueFullError) -> JSONResponse:
        return JSONResponse(
            {"error": "too many patients are waiting; send the request again later"},
            status_code=503,
            headers={"Retry-After": RETRY_AFTER},
        )

    @app.exception_handler(ClosedError)
    async def ending(request: Request, error: ClosedError) -> JSONResponse:
        return JSONResponse({"error": "the service is ending"}, status_code=503)

    return app


def _patient(explainer: Explainer, data: PatientData, where: str) -> Patient:
    series = None
    try:
        if data.labs is not None:
            vocabulary = explainer.vocabulary
            given = standard_series(data.labs, vocabulary.variable_keys, vocabulary)
            series = LabSeries.from_values(vocabulary, given["hours"], given["values"])
        return explainer.patient(data.note, series)
    except ClinRaGenError as error:
        raise ModelInputError(f"{where}: {error}") from error
