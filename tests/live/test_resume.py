"""What a service finds in its folder: the day it goes on with, and nobody else."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.app.assembly import DAYS_FOLDER, EVENTS_FILE, LEDGER_FILE
from backfeed.app.config import load_pilot
from backfeed.app.live import ServiceOptions, live_scene
from backfeed.app.loop import run_virtual
from backfeed.app.resume import first_open_day, sole_use
from backfeed.app.stations import StationRegister
from backfeed.core.instant import MS_PER_DAY, to_ms
from backfeed.core.problem import EnvironmentProblemError, InputError
from backfeed.fleet.event import StationConnected
from backfeed.meter.interval import IntervalTable, MeterKey
from backfeed.settle.account import Role, account_id
from backfeed.settle.transfer import Code, Phase, Transfer
from backfeed.store.ledger_detail import write_detail
from backfeed.store.ledger_seal import open_ledger
from backfeed.store.log import EventLog

ZONE = ZoneInfo("Asia/Shanghai")
NOW_MS = to_ms(datetime(2026, 11, 20, 10, tzinfo=ZONE))


class Standing:
    """A clock that stands still but never keeps anybody waiting."""

    def now_ms(self):
        return NOW_MS

    async def sleep_until(self, at_ms):
        pass


def open_day(folder):
    return run_virtual(first_open_day(folder, Standing(), ZONE))


def detail(folder, day, rows):
    start_ms = np.full(rows, NOW_MS, dtype=np.int64)
    wh = np.full(rows, 100, dtype=np.int64)
    table = IntervalTable((MeterKey("t", "ann", "garage", "A-1", 1),), np.zeros(rows, dtype=np.int64), start_ms, wh, wh)
    write_detail(folder / DAYS_FOLDER, day, table)


def test_a_new_folder_begins_today(tmp_path):
    assert open_day(tmp_path) == date(2026, 11, 20)


def test_without_a_closed_day_it_begins_with_the_first_event(tmp_path):
    async def write():
        async with EventLog(tmp_path / EVENTS_FILE, Standing(), durable=False) as log:
            await log.commit(StationConnected(at_ms=NOW_MS - 3 * MS_PER_DAY, station="A-1", subprotocol="ocpp2.1"))

    run_virtual(write())
    assert open_day(tmp_path) == date(2026, 11, 17)


def test_a_closed_day_is_not_settled_again_and_one_that_was_cut_off_is(tmp_path):
    detail(tmp_path, "2026-11-17", 0)
    assert open_day(tmp_path) == date(2026, 11, 18)
    detail(tmp_path, "2026-11-18", 2)
    assert open_day(tmp_path) == date(2026, 11, 18)
    booked = Transfer(
        id="2026-11-18/energy_charged/ann@garage",
        debit=account_id(Role.GRID, "grid", "Wh"),
        credit=account_id(Role.OWNER, "ann", "Wh"),
        amount=200,
        unit="Wh",
        code=Code.ENERGY_CHARGED,
        at_ms=NOW_MS,
        evidence="x",
        phase=Phase.SINGLE,
    )
    with open_ledger(tmp_path / LEDGER_FILE) as ledger:
        ledger.post([booked])
    assert open_day(tmp_path) == date(2026, 11, 19)


def test_a_folder_is_held_by_one(tmp_path):
    with sole_use(tmp_path), pytest.raises(EnvironmentProblemError, match="another service"), sole_use(tmp_path):
        pass
    with sole_use(tmp_path):
        pass


@pytest.mark.parametrize("simulate", [False, True])
def test_a_live_scene_lies_in_the_present_and_never_ends_by_itself(tmp_path, pilot, simulate):
    first_day = date(2026, 11, 18)
    options = ServiceOptions(simulate=simulate)
    scene = live_scene(load_pilot(pilot), first_day, NOW_MS, StationRegister(tmp_path), options)
    assert scene.pilot.pilot.start == first_day
    assert scene.pilot.end_ms > NOW_MS + 365 * MS_PER_DAY
    assert scene.prices.axis.start_ms <= scene.pilot.start_ms
    assert scene.prices.axis.end_ms > scene.pilot.end_ms
    if simulate:
        assert (scene.sessions.arrival_ms >= NOW_MS).all()
        assert all("@" in name for name in scene.sessions.session_id)


def test_an_expired_tariff_is_applied_only_where_that_is_allowed(tmp_path, pilot):
    later_ms = to_ms(datetime(2027, 1, 4, 10, tzinfo=ZONE))
    register = StationRegister(tmp_path)
    today = date(2027, 1, 4)
    with pytest.raises(InputError, match="expired: valid until 2026-12-31"):
        live_scene(load_pilot(pilot), today, later_ms, register, ServiceOptions())
    scene = live_scene(load_pilot(pilot), today, later_ms, register, ServiceOptions(allow_expired=True))
    assert scene.pilot.pilot.start - today == timedelta(0)
