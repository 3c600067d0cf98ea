"""Quarantine: doubted energy is held, paid only when it is cleared, and either is final."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, local_midnight_ms
from backfeed.core.problem import InputError
from backfeed.market.demand_response import Direction, Invitation, award, settle_delivery
from backfeed.market.programme import load_programme
from backfeed.market.tariff import grant_subsidy, load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.guarantee import owner_periods
from backfeed.settle.month import close_month
from backfeed.settle.postings import DeliveredEvent, Parties, SettlementDay, award_transfer, settle_day
from backfeed.settle.quarantine import CLEARED, OPEN, REJECTED, cases, decide, hold, supersede
from backfeed.settle.transfer import Code, Phase, balances, faults, reservations

DAY = "2026-07-20"
MIDNIGHT = local_midnight_ms(date(2026, 7, 20), ZoneInfo("Asia/Shanghai"))
AXIS = TimeAxis(MIDNIGHT, INTERVAL_MS, 96)
PRICES = price_axis(grant_subsidy(load_tariff("guangdong-v2g", "0.62"), "guangzhou-v2g", Decimal("0.7")), AXIS)
HASH = "ab" * 32


def day(rows, **more):
    """Return a day of (owner, step, export) at one garage."""
    keys = tuple(MeterKey(f"t-{owner}", owner, "garage", f"cp-{owner}", 1) for owner in sorted({r[0] for r in rows}))
    number = {key.owner: i for i, key in enumerate(keys)}
    columns = np.array([(number[o], MIDNIGHT + q * INTERVAL_MS, 0, e) for o, q, e in rows], dtype=np.int64)
    more.setdefault("wear_micro", {})
    return SettlementDay(DAY, AXIS.end_ms, IntervalTable(keys, *columns.T), PRICES, evidence=HASH, **more)


def held_case():
    good = settle_day(day([("bob", 60, 9_000)]), Parties()).transfers
    doubted = day([("ann", 60, 10_000)], wear_micro={"ann": 500_000})
    return [*good, *hold(doubted, Parties(), "ann@garage", "ghost session: no car was plugged in")]


def test_what_is_held_is_unpaid_and_stands_in_an_account_of_its_own():
    books = held_case()
    assert all(not faults(transfer) for transfer in books)
    held = balances(books)
    assert held["quarantine:ann@garage:Wh"] == 10_000
    assert held["owner:ann:Wh"] == -10_000
    assert "owner:ann:CNY" not in held
    assert held["clearing:backfeed:CNY"] == 0
    [case] = cases(books)
    assert (case.name, case.state, case.energy_wh) == (f"{DAY}/ann@garage", OPEN, 10_000)
    assert case.reason == "ghost session: no car was plugged in"
    assert case.owners_micro["CNY"] > 500_000
    with pytest.raises(InputError, match="neither delivered nor voided"):
        close_month(books, "2026-07", "CNY", AXIS.end_ms)


def test_a_cleared_case_pays_what_the_energy_would_have_earned_on_its_own():
    books = held_case()
    made = decide(books, f"{DAY}/ann@garage", "the meter was replaced", 9, cleared=True)
    held = balances([*books, *made])
    alone = balances(settle_day(day([("ann", 60, 10_000)], wear_micro={"ann": 500_000}), Parties()).transfers)
    assert held["owner:ann:CNY"] == alone["owner:ann:CNY"] == cases(books)[0].owners_micro["CNY"]
    assert held["quarantine:ann@garage:Wh"] == held["clearing:backfeed:CNY"] == 0
    assert not any(reservations([*books, *made]).values())
    [case] = cases([*books, *made])
    assert (case.state, case.decision) == (CLEARED, "the meter was replaced")
    close_month([*books, *made], "2026-07", "CNY", AXIS.end_ms)


def test_a_rejected_case_is_never_paid_and_its_energy_stays_apart():
    books = held_case()
    made = decide(books, f"{DAY}/ann@garage", "two transactions, one car", 9, cleared=False)
    assert {transfer.phase for transfer in made} == {Phase.VOID}
    assert balances([*books, *made]) == balances(books)
    assert cases([*books, *made])[0].state == REJECTED
    close_month([*books, *made], "2026-07", "CNY", AXIS.end_ms)


def test_a_decision_is_final_needs_a_reason_and_a_case():
    books = held_case()
    done = [*books, *decide(books, f"{DAY}/ann@garage", "looked at", 9, cleared=False)]
    for name, reason, told in (
        (f"{DAY}/ann@garage", "again", "was rejected before: looked at"),
        (f"{DAY}/eve@garage", "x", "no such case; open are none"),
        (f"{DAY}/ann@garage", " ", "needs a reason"),
    ):
        with pytest.raises(InputError, match=told):
            decide(done, name, reason, 9, cleared=True)


def test_readings_that_change_before_a_decision_open_a_new_case():
    books = held_case()
    head = next(transfer for transfer in books if transfer.code is Code.QUARANTINE)
    books += supersede(books, head, 1, 9)
    books += hold(day([("ann", 60, 11_000)]), Parties(), "ann@garage#2", "ghost session: more of it")
    assert [case.state for case in cases(books)] == [REJECTED, OPEN]
    held = balances(books)
    assert held["quarantine:ann@garage:Wh"] == 0
    assert held["owner:ann:Wh"] == -11_000


def test_what_is_held_counts_for_the_guarantee_whether_it_is_paid_or_not():
    books = held_case()
    july = ("2026-07-01", "2026-07-31")
    before = owner_periods(books, "CNY", july, {"ann": 0})
    for cleared in (True, False):
        made = decide(books, f"{DAY}/ann@garage", "because", 9, cleared=cleared)
        assert owner_periods([*books, *made], "CNY", july, {"ann": 0}) == before
    assert before[0].payout_micro > before[0].wear_micro == 500_000


def event(delivered):
    start = MIDNIGHT + 15 * MS_PER_H
    invitation = Invitation(
        "ps", Direction.PEAK_SHAVE, MIDNIGHT, start, start + MS_PER_H, 10.0, Decimal(2), "regression"
    )
    programme = load_programme("pilot")
    made = award(programme, invitation, 10.0, MIDNIGHT)
    payment = settle_delivery(programme, made.promised_wh, delivered, Decimal(2))
    return DeliveredEvent(made, payment, {"ann": 3, "bob": 1})


def test_an_event_on_a_raised_baseline_is_held_as_a_whole_and_paid_by_contribution_when_cleared():
    happened = event(11_000)
    promise = award_transfer(happened.award, "CNY", Parties())
    good = settle_day(day([("ann", 60, 3_000), ("bob", 60, 1_000)]), Parties()).transfers
    nothing = day([("ann", 60, 0), ("bob", 60, 0)], events=(happened,))
    books = [promise, *good, *hold(nothing, Parties(), "ps", "raised baseline: expected 4 Wh, found 9 Wh")]
    assert balances(books) == {**balances(good), "quarantine:ps:Wh": 0}
    assert reservations(books)[promise.id] == 0
    made = decide(books, f"{DAY}/ps", "a heat wave", 9, cleared=True)
    held = balances([*books, *made])
    assert held["grid:demand-response:CNY"] == -happened.payment.revenue_micro
    gained = {who: held[f"owner:{who}:CNY"] - balances(good)[f"owner:{who}:CNY"] for who in ("ann", "bob")}
    assert gained["ann"] == 3 * gained["bob"] == round(happened.payment.revenue_micro * 0.75 * 0.7)
    assert balances([*books, *decide(books, f"{DAY}/ps", "no", 9, cleared=False)]) == balances(books)


def test_a_subsidy_reserved_by_a_case_is_paid_from_its_own_account():
    doubted = replace(day([("ann", 60, 10_000)]), subsidies_left_micro={"guangzhou-v2g": 3_000_000})
    books = list(hold(doubted, Parties(), "ann@garage", "ghost session: x"))
    made = decide(books, f"{DAY}/ann@garage", "fine", 9, cleared=True)
    assert balances([*books, *made])["subsidy:guangzhou-v2g:CNY"] == -3_000_000
