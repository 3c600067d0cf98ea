"""A settled day against an independent recomputation, and the laws that hold for every day."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, local_midnight_ms
from backfeed.market.demand_response import Direction, DrPayment, Invitation, award, settle_delivery
from backfeed.market.programme import load_programme
from backfeed.market.tariff import grant_subsidy, load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterBook, MeterKey
from backfeed.settle.account import Instrument, Role, holder_of
from backfeed.settle.offer import Offer
from backfeed.settle.postings import DeliveredEvent, Parties, SettlementDay, award_transfer, settle_day
from backfeed.settle.retail import lots
from backfeed.settle.statement import make_statements
from backfeed.settle.transfer import Code, Phase, balances, corrections, faults, net_effect, reservations
from backfeed.settle.waterfall import Shares

MIDNIGHT = local_midnight_ms(date(2026, 7, 20), ZoneInfo("Asia/Shanghai"))
AXIS = TimeAxis(MIDNIGHT, INTERVAL_MS, 96)
TARIFF = grant_subsidy(load_tariff("guangdong-v2g", "0.62"), "guangzhou-v2g", Decimal("0.7"))
PRICES = price_axis(TARIFF, AXIS)
PILOT = load_programme("pilot")
CLEARING, OWN = "clearing:backfeed:CNY", "aggregator:backfeed:CNY"


def table(rows):
    """Return intervals from (owner, site, step, import, export)."""
    keys = tuple(dict.fromkeys(MeterKey(f"{o}{s}", o, s, f"cp-{o}{s}", 1) for o, s, *_ in rows))
    number = {(key.owner, key.site): i for i, key in enumerate(keys)}
    columns = np.array(
        [(number[o, s], AXIS.start_ms + q * INTERVAL_MS, i, e) for o, s, q, i, e in rows], dtype=np.int64
    )
    return IntervalTable(keys, *columns.reshape(-1, 4).T)


def settled(rows, parties=None, **more):
    more.setdefault("wear_micro", {})
    return settle_day(SettlementDay("2026-07-20", AXIS.end_ms, table(rows), PRICES, **more), parties or Parties())


energies = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cem", "dou"]),
        st.sampled_from(["garage", "office"]),
        st.integers(0, 95),
        st.integers(0, 5_000),
        st.integers(0, 5_000),
    ),
    min_size=1,
    max_size=60,
    unique_by=lambda row: row[:3],
)
wears = st.dictionaries(st.sampled_from(["ann", "bob"]), st.integers(0, 20_000_000))


def known_wear(rows, wear):
    return {owner: amount for owner, amount in wear.items() if any(row[0] == owner for row in rows)}


def test_one_car_pays_for_what_it_took_and_earns_what_it_gave():
    day = settled([("ann", "garage", 8, 10_000, 0), ("ann", "garage", 60, 0, 8_000)], wear_micro={"ann": 1_000_000})
    held = balances(day.transfers)
    bill, revenue = 2_356_000, 7_701_000 + 5_600_000  # 10 kWh x 0.2356; 8 kWh x 0.962625 + 8 kWh x 0.7
    floor = 1_000_000 + 8 * 235_600  # wear, and 8 kWh at the day's cheapest price
    owner = floor + round((revenue - floor) * 0.7)
    assert held["owner:ann:CNY"] == owner - bill
    assert held["retailer:retailer:CNY"] == bill
    assert held["grid:grid:CNY"] == -7_701_000
    assert held["subsidy:guangzhou-v2g:CNY"] == -5_600_000
    assert held["site:garage:CNY"] == round((revenue - floor) * 0.1)
    assert held["owner:ann:Wh"] == 2_000
    assert held["owner:ann:CNY-wear"] == -1_000_000


@settings(max_examples=60)
@given(energies, wears)
def test_every_day_closes_the_clearing_account_and_sums_to_zero(rows, wear):
    day = settled(rows, wear_micro=known_wear(rows, wear))
    held = balances(day.transfers)
    assert all(not faults(transfer) for transfer in day.transfers)
    assert held.get(CLEARING, 0) == 0
    units = {account.rpartition(":")[2] for account in held}
    assert all(sum(v for a, v in held.items() if a.endswith(f":{unit}")) == 0 for unit in units)
    assert len({transfer.id for transfer in day.transfers}) == len(day.transfers)


@settings(max_examples=60)
@given(energies, wears)
def test_metered_energy_is_posted_energy(rows, wear):
    day = settled(rows, wear_micro=known_wear(rows, wear))
    for code, column in ((Code.ENERGY_CHARGED, 3), (Code.ENERGY_DISCHARGED, 4)):
        posted = sum(t.amount for t in day.transfers if t.code is code)
        assert posted == sum(row[column] for row in rows)


@settings(max_examples=60)
@given(energies, wears)
def test_no_owner_is_paid_less_than_the_wear(rows, wear):
    wear = known_wear(rows, wear)
    day = settled(rows, wear_micro=wear)
    for owner, amount in wear.items():
        paid = sum(t.amount for t in day.transfers if t.code is Code.PAYOUT and t.credit == f"owner:{owner}:CNY")
        assert paid >= amount


@settings(max_examples=60)
@given(energies, wears)
def test_every_payout_is_covered_by_what_was_posted_before_it(rows, wear):
    day = settled(rows, wear_micro=known_wear(rows, wear))
    held = 0
    for transfer in day.transfers:
        held += (transfer.credit == CLEARING) * transfer.amount - (transfer.debit == CLEARING) * transfer.amount
        assert held >= 0 or transfer.code is Code.ROUNDING


@settings(max_examples=40)
@given(energies, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_transfer(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert settled(rows).transfers == settled(shuffled).transfers


@settings(max_examples=60)
@given(energies)
def test_money_agrees_with_a_recomputation_in_fractions(rows):
    """An oracle of its own: no numpy, no shared code, exact fractions; sharing divided in proportion."""
    day = settled(rows)
    net = Fraction(0)
    for row_step in {(row[1], row[2]) for row in rows}:
        at = [row for row in rows if (row[1], row[2]) == row_step]
        given_wh, taken_wh = sum(r[4] for r in at), sum(r[3] for r in at)
        shared = min(given_wh, taken_wh)
        buy, sell = Fraction(PRICES.buy[row_step[1]]), Fraction(PRICES.sell[row_step[1]]) + Fraction("0.7")
        net += (given_wh - shared) * sell - (taken_wh - shared) * buy
    held = balances(day.transfers)
    inside = sum(
        v for a, v in held.items() if a.endswith(":CNY") and holder_of(a)[0] in (Role.OWNER, Role.SITE, Role.AGGREGATOR)
    )
    assert abs(inside - net * 1000) <= 2 * len(rows) + 2
    outside = (
        held.get("retailer:retailer:CNY", 0) + held.get("grid:grid:CNY", 0) + held.get("subsidy:guangzhou-v2g:CNY", 0)
    )
    assert outside + inside + held.get("rounding:backfeed:CNY", 0) == 0


def half_even(amount):
    """Round a fraction half to even, by its own means."""
    whole, rest = divmod(amount, 1)
    return int(whole + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2)))


def recomputed(rows):
    """Settle a day row by row in exact fractions; returns every owner's amounts at every site."""
    shared = {}
    for site, step in {(row[1], row[2]) for row in rows}:
        at = sorted((row for row in rows if (row[1], row[2]) == (site, step)), key=lambda row: row[0])
        whole = min(sum(row[3] for row in at), sum(row[4] for row in at))
        for column in (3, 4):
            total, ran = sum(row[column] for row in at), 0
            for row in at:
                before, ran = ran, ran + row[column]
                part = ran * whole // total - before * whole // total if whole else 0
                shared[(*row[:3], column)] = part
    found = {}
    for owner, site, step, taken, given_wh in rows:
        amounts = found.setdefault((owner, site), [Fraction(0)] * 5)
        buy, sell = Fraction(PRICES.buy[step]) * 1000, Fraction(PRICES.sell[step]) * 1000
        mine_in, mine_out = shared[owner, site, step, 3], shared[owner, site, step, 4]
        parts = (
            (taken - mine_in) * buy,
            mine_in * buy,
            (given_wh - mine_out) * sell,
            mine_out * buy,
            (given_wh - mine_out) * 700,
        )
        found[owner, site] = [a + b for a, b in zip(amounts, parts, strict=True)]
    return {key: [half_even(amount) for amount in amounts] for key, amounts in found.items()}


@settings(max_examples=60)
@given(energies, wears)
def test_every_statement_agrees_with_a_recomputation_row_by_row(rows, wear):
    wear = known_wear(rows, wear)
    day = settled(rows, wear_micro=wear)
    expected = recomputed(rows)
    assert {(o.owner, o.site) for o in day.owners} == set(expected)
    for o in day.owners:
        amounts = (
            o.bill_micro,
            o.shared_bill_micro,
            o.discharge_revenue_micro,
            o.shared_revenue_micro,
            o.subsidy_micro,
        )
        assert list(amounts) == expected[o.owner, o.site]
        revenue = sum(amounts[2:])
        floor = o.wear_micro + half_even(Fraction(min(PRICES.buy)) * 1000 * o.export_wh)
        surplus = max(revenue - floor, 0)
        assert o.split.owner_micro == floor + half_even(Fraction(7, 10) * surplus)
        assert o.split.site_micro == half_even(Fraction(1, 10) * surplus)
    for owner, amount in wear.items():
        assert sum(o.wear_micro for o in day.owners if o.owner == owner) == amount
    for statement in make_statements(day.transfers, Role.OWNER):
        mine = [o for o in day.owners if o.owner == statement.holder]
        cash = sum(o.split.owner_micro - o.bill_micro - o.shared_bill_micro for o in mine)
        assert dict(statement.totals).get("CNY", 0) == cash
        assert dict(statement.totals).get("Wh", 0) == sum(o.import_wh - o.export_wh for o in mine)


def test_the_retailer_is_paid_the_rounded_sum_and_not_the_sum_of_roundings():
    rows = [(name, "garage", 8, 1, 0) for name in ("ann", "bob", "cem", "dou")]  # 0.0002356 yuan each
    held = balances(settled(rows).transfers)
    assert held["retailer:retailer:CNY"] == 942  # 4 x 235.6 micro = 942.4
    assert held["rounding:backfeed:CNY"] == 4 * 236 - 942


def test_energy_driven_in_a_circle_behind_one_meter_earns_nothing():
    still = balances(settled([("ann", "garage", 60, 0, 0)]).transfers)
    circle = settled([("ann", "garage", 60, 0, 5_000), ("bob", "garage", 60, 5_000, 0)])
    held = balances(circle.transfers)
    assert still == {}
    assert (
        held.get("grid:grid:CNY", 0)
        == held.get("subsidy:guangzhou-v2g:CNY", 0)
        == held.get("retailer:retailer:CNY", 0)
        == 0
    )
    assert held["owner:bob:CNY"] < 0


def test_fixed_prices_and_points_are_for_energy_that_reaches_the_grid():
    offer = Offer("f", Shares(Decimal(0), Decimal(0)), of_spread=False, per_kwh=Decimal(1), points_per_kwh=Decimal(1))
    circle = [("ann", "garage", 60, 0, 5_000), ("bob", "garage", 60, 5_000, 0), ("ann", "garage", 61, 0, 1_000)]
    day = settled(circle, Parties(default_offer=offer))
    assert [o.split.owner_floor_micro for o in day.owners] == [1_000_000, 0]
    assert balances(day.transfers)["owner:ann:points"] == 1_000_000


def test_two_subsidies_are_paid_from_their_own_accounts_each_to_its_cap():
    part = PRICES.subsidies[0]
    both = (part, replace(part, name="city", per_kwh=(Decimal("0.1"),) * 96))
    prices = replace(PRICES, subsidies=both)
    rows = [("ann", "garage", 60, 0, 10_000)]
    left = {"guangzhou-v2g": 6_000_000, "city": 5_000_000}
    day = settle_day(SettlementDay("d", AXIS.end_ms, table(rows), prices, {}, subsidies_left_micro=left), Parties())
    held = balances(day.transfers)
    assert (held["subsidy:guangzhou-v2g:CNY"], held["subsidy:city:CNY"]) == (-6_000_000, -1_000_000)


def test_a_site_has_an_offer_for_those_without_one_of_their_own():
    site, own = (
        Offer(name, Shares(Decimal(0), Decimal(0)), of_spread=False, per_kwh=Decimal(n))
        for n, name in enumerate("so", 1)
    )
    parties = Parties(offers={"ann": own}, site_offers={"garage": site})
    rows = [(who, where, 60, 0, 1_000) for who in ("ann", "bob") for where in ("garage", "office")]
    day = settled(rows, parties)
    assert [o.split.owner_floor_micro for o in day.owners][:3] == [2_000_000, 2_000_000, 1_000_000]


def test_the_same_energy_at_two_sites_is_sold_and_bought():
    apart = settled([("ann", "garage", 60, 0, 5_000), ("bob", "office", 60, 5_000, 0)])
    assert balances(apart.transfers)["grid:grid:CNY"] == -(5 * 962_625)


def test_wear_beyond_the_revenue_is_topped_up_from_the_aggregators_own_funds():
    day = settled([("ann", "garage", 8, 0, 1_000)], wear_micro={"ann": 5_000_000})
    held = balances(day.transfers)
    assert held["owner:ann:CNY"] == 5_000_000 + 235_600
    assert held[OWN] == -(5_000_000 + 235_600 - 172_140 - 700_000)
    assert [t.code for t in day.transfers if t.debit == OWN] == [Code.TOP_UP]


def test_a_subsidy_stops_at_its_cap():
    rows = [("ann", "garage", 60, 0, 10_000), ("bob", "office", 60, 0, 30_000)]
    day = settled(rows, subsidies_left_micro={"guangzhou-v2g": 4_000_000})
    assert [o.subsidy_micro for o in day.owners] == [1_000_000, 3_000_000]
    assert (
        balances(settled(rows, subsidies_left_micro={"guangzhou-v2g": 0}).transfers).get("subsidy:guangzhou-v2g:CNY", 0)
        == 0
    )


def event(delivered, kind=Direction.PEAK_SHAVE, **more):
    start = MIDNIGHT + 15 * MS_PER_H
    invitation = Invitation("ps", kind, MIDNIGHT, start, start + MS_PER_H, 10.0, Decimal(2), "mean-5-workdays")
    made = award(PILOT, invitation, 10.0, MIDNIGHT)
    return DeliveredEvent(made, settle_delivery(PILOT, made.promised_wh, delivered, Decimal(2)), **more)


def with_promise(day, *events):
    return [*(award_transfer(e.award, "CNY", Parties()) for e in events), *day.transfers]


@pytest.mark.parametrize(
    ("delivered", "paid"), [(10_000, 20_000_000), (9_000, 18_000_000), (12_000, 24_000_000), (7_000, 0)]
)
def test_a_promise_is_posted_as_far_as_it_was_kept_and_the_rest_is_voided(delivered, paid):
    happened = event(delivered)
    day = settled([("ann", "garage", 60, 0, 6_000), ("bob", "garage", 61, 0, 2_000)], events=(happened,))
    transfers = with_promise(day, happened)
    assert reservations(transfers) == {"award/ps": 0}
    held = balances(transfers)
    assert held.get("grid:demand-response:CNY", 0) == -paid
    assert held.get(CLEARING, 0) == 0
    assert [o.dr_revenue_micro for o in day.owners] == [paid * 3 // 4, paid // 4]


def test_a_penalty_beyond_the_revenue_stands_in_the_aggregators_account():
    happened = event(1_000)  # (5 kWh - 1 kWh) x 2 x 0.5
    day = settled([("ann", "garage", 60, 0, 1_000)], events=(happened,))
    held = balances(with_promise(day, happened))
    assert held["grid:demand-response:CNY"] == 4_000_000
    assert [o.dr_revenue_micro for o in day.owners] == [0]
    assert sum(t.amount for t in day.transfers if t.code is Code.DR_PENALTY and t.debit == OWN) == 4_000_000


def test_a_penalty_is_taken_off_the_revenue_first_and_then_off_the_aggregators_own_funds():
    happened = replace(event(10_000), payment=DrPayment(10_000, 10_000, 5_000_000, 8_000_000))
    day = settled([("ann", "garage", 60, 0, 0)], events=(happened,))
    held = balances(with_promise(day, happened))
    assert held["grid:demand-response:CNY"] == 3_000_000
    assert held[OWN] == -3_000_000
    assert held[CLEARING] == 0


def test_contributions_given_by_name_are_the_key_to_share_by():
    happened = event(10_000, delivered_wh={"bob": 3_000, "ann": 1_000})
    day = settled([("ann", "garage", 60, 0, 6_000), ("bob", "garage", 61, 0, 2_000)], events=(happened,))
    assert [o.dr_revenue_micro for o in day.owners] == [5_000_000, 15_000_000]


def test_an_event_to_which_nobody_contributed_by_meter_goes_to_the_aggregator():
    happened = event(10_000)
    day = settled([("ann", "garage", 1, 500, 0)], events=(happened,))
    held = balances(with_promise(day, happened))
    assert held[OWN] == 20_000_000
    assert held[CLEARING] == 0


def test_valley_fill_is_shared_by_what_was_charged():
    happened = event(10_000, kind=Direction.VALLEY_FILL)
    day = settled([("ann", "garage", 60, 9_000, 0), ("bob", "garage", 61, 1_000, 0)], events=(happened,))
    assert [o.dr_revenue_micro for o in day.owners] == [18_000_000, 2_000_000]


def test_negative_prices_turn_transfers_round():
    prices = price_axis(load_tariff("shandong-v2g", "0.5"), AXIS, spot_per_kwh=[Decimal("-0.1")] * 96)
    day = settle_day(
        SettlementDay("2026-07-20", AXIS.end_ms, table([("ann", "garage", 3, 0, 10_000)]), prices, {}), Parties()
    )
    assert all(transfer.amount > 0 for transfer in day.transfers)
    held = balances(day.transfers)
    assert held["grid:grid:CNY"] == 1_000_000
    assert held["owner:ann:CNY"] == 5_000_000
    assert held[OWN] == -6_000_000


def test_an_offer_may_pay_in_several_instruments_but_wear_in_cash():
    offer = Offer(
        "mixed",
        Shares(Decimal("0.5"), Decimal(0)),
        of_spread=False,
        points_per_kwh=Decimal(2),
        paid_in=((Instrument.CASH, Decimal("0.25")), (Instrument.COUPON, Decimal("0.75"))),
    )
    parties = Parties(default_offer=offer)
    day = settled([("ann", "garage", 60, 0, 10_000)], parties, wear_micro={"ann": 2_000_000})
    held = balances(day.transfers)
    above = (9_626_250 + 7_000_000 - 2_000_000) // 2
    assert held["owner:ann:CNY-coupon"] == round(above * 0.75)
    assert held["owner:ann:CNY"] == 2_000_000 + above - round(above * 0.75)
    assert held["aggregator:backfeed/reserve:CNY"] == held["owner:ann:CNY-coupon"]
    assert held["owner:ann:points"] == 20_000_000
    assert held[CLEARING] == 0


def test_fixed_parts_of_an_offer_are_owed_whatever_the_market_paid():
    offer = Offer(
        "fixed",
        Shares(Decimal(0), Decimal(0)),
        per_kwh=Decimal("0.5"),
        per_plugged_h=Decimal("0.1"),
        per_event=Decimal(3),
    )
    happened = event(10_000)
    day = settled(
        [("ann", "garage", 60, 0, 10_000)],
        Parties(offers={"ann": offer}),
        events=(happened,),
        plugged_h={("ann", "garage"): Decimal(9), ("ann", "office"): Decimal(50)},
    )
    assert balances(with_promise(day, happened))["owner:ann:CNY"] == 5_000_000 + 900_000 + 3_000_000


def test_intervals_outside_the_prices_are_refused():
    with pytest.raises(IndexError):
        settled([("ann", "garage", 96, 1, 0)])


def test_a_day_without_energy_has_no_transfers():
    empty = IntervalTable((), *np.zeros((4, 0), dtype=np.int64))
    assert settle_day(SettlementDay("2026-07-20", 0, empty, PRICES, {}), Parties()).transfers == ()


def test_phases_and_ids_tell_the_day():
    happened = event(9_000)
    day = settled([("ann", "garage", 60, 0, 9_000)], events=(happened,), evidence="sha256:1")
    assert all(t.id.startswith("2026-07-20/") for t in day.transfers)
    assert {t.phase for t in day.transfers} == {Phase.SINGLE, Phase.POST, Phase.VOID}
    assert all(t.evidence for t in day.transfers)


def test_a_fleet_of_thirty_cars_under_one_contract_has_one_statement():
    keys = tuple(MeterKey(f"t{n}", "fleet", "depot", f"cp-{n}", 1) for n in range(30))
    columns = np.array([(n, AXIS.start_ms + 60 * INTERVAL_MS, 0, 1_000) for n in range(30)], dtype=np.int64).T
    day = settle_day(SettlementDay("2026-07-20", AXIS.end_ms, IntervalTable(keys, *columns), PRICES, {}), Parties())
    [statement] = make_statements(day.transfers, Role.OWNER)
    assert statement.holder == "fleet"
    assert sum(t.code is Code.PAYOUT for t in day.transfers) == 1
    assert dict(statement.totals)["Wh"] == -30_000


@settings(max_examples=40)
@given(energies, energies, wears)
def test_late_readings_are_settled_by_corrections_to_the_books_of_a_clean_run(rows, late, wear):
    known = {row[:3] for row in rows}
    complete = [*rows, *(row for row in late if row[:3] not in known)]
    first, clean = settled(rows), settled(complete, wear_micro=known_wear(complete, wear))
    made = corrections(net_effect(first.transfers), clean.transfers, 1)
    corrected = {account: amount for account, amount in balances([*first.transfers, *made]).items() if amount}
    assert corrected == {account: amount for account, amount in balances(clean.transfers).items() if amount}


@pytest.mark.parametrize(("before", "after"), [(9_000, 11_000), (11_000, 8_500), (9_000, 2_000), (2_000, 9_000)])
def test_a_delivery_measured_anew_is_corrected_without_touching_the_promise(before, after):
    rows = [("ann", "garage", 60, 0, 6_000)]
    first, clean = (settled(rows, events=(event(delivered),)) for delivered in (before, after))
    made = corrections(net_effect(with_promise(first, event(before))), with_promise(clean, event(after)), 1)
    assert all(t.phase is Phase.SINGLE for t in made)
    corrected = balances([*with_promise(first, event(before)), *made])
    wanted = balances(with_promise(clean, event(after)))
    assert {a: v for a, v in corrected.items() if v} == {a: v for a, v in wanted.items() if v}


def test_settling_again_gives_the_same_bytes():
    rows = [(name, "garage", step, 37 * step, 11 * step) for name in ("ann", "bob") for step in range(96)]
    one, again = settled(rows), settled(rows)
    assert b"".join(t.canonical() for t in one.transfers) == b"".join(t.canonical() for t in again.transfers)


@pytest.mark.parametrize("count", [10, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_duplicated_and_reordered_meter_events_settle_to_the_same_transfers(count):
    generator = np.random.Generator(np.random.PCG64(5))
    events = []
    for name in ("ann", "bob", "cem"):
        steps = np.stack([np.full(96, 900_000), generator.integers(0, 900, 96), generator.integers(0, 900, 96)], axis=1)
        steps[0, 0] = AXIS.start_ms
        events += [(name, *row) for row in np.cumsum(steps, axis=0).tolist()]
    keys = [MeterKey("t", name, "garage", f"cp-{name}", 1) for name in ("ann", "bob", "cem")]

    def transfers(order):
        book = MeterBook()
        for place in order:
            name, *reading = events[place]
            book.add((f"cp-{name}", 1, "t"), *reading)
        intervals = book.table(keys)
        return settle_day(SettlementDay("2026-07-20", AXIS.end_ms, intervals, PRICES, {}), Parties()).transfers

    clean = transfers(range(len(events)))
    for _ in range(count):
        order = np.concatenate([np.arange(len(events)), generator.integers(0, len(events), 50)])
        assert transfers(generator.permutation(order).tolist()) == clean


def test_an_offer_shares_the_spread_or_the_revenue():
    rows = [("ann", "garage", 60, 0, 10_000)]
    half = Shares(Decimal("0.5"), Decimal(0))
    revenue = 9_626_250 + 7_000_000
    for of_spread, paid in ((True, 2_356_000 + (revenue - 2_356_000) // 2), (False, revenue // 2)):
        day = settled(rows, Parties(default_offer=Offer("half", half, of_spread=of_spread)))
        assert balances(day.transfers)["owner:ann:CNY"] == paid


@pytest.mark.parametrize(("yesterday", "tomorrow"), [(1, 0), (0, 1), (-1, 0), (0, -1)])
def test_the_cheapest_price_is_that_of_the_day_and_not_of_the_whole_axis(yesterday, tomorrow):
    long = replace(
        PRICES,
        axis=TimeAxis(AXIS.start_ms - 96 * INTERVAL_MS, INTERVAL_MS, 288),
        buy=tuple(price + shift for shift in (yesterday, 1, tomorrow) for price in PRICES.buy),
        **{name: getattr(PRICES, name) * 3 for name in ("sell", "subsidy")},
        subsidies=tuple(replace(each, per_kwh=each.per_kwh * 3) for each in PRICES.subsidies),
    )
    day = SettlementDay("2026-07-20", AXIS.end_ms, table([("ann", "garage", 60, 0, 10_000)]), long, {})
    assert settle_day(day, Parties()).owners[0].split.owner_floor_micro == 12_356_000


def test_a_bonus_is_for_those_who_took_part():
    offer = Offer("bonus", Shares(Decimal(0), Decimal(0)), of_spread=False, per_event=Decimal(3))
    day = settled(
        [("ann", "garage", 60, 0, 1), ("bob", "garage", 61, 500, 0), ("cem", "office", 90, 0, 500)],
        Parties(default_offer=offer),
        events=(event(0),),
    )
    assert [o.split.owner_floor_micro for o in day.owners] == [3_000_000, 0, 0]


def test_wear_is_divided_by_what_was_given_at_each_site_or_evenly():
    given_wh = [("ann", "garage", 60, 0, 3_000), ("ann", "office", 70, 0, 1_000)]
    assert [o.wear_micro for o in settled(given_wh, wear_micro={"ann": 400}).owners] == [300, 100]
    taken = [("ann", "garage", 60, 3_000, 0), ("ann", "office", 70, 1_000, 0)]
    assert [o.wear_micro for o in settled(taken, wear_micro={"ann": 400, "nobody": 0}).owners] == [200, 200]


def test_a_reminder_of_when_it_lapses_stands_in_every_payout_of_an_instrument():
    offer = Offer(
        "c",
        Shares(Decimal(1), Decimal(0)),
        of_spread=False,
        paid_in=((Instrument.COUPON, Decimal(1)),),
        expires_after_days=9,
    )
    made = settled([("ann", "garage", 60, 0, 1_000)], Parties(default_offer=offer)).transfers
    [lot] = lots(made, "CNY-coupon")
    assert (lot.day, lot.lapses) == ("2026-07-20", date(2026, 7, 29))
