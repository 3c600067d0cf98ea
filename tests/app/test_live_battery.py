"""The battery pages of a running platform: its own book, beside the same stays charged otherwise."""

from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.app.battery_book import RECENT_MS, BatteryBook
from backfeed.app.enrolment import Enrolment
from backfeed.app.live_battery import SeenFleet, given_kwh, seen_cars
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.law import LFP
from backfeed.battery.lifetime import lifetime_loss
from backfeed.battery.stress import SocPaths
from backfeed.core.instant import MS_PER_DAY, MS_PER_H
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug
from backfeed.settle.account import Role, account_id, wear_unit
from backfeed.settle.transfer import Code, Transfer

VEHICLE = EnrolledVehicle("Model", Chemistry.LFP, 50.0, 7.0, 7.0, 0.9, 0.9)
ANN, BOB = (Owner(name, 0.25, 0.85, VEHICLE) for name in ("ann", "bob"))
ENROLMENT = Enrolment({}, {}, {"ann": ANN, "bob": BOB}, ANN, 7.0, ZoneInfo("UTC"))


def stay(book, owner, day, points):
    """Let a car stay: (hour, register taken, register given, energy) at every point; the last one ends it."""
    for hour, taken_wh, given_wh, energy in points:
        at_ms = int(day * MS_PER_DAY + hour * MS_PER_H)
        plug = Plug(
            f"S-{owner.owner_id}", 1, f"t{day}", owner.owner_id, at_ms, import_wh=taken_wh, export_wh=given_wh,
            metered_ms=at_ms,
        )  # fmt: skip
        book.follow(plug, owner, energy)
    book.close(plug)


def gives(day):
    """A night that gives 9 kWh in the evening and takes it back before the morning."""
    taken, given = 20_000 * day, 9_000 * day
    return [(18, taken, given, 30.0), (20, taken, given + 9_000, 20.0), (26, taken, given + 9_000, 20.0),
            (30, taken + 24_444, given + 9_000, 42.0)]  # fmt: skip


def waits(day):
    taken = 20_000 * day
    return [(18, taken, 0, 30.0), (28, taken, 0, 30.0), (30, taken + 13_333, 0, 42.0)]


@pytest.fixture
def book():
    book = BatteryBook(ENROLMENT, 0)
    for day in range(3):
        stay(book, ANN, day, gives(day))
        stay(book, BOB, day, waits(day))
    return book


def seen(book, transfers=(), holders=None):
    return SeenFleet(
        seen_cars(book, book.owners(), 0), given_kwh(book), ENROLMENT, transfers, holders or {}, 0, "Pilot", "CNY"
    )


def test_as_it_was_used_beside_the_same_stays_charged_otherwise(book):
    fleet, window = seen(book).fleet(["ann", "bob"])
    ann, bob = fleet.cars
    assert (window.days, fleet.days, ann.sessions) == (4, 4, 3)
    assert ann.discharged_kwh == pytest.approx(27.0)
    assert ann.charged_kwh == pytest.approx(3 * 24.444)
    assert ann.extra_over("v1g") > ann.extra_over("unmanaged") > 0
    assert bob.loss_total == pytest.approx(bob.counterfactuals["v1g"].loss_total, rel=0.01), "it was charged late"
    assert bob.counterfactuals["unmanaged"].loss_calendar > bob.loss_calendar
    assert ann.counterfactuals["unmanaged"].loss_total == pytest.approx(
        bob.counterfactuals["unmanaged"].loss_total, rel=1e-4
    )
    assert ann.budget.energy_left_kwh < bob.budget.energy_left_kwh


def test_charged_at_once_is_what_a_person_would_draw(book):
    fleet, _ = seen(book).fleet(["bob"])
    hours = [h for day in range(3) for h in (24 * day + 18, 24 * day + 18 + 12 / 6.3, 24 * day + 30)]
    soc = [0.6, 0.84, 0.84] * 3
    # Away, and before the first stay and after the last, charge is an even line.
    edge = 0.84 + (0.6 - 0.84) * (96 - 78) / (96 - 78 + 18)
    at_ms, path = [0, *(round(h * MS_PER_H) for h in hours), 96 * MS_PER_H], [edge, *soc, edge]
    loss = lifetime_loss(LFP, SocPaths.from_matrix(np.array(at_ms), np.array([path])))
    assert fleet.cars[0].counterfactuals["unmanaged"].loss_total == pytest.approx(loss.total[0], rel=1e-3)


def transfer(day, holder, code, amount, unit):
    name, other = account_id(Role.OWNER, holder, unit), account_id(Role.AGGREGATOR, "agg", unit)
    debit, credit = (name, other) if code is not Code.PAYOUT else (other, name)
    return Transfer(f"1970-01-0{day}/{code.value}/{holder}", debit, credit, amount, unit, code, day * MS_PER_DAY)


def test_money_is_that_of_the_days_shown_and_one_contract_s_cars_share_it(book):
    transfers = [
        transfer(2, "fleet", Code.ENERGY_DISCHARGED, 27_000, "Wh"),
        transfer(2, "fleet", Code.WEAR, 2_000_000, wear_unit("CNY")),
        transfer(3, "fleet", Code.PAYOUT, 5_000_000, "CNY"),
    ]
    fleet, _ = seen(book, transfers, {"ann": "fleet", "bob": "fleet"}).fleet(["ann", "bob"])
    ann, bob = fleet.cars
    assert (ann.wear_paid, ann.paid, ann.wear_paid_per_kwh) == pytest.approx((2.0, 5.0, 2 / 27))
    assert (bob.wear_paid, bob.paid, bob.wear_paid_per_kwh) == (0, 0, None)
    alone, _ = seen(book, transfers, {"ann": "fleet", "bob": "fleet"}).fleet(["ann"])
    assert alone.cars[0].wear_paid == pytest.approx(2.0)


def test_stays_long_past_are_shown_no_more_and_open_ones_as_far_as_they_have_gone(book):
    late = RECENT_MS // MS_PER_DAY + 2
    points = gives(late)
    stay(book, ANN, late, points)
    assert len(book.recent("ann")) == 2
    plug = Plug("S-ann", 1, "open", "ann", 0, import_wh=0, export_wh=0, metered_ms=int((late + 2) * MS_PER_DAY))
    book.follow(plug, ANN, 33.0)
    assert [len(each.at_ms) for each in book.recent("ann")][-1] == 1
    assert seen(book).fleet(["ann"])[0].cars[0].sessions == 3


class Balance(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.bad = [], []

    def handle_starttag(self, tag, _attrs):
        if tag not in {"meta", "br", "link"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)


def test_pages_are_whole_in_both_languages(book):
    for text in (seen(book).index(), seen(book).page("ann")):
        checker = Balance()
        checker.feed(text)
        assert (checker.bad, checker.open) == ([], [])
        assert text.count('class="zh"') == text.count('class="en"') > 20
        assert "nan" not in text.split("</style>")[1].split("<script>")[0]
    assert "\u63d2\u67aa\u5373\u5145" in seen(book).page("ann")


def test_a_platform_that_has_seen_nobody_says_so():
    nobody = seen(BatteryBook(ENROLMENT, 0))
    assert nobody.fleet([])[0].cars == ()
    assert "Pilot" in nobody.index()
