"""The HTTP interface in one process: what OpenAPI says is what comes, and nothing else is let through."""

import asyncio
import json
import re

import httpx
import jsonschema_rs
import pytest

from backfeed.api.http import create_api
from backfeed.app.view import Health, PriceStep, PriceView, SessionView, SiteView, StationView

NOW = "2026-07-06T09:00:00.000Z"


class View:
    """A platform with one car."""

    reasons = ()

    def health(self):
        status = "degraded" if self.reasons else "ok"
        return Health(
            status=status,
            version="1",
            now=NOW,
            stations_connected=1,
            sessions=1,
            log_events=3,
            reasons=self.reasons,
        )

    def stations(self):
        return (StationView(station="A-1", site="garage", connected=True, since=NOW),)

    def sessions(self):
        car = SessionView(
            station="A-1",
            evse=1,
            site="garage",
            transaction="t",
            owner="ann",
            since=NOW,
            power_kw=-3.5,
            ordered_kw=None,
            bound_by=None,
            reason=None,
            reason_zh=None,
            discharge_blocked=None,
            discharge_blocked_reason=None,
            discharge_blocked_reason_zh=None,
            warranty_left_kwh=None,
            soc_low=0.4,
            soc_high=0.5,
            reserve_soc=0.25,
            target_soc=0.85,
            departure_stated=None,
            departure_promised=NOW,
            departure_expected=NOW,
        )
        return (car,)

    def sites(self):
        unlimited = {"import_limit_kw": None, "export_limit_kw": 0.0}
        return (SiteView(site="garage", cars=1, cars_kw=-3.5, building_kw=2.0, **unlimited),)

    def prices(self):
        step = PriceStep(start=NOW, buy_per_kwh=0.5, sell_per_kwh=-0.1, period="peak")
        return PriceView(tariff="t", currency="CNY", timezone="Asia/Shanghai", steps=(step,))


@pytest.fixture
def view():
    return View()


class Client:
    """Asks the application in this process."""

    def __init__(self, view):
        self._app = create_api(view)

    def request(self, method, path):
        async def ask():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path)

        return asyncio.run(ask())

    def get(self, path):
        return self.request("GET", path)


@pytest.fixture
def client(view):
    return Client(view)


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_answer_is_as_the_openapi_document_describes_it(client):
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert document["openapi"].startswith("3.1")
    assert {"Health", "StationView", "SessionView"} <= set(schemas)
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
    for path, item in document["paths"].items():
        described = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        schema = {**described, "components": document["components"]}
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(client.get(path).json())


def test_a_service_that_can_not_write_says_503_and_why(client, view):
    view.reasons = ("disk full",)
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == ["disk full"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/healthz", 405)])
def test_errors_are_problem_documents(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status", "detail"}


def test_a_failure_inside_is_a_problem_document_too(view):
    view.stations = lambda: json.loads("{")
    answer = Client(view).get("/api/v1/stations")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")


def test_the_page_lives_under_a_policy_without_inline_script_or_style(client):
    answer = client.get("/")
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style| style=| on\w+=", answer.text)
    for named in re.findall(r'(?:src|href)="(/[^"]*)"', answer.text):
        assert client.get(named).status_code == 200


def test_the_page_says_everything_in_both_languages(client):
    script = client.get("/live.js").text
    english, chinese = re.search(r"en: \{(.*?)\n  \},\n  zh: \{(.*?)\n  \},", script, re.DOTALL).groups()
    keys = [set(re.findall(r"(\w+): \"", part)) for part in (english, chinese)]
    assert keys[0] == keys[1]
    asked = re.findall(r'data-say="(\w+)"', client.get("/").text) + re.findall(r'say\("(\w+)"\)', script)
    assert set(asked) <= keys[0]
