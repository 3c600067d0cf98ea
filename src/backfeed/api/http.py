"""The HTTP interface: health, the fleet as JSON, OpenAPI, and one page that explains every car.

Answers are msgspec bytes; errors follow RFC 9457. Nothing here can change anything.
"""

from http import HTTPStatus
from importlib import resources
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from backfeed import __version__
from backfeed.app.view import Health, PlatformView, SessionView, StationView


def _answers(kind: Any) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401 - a msgspec type
    """Return OpenAPI's description of a JSON answer of a msgspec type."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    elif "$ref" in schema.get("items", {}):
        schema = {**schema, "items": components[schema["items"]["$ref"].rpartition("/")[2]]}
    return {200: {"description": "OK", "content": {"application/json": {"schema": schema}}}}


def _json(value: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def create_api(view: PlatformView) -> FastAPI:
    """Return the ASGI application that shows a running platform."""
    api = FastAPI(title="Backfeed", version=__version__, docs_url=None, redoc_url=None)

    @api.get("/healthz", responses=_answers(Health), response_class=Response)
    async def healthz() -> Response:
        """Return 200 while the service can do its work, 503 with the reasons when it can not."""
        health = view.health()
        return _json(health, HTTPStatus.OK if health.status == "ok" else HTTPStatus.SERVICE_UNAVAILABLE)

    @api.get("/api/v1/stations", responses=_answers(list[StationView]), response_class=Response)
    async def stations() -> Response:
        """Return every station that ever connected."""
        return _json(view.stations())

    @api.get("/api/v1/sessions", responses=_answers(list[SessionView]), response_class=Response)
    async def sessions() -> Response:
        """Return every car that is plugged in, with what it was told and why."""
        return _json(view.sessions())

    @api.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(resources.files("backfeed.api").joinpath("data", "live.html").read_text("utf-8"))

    @api.get("/live.js", include_in_schema=False)
    async def script() -> Response:
        content = resources.files("backfeed.api").joinpath("data", "live.js").read_bytes()
        return Response(content, media_type="text/javascript")

    @api.exception_handler(HTTPException)
    async def problem(_request: Request, error: HTTPException) -> Response:
        body = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return Response(msgspec.json.encode(body), error.status_code, media_type="application/problem+json")

    @api.middleware("http")
    async def secure(request: Request, call_next: Any) -> Response:  # noqa: ANN401 - starlette's own type
        answer: Response = await call_next(request)
        answer.headers["Content-Security-Policy"] = "default-src 'self'; style-src 'self' 'unsafe-inline'"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    return api
