"""The batteries of a run: from the worlds, the platform's own log and the books to what owners are shown."""

import asyncio
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from backfeed.app.judging import judge_run
from backfeed.app.reporting import REPORT_FILE, write_report
from backfeed.app.scene import load_scene
from backfeed.app.soc_readings import SocReadings
from backfeed.cli.main import run
from backfeed.core.clock import LoopClock
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.fleet.event import Reading, TransactionChanged
from backfeed.report.battery_file import BATTERY_FILE, read_battery
from backfeed.report.battery_index import INDEX_FILE, PAGES_FOLDER, page_name
from backfeed.report.summary import SUMMARY_FILE, write_summary
from backfeed.settle.transfer import Code, transfer_day
from backfeed.store.ledger_seal import open_ledger
from backfeed.store.log import EventLog

VOID = {"meta", "br", "link"}


class Balance(HTMLParser):
    """Checks that every element that is opened is closed, in order, and collects links."""

    def __init__(self):
        super().__init__()
        self.open, self.bad, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in {"href", "src", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


@pytest.fixture(scope="module")
def scene(small_path):
    return load_scene(small_path)


@pytest.fixture(scope="module")
def judgement(scene, worlds):
    return judge_run(scene, worlds, foresight=False)


@pytest.fixture(scope="module")
def folder(scene, judgement, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    write_report(scene, judgement, out)
    write_summary(judgement.summary, out / SUMMARY_FILE)
    return out


@pytest.fixture(scope="module")
def fleet(folder):
    return read_battery(folder)


def of_owners(transfers, code, unit):
    """Amounts of a code in a unit by owner and day, as the plain books have them."""
    found = {}
    for each in transfers:
        if each.code is code and each.unit == unit:
            side = each.debit if each.debit.startswith("owner:") else each.credit
            key = (side.split(":")[1], transfer_day(each))
            found[key] = found.get(key, 0) + each.amount
    return found


@pytest.fixture(scope="module")
def transfers(judgement):
    with open_ledger(judgement.runs["v2g"].folder / "ledger.sqlite", readonly=True) as book:
        return list(book.transfers())


def test_what_was_paid_for_wear_is_what_the_books_say(fleet, transfers):
    wear = of_owners(transfers, Code.WEAR, "CNY-wear")
    given_wh = of_owners(transfers, Code.ENERGY_DISCHARGED, "Wh")
    assert sum(wear.values()) > 0
    for car in fleet.cars:
        mine = sum(amount for (owner, _), amount in wear.items() if owner == car.car)
        assert car.wear_paid == pytest.approx(mine / MICRO)
        assert car.paid >= car.wear_paid
        kwh = sum(wh for (owner, _), wh in given_wh.items() if owner == car.car) / WH_PER_KWH
        if car.wear_paid_per_kwh is not None:
            assert car.wear_paid_per_kwh == pytest.approx(car.wear_paid / kwh)
    assert fleet.sums.wear_paid == pytest.approx(sum(car.wear_paid for car in fleet.cars))


def test_every_discharged_energy_carries_its_wear_and_wear_is_paid_first(transfers):
    wear, given_wh, payout = (
        of_owners(transfers, code, unit)
        for code, unit in ((Code.WEAR, "CNY-wear"), (Code.ENERGY_DISCHARGED, "Wh"), (Code.PAYOUT, "CNY"))
    )
    assert set(wear) == set(given_wh)
    assert all(payout[key] >= amount for key, amount in wear.items())


def test_cycles_and_energy_are_those_of_the_truth(fleet, judgement):
    truth = judgement.truths["v2g"]
    exported = -truth.segments.energy_kwh[truth.segments.energy_kwh < 0].sum()
    assert fleet.sums.discharged_kwh == pytest.approx(exported)
    for car in fleet.cars:
        mine = np.array([token == car.car for token in truth.sessions.token])
        assert car.sessions == mine.sum()
        assert car.full_cycles >= 0.9 * car.discharged_kwh / (car.capacity_kwh * 1.05)


def test_health_rests_on_every_car_that_tells_its_charge(fleet, worlds, judgement):
    truth = judgement.truths["v2g"]
    tells = {token for token, told in zip(truth.sessions.token, truth.sessions.reports_soc, strict=True) if told}
    records = {record.owner_id: record for record in worlds["v2g"].batteries}
    assert {owner for owner, record in records.items() if record.stretches} <= tells
    for car in fleet.cars:
        assert car.records == records[car.car].stretches
        assert car.health == records[car.car].measured
        assert records[car.car].scale == 1.0, "some days say nothing of how fast a battery fades"


async def events_of(path):
    async with EventLog(path, LoopClock(asyncio.get_running_loop(), 0), durable=False) as log:
        return list(log.read())


def test_stretches_hold_what_the_meters_counted(worlds, judgement):
    truth, readings, keys = judgement.truths["v2g"], SocReadings(), {}
    for event in asyncio.run(events_of(worlds["v2g"].folder / "events.sqlite")):
        if isinstance(event, TransactionChanged):
            readings.hear(event)
            keys[event.station, event.transaction] = event.token or keys.get((event.station, event.transaction))
    found = {}
    for key, token in keys.items():
        found[token] = found.get(token, 0.0) + readings.stretches(key).energy_kwh.sum()
    energy = np.bincount(truth.segments.session, truth.segments.energy_kwh, len(truth.sessions))
    tells = np.array(truth.sessions.reports_soc, dtype=bool)
    for owner in {token for token, told in zip(truth.sessions.token, tells, strict=True) if told}:
        mine = np.array([token == owner for token in truth.sessions.token])
        assert found[owner] == pytest.approx(energy[mine].sum(), abs=0.05)


def test_readings_that_come_twice_or_late_change_no_stretch():
    def event(sequence, minute, imported, soc):
        reading = Reading(measured_ms=minute * 60_000, import_wh=imported, export_wh=0, soc=soc)
        return TransactionChanged(
            at_ms=minute * 60_000, station="A-1", evse=1, transaction="t", sequence=sequence, phase="updated",
            trigger="MeterValuePeriodic", measured_ms=minute * 60_000, token="ann", readings=(reading,),
        )  # fmt: skip

    events = [event(n, 60 * n, 7_000 * n, 0.3 + 0.1 * n) for n in range(5)]
    heard = []
    for order in (events, [events[3], *events, events[1]]):
        readings = SocReadings()
        for each in order:
            readings.hear(each)
        heard.append(readings.stretches(("A-1", "t")))
    assert heard[0].energy_kwh.tolist() == heard[1].energy_kwh.tolist() == [28.0]
    assert heard[0].soc_change.tolist() == heard[1].soc_change.tolist() == pytest.approx([0.4])


def test_every_car_has_a_page_that_stands_alone(fleet, folder):
    index = (folder / PAGES_FOLDER / INDEX_FILE).read_text(encoding="utf-8")
    pages = {path.name for path in (folder / PAGES_FOLDER).iterdir()}
    assert pages == {INDEX_FILE, *(page_name(car.car) for car in fleet.cars)}
    for name in pages:
        body = (folder / PAGES_FOLDER / name).read_text(encoding="utf-8")
        checker = Balance()
        checker.feed(body)
        assert (checker.open, checker.bad) == ([], [])
        assert {link.partition("/")[0] for link in checker.links} <= pages | {".."}
        assert body.count('class="en"') == body.count('class="zh"') > 20
        assert "nan" not in body.partition("<script>")[0]
        assert len(body) < 60_000
        assert name == INDEX_FILE or name in index
    assert f'href="{PAGES_FOLDER}/{INDEX_FILE}"' in (folder / REPORT_FILE).read_text(encoding="utf-8")


def test_the_command_prints_the_fleet_and_one_car(fleet, folder, capsys):
    assert run(["battery", "fleet", str(folder), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["sums"]["sessions"] == fleet.sums.sessions
    assert run(["battery", "fleet", str(folder)]) == 0
    told = capsys.readouterr().out
    assert all(car.car in told for car in fleet.cars)
    assert "a single battery proves nothing" in told
    assert run(["battery", "fleet", str(folder), "--car", fleet.cars[0].car, "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["car"] == fleet.cars[0].car


def test_a_wrong_run_or_car_is_named(folder, tmp_path, capsys):
    asked = {
        "no such folder": ["--car", ""],
        str(tmp_path): [],
        str(folder): ["--car", "nobody"],
    }
    for where, more in asked.items():
        assert run(["battery", "fleet", where, *more, "--json"]) == 2
        assert msgspec.json.decode(capsys.readouterr().out)["error"]["kind"] == "input"
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "events.sqlite").touch()
    assert run(["battery", "fleet", str(cut)]) == 2
    assert "cut off" in capsys.readouterr().err
    (cut / SUMMARY_FILE).write_text("{}")
    assert run(["battery", "fleet", str(cut)]) == 2
    for body in (b"", b"{}", b"\xff", (folder / BATTERY_FILE).read_bytes()[:-40]):
        (cut / BATTERY_FILE).write_bytes(body)
        assert run(["battery", "fleet", str(cut)]) == 2
        assert BATTERY_FILE in capsys.readouterr().err
