"""The HTTP interface: health, the fleet as JSON, OpenAPI, a page that explains every car, a page on every battery.

Answers are msgspec bytes; errors follow RFC 9457. Nothing here can change anything but a driver's answer, see
`api.driver`, and a page may load nothing but its own script and style.
"""

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from backfeed import __version__
from backfeed.api.driver import PROBLEM_JSON, SECURITY_SCHEMES, add_driver_paths, problem_response
from backfeed.app.view import (
    AnswerView,
    DriverDesk,
    Health,
    JudgedView,
    PlatformView,
    PriceView,
    Problem,
    QuestionView,
    SessionView,
    SiteView,
    StationView,
)
from backfeed.battery.fleet_wear import FleetBattery
from backfeed.report.battery_index import PAGES_FOLDER

PAGE = {
    "/": ("live.html", "text/html"),
    "/live.css": ("live.css", "text/css"),
    "/live.js": ("live.js", "text/javascript"),
}
"""The page: its files by path, with their media types."""

_POLICY = "Content-Security-Policy"

SECURITY = {
    _POLICY: (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer."""

_REF = "#/components/schemas/{name}"


@dataclass(frozen=True)
class _Answer:
    """A path, what it answers with, and where that comes from."""

    path: str
    kind: Any
    summary: str
    read: Callable[[], object]
    slow: bool = False
    """Whether what is read still has to be worked out, beside the loop that steers."""


def create_api(view: PlatformView, desk: DriverDesk) -> FastAPI:
    """Return the ASGI application that shows a running platform and hears its drivers."""
    api = FastAPI(title="Backfeed", version=__version__, docs_url=None, redoc_url=None)
    answers = (
        _Answer("/healthz", Health, "Whether the service can do its work; 503 with the reasons if not", view.health),
        _Answer("/api/v1/stations", list[StationView], "Every station that ever connected", view.stations),
        _Answer(
            "/api/v1/sessions", list[SessionView], "Every car that is plugged in, and why it does so", view.sessions
        ),
        _Answer("/api/v1/sites", list[SiteView], "Every connection point with its load and limits", view.sites),
        _Answer("/api/v1/prices", PriceView, "The prices of the coming day", view.prices),
        _Answer("/api/v1/batteries", FleetBattery, "How the batteries have fared lately", view.batteries, slow=True),
    )
    kinds = [*(answer.kind for answer in answers), Problem, list[QuestionView], list[JudgedView], AnswerView]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)

    def schema_of(kind: object) -> dict[str, Any]:
        return schemas[kinds.index(kind)]

    for answer in answers:
        _add(api, answer, schema_of(answer.kind), schema_of(Problem))
    add_driver_paths(api, desk, schema_of)
    for path, (name, media_type) in PAGE.items():
        _add_file(api, path, name, media_type)
    _add_battery_pages(api, view)
    describe = api.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        described = document.setdefault("components", {})
        described.setdefault("schemas", {}).update(components)
        described["securitySchemes"] = SECURITY_SCHEMES
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    _speak_of_errors(api)

    @api.middleware("http")
    async def secure(request: Request, call_next: Any) -> Response:  # noqa: ANN401 - starlette's own type
        answered: Response = await call_next(request)
        for name, value in SECURITY.items():
            answered.headers.setdefault(name, value)
        return answered

    return api


def _add(api: FastAPI, answer: _Answer, schema: dict[str, Any], problem: dict[str, Any]) -> None:
    """Serve a value as JSON; a service that is not healthy says so with its status."""
    content = {"application/json": {"schema": schema}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"description": "OK", "content": content},
        "default": {"description": "Why there is no answer", "content": {PROBLEM_JSON: {"schema": problem}}},
    }
    if answer.kind is Health:
        responses[503] = {"description": "Degraded", "content": content}

    async def endpoint() -> Response:
        value = answer.read()
        if answer.slow:
            value = await asyncio.to_thread(cast("Callable[[], object]", value))
        healthy = not isinstance(value, Health) or value.status == "ok"
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(msgspec.json.encode(value), status, media_type="application/json")

    name = answer.path.rpartition("/")[2]
    api.get(
        answer.path, summary=answer.summary, operation_id=name, responses=responses, response_class=Response, name=name
    )(endpoint)


def _add_file(api: FastAPI, path: str, name: str, media_type: str) -> None:
    content = resources.files("backfeed.api").joinpath("data", name).read_bytes()

    async def endpoint() -> Response:
        return Response(content, media_type=media_type)

    api.get(path, include_in_schema=False, name=name)(endpoint)


def _add_battery_pages(api: FastAPI, view: PlatformView) -> None:
    """Serve the pages on batteries; each carries its style and script, and may run no other."""

    async def endpoint(page: str) -> Response:
        text = await asyncio.to_thread(view.battery_page(page))
        if text is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return Response(text, media_type="text/html", headers={_POLICY: _policy_of(text)})

    api.get(f"/{PAGES_FOLDER}/{{page}}", include_in_schema=False, name="battery page")(endpoint)


def _policy_of(page: str) -> str:
    """Return the policy under which only a page's own style and script hold."""
    policy = SECURITY[_POLICY]
    for kind in ("script", "style"):
        digests = [hashlib.sha256(own.encode()).digest() for own in re.findall(f"(?s)<{kind}>(.*?)</{kind}>", page)]
        allowed = " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
        policy = policy.replace(f"{kind}-src 'self'", f"{kind}-src {allowed}")
    return policy


def _speak_of_errors(api: FastAPI) -> None:
    """Answer what went wrong as RFC 9457 says."""

    @api.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {request.url.path}: see /openapi.json for what can be asked"
        return problem_response(error.status_code, detail, error.headers)

    @api.exception_handler(Exception)
    async def failed(_request: Request, error: Exception) -> Response:
        return problem_response(500, f"{type(error).__name__}: the service's log says more", SECURITY)
