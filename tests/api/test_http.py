"""The HTTP interface in one process: what OpenAPI says is what comes, and nothing else is let through."""

import asyncio
import json
import re
from base64 import b64decode
from hashlib import sha256
from zoneinfo import ZoneInfo

import httpx
import jsonschema_rs
import pytest

from backfeed.api.http import create_api
from backfeed.app.battery_book import BatteryBook
from backfeed.app.enrolment import Enrolment
from backfeed.app.live_battery import SeenFleet, given_kwh, seen_cars
from backfeed.app.view import (
    Health,
    JudgedView,
    PriceStep,
    PriceView,
    QuestionView,
    Refusal,
    SessionView,
    SiteView,
    StationView,
)
from backfeed.battery.chemistry import Chemistry
from backfeed.core.problem import EnvironmentProblemError
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug

NOW = "2026-07-06T09:00:00.000Z"
TOKEN = "5ec4e7"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
ANSWER = {"station": "A-1", "transaction": "t", "departure": "2026-07-06T19:00:00+08:00"}


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
            battery_page="/batteries/car-ann.html",
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

    def batteries(self):
        cars = seen_fleet()
        return lambda: cars.fleet(list(cars.cars))[0]

    def battery_page(self, page):
        return {"index.html": seen_fleet().index, "car-ann.html": lambda: seen_fleet().page("ann")}.get(
            page, lambda: None
        )

    def prices(self):
        step = PriceStep(start=NOW, buy_per_kwh=0.5, sell_per_kwh=-0.1, period="peak")
        return PriceView(tariff="t", currency="CNY", timezone="Asia/Shanghai", steps=(step,))


def seen_fleet():
    """A book that has seen one car give and take for a day."""
    owner = Owner("ann", 0.25, 0.85, EnrolledVehicle("Model", Chemistry.LFP, 50.0, 7.0, 7.0, 0.9, 0.9))
    enrolment = Enrolment({}, {}, {}, owner, 7.0, ZoneInfo("Asia/Shanghai"))
    book = BatteryBook(enrolment, 0)
    for hour, taken_wh, given_wh, energy in ((1, 0, 0, 40.0), (4, 0, 9_000, 30.0), (9, 14_000, 9_000, 42.6)):
        plug = Plug("A-1", 1, "t", "ann", 0, import_wh=taken_wh, export_wh=given_wh, metered_ms=hour * 3_600_000)
        book.follow(plug, owner, energy)
    return SeenFleet(seen_cars(book, ["ann"], 0), given_kwh(book), enrolment, (), {}, 0, "Pilot", "CNY")


@pytest.fixture
def view():
    return View()


class Desk:
    """A driver's desk with one question."""

    def __init__(self):
        self.given = []
        self.refusal = None

    def admits(self, token):
        return token == TOKEN

    def questions(self):
        asked = {"station": "A-1", "evse": 1, "transaction": "t", "token": "card", "asked_at": NOW, "bonus": 0.5}
        words = {"asks": ("departure",), "charge_bonus": 0.0, "words": "When?", "words_zh": "几点？"}
        return (QuestionView(**asked, **words),)

    def judged(self):
        told = {"station": "A-1", "transaction": "s", "owner": "ann", "asks": "charge", "judged_at": NOW, "bonus": 0.0}
        return (JudgedView(**told, verdict="charge_unproven", words="It left.", words_zh="已离开。"),)

    async def answer(self, given):
        self.given.append(given)
        if isinstance(self.refusal, Exception):
            raise self.refusal
        return self.refusal


class Client:
    """Asks the application in this process."""

    def __init__(self, view, desk=None):
        self._app = create_api(view, desk or Desk())

    def request(self, method, path, **options):
        async def ask():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path, **options):
        return self.request("GET", path, **options)


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
        answer = client.get(path, headers=AUTHORISED)
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(answer.json())


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


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
def test_whoever_shows_no_token_of_a_drivers_app_learns_nothing_and_changes_nothing(view, headers):
    desk = Desk()
    client = Client(view, desk)
    for answer in (
        client.get("/api/v1/questions", headers=headers),
        client.get("/api/v1/answers", headers=headers),
        client.request("POST", "/api/v1/questions", headers=headers, json=ANSWER),
    ):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "A-1" not in answer.text
    assert desk.given == []


def test_an_answer_that_counts_has_no_content(view):
    desk = Desk()
    answer = Client(view, desk).request("POST", "/api/v1/questions", headers=AUTHORISED, json=ANSWER)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [each.departure for each in desk.given] == [ANSWER["departure"]]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Refusal.NOT_ASKED, 409),
        (Refusal.NO_DEPARTURE, 422),
        (Refusal.NO_CHARGE, 422),
        (EnvironmentProblemError("disk full"), 503),
    ],
)
def test_an_answer_that_does_not_count_is_told_why(view, refusal, status):
    desk = Desk()
    desk.refusal = refusal
    answer = Client(view, desk).request("POST", "/api/v1/questions", headers=AUTHORISED, json=ANSWER)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["detail"] == str(refusal)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 422), (b"[]", 422), (b'{"station": "A-1"}', 422), (b'{"station": 1, "more": 2}', 422), (b" " * 9_000, 413)],
)
def test_a_body_that_is_no_answer_never_reaches_the_desk(view, body, status):
    desk = Desk()
    answer = Client(view, desk).request("POST", "/api/v1/questions", headers=AUTHORISED, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert desk.given == []


def test_the_openapi_document_says_which_paths_ask_for_a_token(client):
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["driver_app"]["scheme"] == "bearer"
    secured = {
        (path, method)
        for path, item in document["paths"].items()
        for method, each in item.items()
        if "security" in each
    }
    assert secured == {("/api/v1/questions", "get"), ("/api/v1/questions", "post"), ("/api/v1/answers", "get")}


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


@pytest.mark.parametrize(("page", "title"), [("index.html", "Batteries"), ("car-ann.html", "The battery of ann")])
def test_a_battery_page_may_run_its_own_script_and_style_and_no_other(client, page, title):
    answer = client.get(f"/batteries/{page}")
    assert answer.status_code == 200
    assert title in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for kind in ("script", "style"):
        (allowed,) = re.search(rf"{kind}-src ([^;]*);", policy).groups()
        (own,) = re.findall(rf"(?s)<{kind}>(.*?)</{kind}>", answer.text)
        assert b64decode(allowed.strip("'").removeprefix("sha256-")) == sha256(own.encode()).digest()
    assert not re.search(r"<[^>]* (style|on[a-z]+)=", answer.text), "what the policy would not let through"


def test_a_car_that_was_never_here_has_no_page(client):
    answer = client.get("/batteries/car-bob.html")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
