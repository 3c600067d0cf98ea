"""The driver's app at the HTTP interface: questions to drivers, and their answers.

These paths are the only ones that tell or change what concerns one driver alone, so they ask for a bearer token
(RFC 6750) that `backfeed tokens add --role driver-app` has issued.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from backfeed.app.view import AnswerView, DriverDesk, JudgedView, Problem, QuestionView, Refusal
from backfeed.core.problem import EnvironmentProblemError

PATH = "/api/v1/questions"
ANSWERS_PATH = "/api/v1/answers"
PROBLEM_JSON = "application/problem+json"
BODY_MAX_BYTES = 4_096
"""An answer has a hundred."""

SECURITY_SCHEMES = {"driver_app": {"type": "http", "scheme": "bearer"}}
_SECURED = {"security": [{"driver_app": list[str]()}]}


def problem_response(status: int, detail: str, headers: Any = None) -> Response:  # noqa: ANN401 - starlette's own type
    """Return what went wrong as RFC 9457 says."""
    body = Problem(type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail)
    return Response(msgspec.json.encode(body), status, headers, media_type=PROBLEM_JSON)


def add_driver_paths(api: FastAPI, desk: DriverDesk, schema_of: Callable[[Any], dict[str, Any]]) -> None:
    """Serve open questions, take answers, and tell what came of them.

    Parameters
    ----------
    api
        The application.
    desk
        Who asks.
    schema_of
        Refers to a struct's schema in the OpenAPI document.
    """
    problem = {"description": "Why not", "content": {PROBLEM_JSON: {"schema": schema_of(Problem)}}}
    body = {"required": True, "content": {"application/json": {"schema": schema_of(AnswerView)}}}

    def serve(path: str, kind: object, summary: str, operation_id: str, tell: Callable[[], object]) -> None:
        async def told(request: Request) -> Response:
            if refused := _refused(request, desk):
                return refused
            return Response(msgspec.json.encode(tell()), media_type="application/json")

        ok = {"description": "OK", "content": {"application/json": {"schema": schema_of(kind)}}}
        api.get(
            path,
            summary=summary,
            operation_id=operation_id,
            responses={200: ok, "default": problem},
            response_class=Response,
            openapi_extra=_SECURED,
        )(told)

    async def answer(request: Request) -> Response:
        return _refused(request, desk) or await _answered(request, desk)

    waiting = "The questions to drivers that wait for an answer"
    serve(PATH, list[QuestionView], waiting, "questions", desk.questions)
    came = "What came of the answers of the last 31 days, and why a bonus is paid or not"
    serve(ANSWERS_PATH, list[JudgedView], came, "answers", desk.judged)
    api.post(
        PATH,
        summary="Hand in a driver's answer; it counts once it is on disk",
        operation_id="answer",
        status_code=HTTPStatus.NO_CONTENT,
        responses={204: {"description": "The answer counts"}, "default": problem},
        response_class=Response,
        openapi_extra={**_SECURED, "requestBody": body},
    )(answer)


def _refused(request: Request, desk: DriverDesk) -> Response | None:
    """Return the answer to somebody who does not show a driver's app's token, None for one who does."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and desk.admits(token.strip()):
        return None
    detail = "expected Authorization: Bearer TOKEN with a token of the role driver-app"
    return problem_response(HTTPStatus.UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


async def _answered(request: Request, desk: DriverDesk) -> Response:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX_BYTES:
            detail = f"expected at most {BODY_MAX_BYTES} bytes"
            return problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    try:
        given = msgspec.json.decode(body, type=AnswerView)
    except msgspec.MsgspecError as error:
        return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, f"expected an answer as JSON, found: {error}")
    try:
        refusal = await desk.answer(given)
    except EnvironmentProblemError as error:
        return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
    if refusal is not None:
        conflicts = refusal is Refusal.NOT_ASKED
        status = HTTPStatus.CONFLICT if conflicts else HTTPStatus.UNPROCESSABLE_ENTITY
        return problem_response(status, refusal.value)
    return Response(status_code=HTTPStatus.NO_CONTENT)
