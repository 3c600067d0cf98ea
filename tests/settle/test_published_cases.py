"""Published settlements, reproduced to the micro-yuan; every case is a folder that says where its numbers come from."""

import tomllib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, local_midnight_ms
from backfeed.core.money import MICRO
from backfeed.market.demand_response import Direction, Invitation, award, settle_delivery
from backfeed.market.programme import load_programme
from backfeed.market.tariff import grant_subsidy, load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.account import Instrument
from backfeed.settle.offer import SHARE_OF_SPREAD, Offer
from backfeed.settle.postings import DeliveredEvent, Parties, SettlementDay, award_transfer, settle_day
from backfeed.settle.transfer import balances
from backfeed.settle.waterfall import Shares

CASES = sorted((Path(__file__).parents[1] / "cases" / "settle").glob("*/case.toml"))
EVERYTHING = Offer("everything", Shares(owner=Decimal(1), site=Decimal(0)))


def minute(text):
    hour, _, rest = text.partition(":")
    return int(hour) * 60 + int(rest)


def intervals_of(case, midnight):
    """Spread each row of the case evenly over its quarter-hours, the remainder on the last."""
    keys, rows = [], []
    for entry in case["energy"]:
        names = [entry["owner"]] if "count" not in entry else [f"{entry['owner']}-{k}" for k in range(entry["count"])]
        steps = range(minute(entry["from"]), minute(entry["until"]), 15)
        for name in names:
            keys.append(MeterKey(f"t{len(keys)}", name, "site", f"cp-{name}", 1))
            for column in ("import_wh", "export_wh"):
                each, rest = divmod(entry.get(column, 0), len(steps))
                for at in steps:
                    energy = each + (rest if at == steps[-1] else 0)
                    start = midnight + at * MS_PER_MIN
                    rows.append((len(keys) - 1, start, *((energy, 0) if column == "import_wh" else (0, energy))))
    return IntervalTable(tuple(keys), *np.array(rows, dtype=np.int64).T)


def settle(case):
    tariff = load_tariff(case["tariff"], case.get("base_price"))
    if "grant" in case:
        tariff = grant_subsidy(tariff, case["grant"]["name"], Decimal(case["grant"]["per_kwh"]))
    midnight = local_midnight_ms(case["day"], ZoneInfo(tariff.timezone))
    prices = price_axis(tariff, TimeAxis(midnight, INTERVAL_MS, 96))
    offer = EVERYTHING if case.get("offer") == "everything" else SHARE_OF_SPREAD
    if "fixed_offer" in case:
        fixed = case["fixed_offer"]
        paid_in = ((Instrument(fixed["paid_in"]), Decimal(1)),)
        offer = Offer("fixed", Shares(Decimal(0), Decimal(0)), per_kwh=Decimal(fixed["per_kwh"]), paid_in=paid_in)
    parties = Parties(default_offer=offer)
    intervals = intervals_of(case, midnight)
    events, transfers = event_of(case, midnight, intervals)
    transfers += [award_transfer(event.award, prices.currency, parties) for event in events]
    day = SettlementDay(case["day"].isoformat(), midnight, intervals, prices, wear_micro={}, events=events)
    settled = settle_day(day, parties)
    return settled, [*transfers, *settled.transfers]


def event_of(case, midnight, intervals):
    if "event" not in case:
        return (), []
    told = case["event"]
    start, end = (midnight + minute(told[key]) * MS_PER_MIN for key in ("from", "until"))
    price = Decimal(told["price_per_kwh"])
    invitation = Invitation(
        "e", Direction(told["kind"]), midnight, start, end, told["power_kw"], price, "mean-5-workdays"
    )
    programme = load_programme(case["programme"])
    made = award(programme, invitation, told["power_kw"], midnight)
    delivered = int(intervals.between(start, end).export_wh.sum())
    return (DeliveredEvent(made, settle_delivery(programme, made.promised_wh, delivered, price)),), []


@pytest.mark.parametrize("path", CASES, ids=[path.parent.name for path in CASES])
def test_a_published_settlement_is_reproduced_to_the_micro_yuan(path):
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    settled, transfers = settle(case)
    expect = case["expect"]
    by_code: dict[str, int] = {}
    for transfer in transfers:
        if transfer.phase in ("single", "post") and transfer.unit == "CNY":
            by_code[transfer.code.value] = by_code.get(transfer.code.value, 0) + transfer.amount
    held = balances(transfers)
    assert {code: by_code[code] for code in expect.get("micro", {})} == expect.get("micro", {})
    for owner, amount in expect.get("revenue_micro", {}).items():
        assert next(day.discharge_revenue_micro for day in settled.owners if day.owner == owner) == amount
    for owner, amount in expect.get("owner_cash_micro", {}).items():
        assert held[f"owner:{owner}:CNY"] * case.get("days", 1) == amount
    for owner, amount in expect.get("coupon_micro", {}).items():
        assert held[f"owner:{owner}:CNY-coupon"] == amount
    for prefix, amount in expect.get("each_owner_cash_micro", {}).items():
        mine = [
            value
            for account, value in held.items()
            if account.startswith(f"owner:{prefix}-") and account.endswith(":CNY")
        ]
        assert len(mine) == 30
        assert set(mine) == {amount}
    for prefix, amount in expect.get("dr_each_micro", {}).items():
        assert {day.dr_revenue_micro for day in settled.owners if day.owner.startswith(prefix)} == {amount}
    if "coupon_per_kwh" in expect:
        paid = Decimal(held["owner:chen:CNY-coupon"]) / MICRO / 460
        assert paid.quantize(Decimal("0.001"), ROUND_HALF_UP) == Decimal(expect["coupon_per_kwh"])


def test_251_kwh_is_what_150_yuan_take_at_the_published_spread():
    assert (Decimal(150) / Decimal("0.598")).quantize(Decimal(1), ROUND_HALF_UP) == 251
