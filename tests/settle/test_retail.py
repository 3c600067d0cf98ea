"""Retail: offers as data, opting in and out, instruments used and lapsed, the guarantee."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from backfeed.core.problem import InputError
from backfeed.settle.account import Instrument
from backfeed.settle.guarantee import guarantee_transfers, owner_periods
from backfeed.settle.offer import CASH_ONLY, Offer
from backfeed.settle.offer_file import Agreement, load_offers, offers_on
from backfeed.settle.retail import Redemption, expire, expiry_words, lots, redeem, redeem_credit
from backfeed.settle.transfer import Code, Phase, Transfer, balances
from backfeed.settle.waterfall import Shares

OFFERS = """
[[offers]]
id = "floor-and-share"
per_kwh = 0.2
owner_share = 0.5
site_share = 0.1

[[offers]]
id = "promotion"
per_kwh = 0.5
per_plugged_h = 0.05
per_event = 2
points_per_kwh = 10
owner_share = 1
paid_in = { cash = 0.4, coupon = 0.6 }
expires_after_days = 90
valid_from = 2026-07-01
valid_until = 2026-07-31
"""


@pytest.fixture
def offers(tmp_path):
    path = tmp_path / "offers.toml"
    path.write_text(OFFERS, encoding="utf-8")
    return load_offers(path)


def test_offers_are_data(offers):
    assert offers["floor-and-share"].shares == Shares(Decimal("0.5"), Decimal("0.1"))
    assert offers["floor-and-share"].paid_in == CASH_ONLY
    assert offers["promotion"].paid_in == ((Instrument.CASH, Decimal("0.4")), (Instrument.COUPON, Decimal("0.6")))


def test_faults_of_offers_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        '[[offers]]\nid = "a"\nowner_share = 0.9\nsite_share = 0.2\npaid_in = { cash = 0.5 }\ngift = 1\n'
        '[[offers]]\nid = "a"\nvalid_from = 2026-02-01\nvalid_until = 2026-01-01\n',
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        load_offers(path)
    for word in ("more than there is", "sum to 1", "gift is not a key", "'a' is taken", "lies after"):
        assert word in str(caught.value), word
    path.write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="at least one"):
        load_offers(path)


def test_instruments_that_do_not_make_up_the_whole_are_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        Offer("x", Shares(Decimal(0), Decimal(0)), paid_in=((Instrument.CASH, Decimal("0.5")),))


def test_the_last_yes_or_no_counts_and_promotions_end(offers):
    said = [
        Agreement("ann", "floor-and-share", date(2026, 6, 1)),
        Agreement("ann", "promotion", date(2026, 7, 10)),
        Agreement("bob", "floor-and-share", date(2026, 6, 1)),
        Agreement("bob", "", date(2026, 7, 5)),
    ]
    assert offers_on(date(2026, 5, 31), said, offers) == {}
    assert {o: x.offer_id for o, x in offers_on(date(2026, 7, 9), said, offers).items()} == {"ann": "floor-and-share"}
    assert {o: x.offer_id for o, x in offers_on(date(2026, 7, 10), said, offers).items()} == {"ann": "promotion"}
    assert offers_on(date(2026, 8, 1), said, offers) == {}
    with pytest.raises(InputError, match="which is no offer"):
        offers_on(date(2026, 8, 1), [Agreement("ann", "ghost", date(2026, 1, 1))], offers)


def good(day):
    return expiry_words(date.fromisoformat(day) + timedelta(days=90))


def coupon(day, amount, owner="ann"):
    issuer, holder = "aggregator:backfeed:CNY-coupon", f"owner:{owner}:CNY-coupon"
    clearing, reserve = "clearing:backfeed:CNY", "aggregator:backfeed/reserve:CNY"
    return [
        Transfer(f"{day}/payout/{owner}/coupon", issuer, holder, amount, "CNY-coupon", Code.PAYOUT, 0, good(day)),
        Transfer(f"{day}/payout_backing/{owner}", clearing, reserve, amount, "CNY", Code.PAYOUT_BACKING, 0),
    ]


PAID = [*coupon("2026-01-10", 100), *coupon("2026-03-10", 50), *coupon("2026-03-11", 30, "bob")]


def test_the_oldest_coupons_are_used_first():
    used = redeem(PAID, Redemption("ann", Instrument.COUPON, 120, "2026-03-20", 1, 5), "CNY")
    books = [*PAID, *used]
    assert [(lot.owner, lot.day, lot.amount) for lot in lots(books, "CNY-coupon")] == [
        ("ann", "2026-03-10", 30),
        ("bob", "2026-03-11", 30),
    ]
    held = balances(books)
    assert held["owner:ann:CNY"] == 120
    assert held["aggregator:backfeed/reserve:CNY"] == 60
    assert held["owner:ann:CNY-coupon"] == 30


def test_nobody_redeems_more_than_is_held():
    for wish in (
        Redemption("ann", Instrument.COUPON, 151, "2026-03-20", 1, 5),
        Redemption("ann", Instrument.COUPON, 0, "2026-03-20", 1, 5),
        Redemption("ann", Instrument.POINTS, 1, "2026-03-20", 1, 5),
    ):
        with pytest.raises(InputError):
            redeem(PAID, wish, "CNY")


def test_what_is_not_used_in_time_lapses_and_its_cash_is_the_aggregators():
    lapsed = expire(PAID, "CNY-coupon", date(2026, 4, 10), 5, "CNY")
    held = balances([*PAID, *lapsed])
    assert held["owner:ann:CNY-coupon"] == 50
    assert held["aggregator:backfeed:CNY"] == 100
    assert held["aggregator:backfeed/reserve:CNY"] == 80
    assert expire([*PAID, *lapsed], "CNY-coupon", date(2026, 4, 10), 5, "CNY") == ()


def test_points_lapse_without_cash():
    points = Transfer(
        "2026-01-01/payout/ann",
        "aggregator:backfeed:points",
        "owner:ann:points",
        7,
        "points",
        Code.PAYOUT,
        0,
        good("2026-01-01"),
    )
    [back] = expire([points, points], "points", date(2027, 1, 1), 5, "CNY")[:1]
    assert back.unit == "points"
    assert len({t.id for t in expire([points, points], "points", date(2027, 1, 1), 5, "CNY")}) == 2


def moved(day, owner, code, amount, unit="CNY", *, given=False):
    """Return a transfer of an owner's day; `given` where the owner gives."""
    sides = f"clearing:backfeed:{unit}", f"owner:{owner}:{unit}"
    debit, credit = reversed(sides) if given else sides
    return Transfer(f"{day}/{code}/{owner}", debit, credit, amount, unit, code, 0)


def test_whoever_ends_worse_off_than_unmanaged_is_made_whole():
    books = [
        moved("2026-07-01", "ann", Code.CHARGING_BILL, 900, given=True),
        moved("2026-07-01", "ann", Code.PAYOUT, 250),
        moved("2026-07-01", "ann", Code.WEAR, 100, "CNY-wear", given=True),
        moved("2026-07-02", "ann", Code.SHARED_ENERGY, 100, given=True),
        moved("2026-08-02", "ann", Code.CHARGING_BILL, 9_999, given=True),
        moved("2026-07-03", "ann", Code.BANK_PAYMENT, 200, given=True),
        moved("2026-07-01", "bob", Code.CHARGING_BILL, 500, given=True),
        moved("2026-07-02", "cem", Code.CHARGING_BILL, 9_999, given=True),
    ]
    july = ("2026-07-01", "2026-07-31")
    periods = owner_periods(books, "CNY", july, {"ann": 700, "bob": 650})
    assert [(p.owner, p.gain_micro) for p in periods] == [("ann", 700 - 1_000 + 250 - 100), ("bob", 150)]
    [made_up] = guarantee_transfers(periods, "2026-07-31", 5, "CNY")
    assert (made_up.credit, made_up.debit, made_up.amount) == ("owner:ann:CNY", "aggregator:backfeed:CNY", 150)
    assert made_up.code is Code.GUARANTEE
    assert owner_periods([*books, made_up], "CNY", july, {"ann": 700, "bob": 650}) == periods


def test_corrections_coupons_and_what_is_held_count_and_points_do_not():
    books = [
        moved("2026-07-01", "ann", Code.CHARGING_BILL, 900, given=True),
        replace(moved("2026-07-01", "ann", Code.CHARGING_BILL, 200), id="r1@2026-08-09|2026-07-01/charging_bill/ann"),
        moved("2026-07-01", "ann", Code.PAYOUT, 30, "CNY-coupon"),
        moved("2026-07-01", "ann", Code.PAYOUT, 7_000, "points"),
        replace(moved("2026-07-02", "ann", Code.PAYOUT, 40), phase=Phase.PENDING),
    ]
    [period] = owner_periods(books, "CNY", ("2026-07-01", "2026-07-31"), {"ann": 0})
    assert (period.bill_micro, period.payout_micro) == (700, 70)


def test_charging_credit_pays_the_days_bill_and_no_more():
    books = [
        moved("2026-07-01", "ann", Code.PAYOUT, 500, "CNY-credit"),
        moved("2026-07-01", "ann", Code.CHARGING_BILL, 300, given=True),
        moved("2026-07-02", "ann", Code.CHARGING_BILL, 900, given=True),
        moved("2026-07-01", "bob", Code.CHARGING_BILL, 900, given=True),
    ]
    first = redeem_credit(books, date(2026, 7, 1), 5, "CNY")
    second = redeem_credit([*books, *first], date(2026, 7, 2), 6, "CNY")
    assert [t.amount for t in (*first, *second)] == [300, 300, 200, 200]
    held = balances([*books, *first, *second])
    assert held["owner:ann:CNY-credit"] == 0
    assert held["owner:ann:CNY"] == 500 - 300 - 900
    assert redeem_credit([*books, *first, *second], date(2026, 7, 2), 6, "CNY") == ()
