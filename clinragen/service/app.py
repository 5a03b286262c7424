"""The service as an ASGI application: patients in, checked explanations out, both as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from clinragen.checking.checked import check_text
from clinragen.checking.inputs import read_diagnoses
from clinragen.checking.render_json import result
from clinragen.demo.access import Access
from clinragen.demo.guard import App, Guard
from clinragen.export.result import explanation_result
from clinragen.inference import Explainer
from clinragen.service import openapi
from clinragen.service.batches import Batches, ClosedError, QueueFullError
from clinragen.service.config import HEALTH, ServiceConfig
from clinragen.service.json_answers import Json, json_refusals, refusal
from clinragen.service.patients import read_patient
from clinragen.service.schema import CheckRequest, ExplainRequest, Health, Refused
from clinragen.service.workers import Workers
from modeling_clinragen.errors import ClinRaGenError, SettingsError
from modeling_clinragen.vocabulary_clinragen import Vocabulary

RETRY_AFTER = "1"
"""Seconds after which a request that found no room may be sent again."""
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refused, "description": "The request cannot be read, or a patient or text is not usable."},
    403: {"model": Refused, "description": "The token is missing or wrong, or the request comes from a web page."},
    413: {"model": Refused, "description": "The request is too large."},
    422: {"model": Refused, "description": "The request does not have the described form."},
    500: {"model": Refused, "description": "A fault of the service, whose log names its place."},
    503: {"model": Refused, "description": "Too many patients are waiting, or the service is ending."},
}


class Service(FastAPI):
    """FastAPI with the service's own description."""

    def openapi(self) -> dict[str, Any]:
        """The description."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi.complete(super().openapi(), frozenset([HEALTH]))
        return self.openapi_schema


def guarded_app(explainer: Explainer, config: ServiceConfig, access: Access, workers: Workers | None = None) -> App:
    """The application that answers whom `access` lets in, and all others with a line of JSON; see `service_app`."""
    return json_refusals(Guard(service_app(explainer, config, workers), access))


def service_app(explainer: Explainer, config: ServiceConfig, workers: Workers | None = None) -> FastAPI:
    """The application, without anything that keeps others out.

    Args:
        explainer: The model.
        config: How requests are answered.
        workers: Those that explain, which end with the application; by default this one alone.
    """
    batches = Batches((workers or explainer).explain_many, config.batch_size, config.queue)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        batches.open()
        yield
        await batches.close()
        if workers is not None:
            workers.close()

    app = Service(
        title="ClinRaGen",
        version=version("clinragen"),
        description="Diagnoses from a note and measurements, with sentences that the patient's data support. Research "
        "software, not a medical device.",
        lifespan=running,
        docs_url=None,
        redoc_url=None,
    )

    @app.get(HEALTH, summary="Is the service there?", responses={403: _REFUSALS[403]})
    async def health() -> Health:
        return Health(status="ok", waiting=batches.waiting)

    @app.post(
        "/explain",
        summary="Diagnose patients and explain why",
        response_model=None,
        responses=_REFUSALS | openapi.answer(openapi.EXPLANATIONS, "Each as `clinragen predict --json` has it."),
    )
    async def explain(request: ExplainRequest) -> Json:
        named = [(one, f"patients[{place}]") for place, one in enumerate(request.patients)]
        # Reading a long note or series takes its time, which others need not wait.
        with batches.coming():
            patients = await asyncio.to_thread(lambda: [read_patient(explainer, *one) for one in named])
        found = await batches.answer(patients)
        return Json({"explanations": [explanation_result(one) for one in found]})

    @app.post(
        "/check",
        summary="Check a rationale against a patient's data",
        response_model=None,
        responses=_REFUSALS | openapi.answer(openapi.CHECKED, "As `clinragen check --format json` has it."),
    )
    async def check(request: CheckRequest) -> Json:
        def checked() -> dict[str, Any]:
            patient = read_patient(explainer, request.patient, "patient")
            listed = _listed(request.diagnoses, explainer.vocabulary)
            return result(check_text(request.text, patient, explainer.checking, listed))

        return Json(await asyncio.to_thread(checked))

    @app.exception_handler(ClinRaGenError)
    async def refuse(request: Request, error: ClinRaGenError) -> Json:
        return Json(refusal(str(error)), status_code=400)

    @app.exception_handler(HTTPException)
    async def refuse_route(request: Request, error: HTTPException) -> Json:
        return Json(refusal(error.detail), status_code=error.status_code, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def refuse_form(request: Request, error: RequestValidationError) -> Json:
        # Where and what, but not the value: it may be the patient's.
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return Json(refusal("body: is not JSON"), status_code=422)
        # Without the names of the forms that were tried.
        places = [str(part) for part in first["loc"] if part != "body" and not str(part).startswith("list[")]
        return Json(refusal(f"{'.'.join(places) or 'body'}: {first['msg']}"), status_code=422)

    @app.exception_handler(QueueFullError)
    async def wait(request: Request, error: QueueFullError) -> Json:
        said = "too many patients are waiting; send the request again later"
        return Json(refusal(said), status_code=503, headers={"Retry-After": RETRY_AFTER})

    @app.exception_handler(ClosedError)
    async def ending(request: Request, error: ClosedError) -> Json:
        return Json(refusal("the service is ending"), status_code=503)

    return app


def _listed(names: Sequence[str] | None, vocabulary: Vocabulary) -> tuple[str, ...] | None:
    """Diseases by their names. Raises `SettingsError` for another name."""
    try:
        return None if names is None else read_diagnoses("; ".join(names), vocabulary)
    except SettingsError as error:
        # Of a request it is a field, of a command an option.
        raise SettingsError(str(error).removeprefix("--")) from error
