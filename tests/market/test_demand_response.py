"""Demand response: clocks, awards, the payment curve, penalties."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.problem import InputError
from backfeed.market.demand_response import (
    Award,
    Deadline,
    Declined,
    Direction,
    Invitation,
    award,
    delivered_wh,
    paid_wh,
    payment_micro,
    settle_delivery,
    settle_event,
    takes_part,
    timetable,
)
from backfeed.market.programme import load_programme, programme_names

START_MS = parse_instant("2026-07-13T17:00:00+08:00")
PILOT = load_programme("pilot")
VPP = load_programme("guangdong-vpp")


def invitation(**changes):
    usual = Invitation(
        id="ps-1",
        kind=Direction.PEAK_SHAVE,
        invited_at_ms=START_MS - 24 * MS_PER_H,
        start_ms=START_MS,
        end_ms=START_MS + 2 * MS_PER_H,
        power_kw=100.0,
        price_per_kwh=Decimal("1.5"),
        baseline="mean-5-workdays",
    )
    return replace(usual, **changes)


def test_an_award_promises_no_more_than_invited():
    made = award(PILOT, invitation(), 250.0, START_MS - MS_PER_H)
    assert isinstance(made, Award)
    assert (made.power_kw, made.promised_wh) == (100.0, 200_000)


def test_every_reason_to_decline_is_told():
    fill = invitation(kind=Direction.VALLEY_FILL, price_per_kwh=Decimal("0.6"), end_ms=START_MS + 30 * MS_PER_MIN)
    declined = award(VPP, fill, 60.0, START_MS - 30 * MS_PER_MIN)
    assert isinstance(declined, Declined)
    told = "; ".join(declined.reasons)
    for word in ("gate has closed", "least of 5000 kW", "shorter than 60 minutes", "above the cap of 0.554"):
        assert word in told


def test_an_offer_at_gate_closure_is_in_time_and_one_after_it_is_not():
    big = invitation(power_kw=6000.0)
    assert isinstance(award(VPP, big, 6000.0, START_MS - 60 * MS_PER_MIN), Award)
    assert isinstance(award(VPP, big, 6000.0, START_MS - 60 * MS_PER_MIN + 1), Declined)


def test_the_first_and_the_last_moment_of_a_rule_belong_to_it():
    asked = invitation()
    assert isinstance(award(PILOT, asked, 1.0, asked.invited_at_ms), Award)
    assert isinstance(award(PILOT, asked, 1.0, asked.invited_at_ms - 1), Declined)
    sichuan = load_programme("sichuan-2023")
    latest = parse_instant("2026-07-10T15:00:00+08:00")
    assert isinstance(award(sichuan, invitation(invited_at_ms=latest), 1.0, latest), Award)
    assert isinstance(award(sichuan, invitation(invited_at_ms=latest + 1), 1.0, latest + 1), Declined)
    at_least = replace(PILOT, power_min_kw=5.0, duration_min_min=120)
    assert isinstance(award(at_least, asked, 5.0, START_MS), Award)
    assert isinstance(award(replace(at_least, duration_min_min=121), asked, 5.0, START_MS), Declined)
    assert isinstance(award(PILOT, asked, 0.0, START_MS), Declined)


def test_a_curve_begins_with_its_first_point():
    stepped = replace(PILOT, payment_curve=((Decimal("0.5"), Decimal("0.5")), (Decimal(1), Decimal(1))))
    assert [paid_wh(stepped, 1_000, delivered) for delivered in (499, 500, 750, 1_000, 1_001)] == [
        0,
        500,
        750,
        1_000,
        1_000,
    ]


def test_deadlines_some_days_before_are_read_off_the_wall_clock():
    sichuan = load_programme("sichuan-2023")
    assert sichuan.gate_closure.before(START_MS, sichuan.timezone) == parse_instant("2026-07-10T17:00:00+08:00")
    late = award(sichuan, invitation(), 100.0, START_MS - 24 * MS_PER_H)
    assert isinstance(late, Declined)
    assert any("later than sichuan-2023 allows" in reason for reason in late.reasons)


def test_a_deadline_over_a_clock_change_keeps_its_local_time():
    start = parse_instant("2026-03-29T17:00:00+02:00")
    assert Deadline(14 * 60, 1).before(start, "Europe/Berlin") == parse_instant("2026-03-28T14:00:00+01:00")


def test_a_programme_of_one_direction_declines_the_other():
    one_way = replace(PILOT, directions=(Direction.VALLEY_FILL,))
    assert isinstance(award(one_way, invitation(), 10.0, START_MS), Declined)


@pytest.mark.parametrize(
    ("delivered", "paid"),
    [(-5_000, 0), (0, 0), (7_999, 0), (8_000, 8_000), (10_000, 10_000), (12_000, 12_000), (20_000, 12_000)],
)
def test_the_curve_pays_nothing_below_80_percent_and_no_more_above_120(delivered, paid):
    assert paid_wh(PILOT, 10_000, delivered) == paid


@given(st.integers(1, 10**9), st.integers(0, 2 * 10**9), st.integers(0, 2 * 10**9))
def test_delivering_more_never_pays_less(promised, one, other):
    less, more = sorted((one, other))
    assert payment_micro(PILOT, promised, less, Decimal("0.8")) <= payment_micro(PILOT, promised, more, Decimal("0.8"))


def test_a_curve_between_points_is_interpolated_exactly():
    bent = replace(
        PILOT, payment_curve=((Decimal(0), Decimal(0)), (Decimal("0.5"), Decimal("0.2")), (Decimal(1), Decimal(1)))
    )
    assert paid_wh(bent, 1_000, 250) == 100
    assert paid_wh(bent, 1_000, 750) == 600
    assert paid_wh(bent, 1_000, 5_000) == 1_000


def test_the_penalty_is_half_the_price_of_what_is_missing_to_half_the_promise():
    payment = settle_delivery(PILOT, 10_000, 2_000, Decimal("1.5"))
    assert payment.revenue_micro == 0
    assert payment.penalty_micro == 2_250_000  # (10 kWh x 0.5 - 2 kWh) x 1.5 x 0.5
    assert payment.net_micro == -2_250_000
    assert settle_delivery(PILOT, 10_000, 5_000, Decimal("1.5")).penalty_micro == 0


def test_a_programme_that_settles_by_the_hour_does_not_let_one_hour_make_up_for_another():
    made = award(VPP, invitation(power_kw=6000.0), 6000.0, START_MS - 2 * MS_PER_H)
    assert isinstance(made, Award)
    uneven = np.array([3_000_000] * 4 + [0] * 4)
    by_hour = settle_event(made, uneven, 15 * MS_PER_MIN)
    assert by_hour.revenue_micro == 6_000 * 12 // 10 * 1_500_000
    assert by_hour.penalty_micro == 3_000 * 750_000
    assert (by_hour.promised_wh, by_hour.delivered_wh) == (12_000_000, 12_000_000)
    whole = settle_event(replace(made, programme=replace(VPP, settlement_min=None)), uneven, 15 * MS_PER_MIN)
    assert (whole.revenue_micro, whole.penalty_micro) == (12_000 * 1_500_000, 0)
    with pytest.raises(ValueError, match="whole number of steps"):
        settle_event(replace(made, programme=replace(VPP, settlement_min=50)), uneven, 15 * MS_PER_MIN)


@given(st.integers(1, 10**7), st.integers(1, 20), st.sampled_from([15, 30, 60]))
def test_periods_settled_apart_promise_the_whole(promised, steps, minutes):
    made = award(PILOT, invitation(), 10.0, START_MS - MS_PER_H)
    made = replace(made, promised_wh=promised, programme=replace(PILOT, settlement_min=minutes, penalty=None))
    even = np.array([promised * (i + 1) // steps - promised * i // steps for i in range(steps)])
    paid = settle_event(made, even, 15 * MS_PER_MIN)
    assert abs(paid.revenue_micro - promised * 1_500) <= 1_500 * steps


def test_the_timetable_of_an_invitation_names_every_deadline():
    clock = timetable(load_programme("sichuan-2023"), invitation())
    assert clock.invited_by_ms == parse_instant("2026-07-10T15:00:00+08:00")
    assert clock.gate_closure_ms == parse_instant("2026-07-10T17:00:00+08:00")
    assert clock.confirmed_by_ms == parse_instant("2026-07-12T14:00:00+08:00")
    assert timetable(PILOT, invitation()).confirmed_by_ms is None


def test_owners_say_yes_or_no_as_the_programme_asks():
    yes_needed = load_programme("jiangsu")
    assert [takes_part(yes_needed, answer=answer) for answer in (True, False, None)] == [True, False, False]
    assert [takes_part(PILOT, answer=answer) for answer in (True, False, None)] == [True, False, True]


def test_delivery_counts_the_way_it_was_invited():
    baseline, metered = [4_000, 4_000], [-1_000, 5_000]
    assert delivered_wh(baseline, metered, Direction.PEAK_SHAVE).tolist() == [5_000, -1_000]
    assert delivered_wh(baseline, metered, Direction.VALLEY_FILL).tolist() == [-5_000, 1_000]
    with pytest.raises(ValueError, match="differ in length"):
        delivered_wh(np.zeros(2), np.zeros(3), Direction.PEAK_SHAVE)


def test_the_southern_grid_event_pays_four_yuan_a_car():
    payment = settle_delivery(PILOT, 500_000_000, 500_000_000, Decimal("0.80"))
    assert payment.revenue_micro == 400_000_000_000
    assert payment.revenue_micro // 100_000 == 4_000_000


@pytest.mark.parametrize("name", programme_names())
def test_every_programme_states_its_source(name):
    programme = load_programme(name)
    assert programme.programme_id == name
    assert programme.provenance is not None
    assert programme.provenance.source


def test_faults_of_a_programme_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """
id = "bad"
title = "bad"
currency = "CNY"
source = "test"
mark = "u"
timezone = "Nowhere"
directions = ["sideways"]
gate_closure = "soon"
baseline = "last-year"
payment_curve = [{ ratio = 1, paid = 1 }, { ratio = 0.5, paid = 0 }]
penalty = { below_ratio = -1 }
""",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        load_programme(path)
    for word in ("Nowhere", "sideways", "soon", "last-year", "ratios have to grow", "below_ratio", "factor is missing"):
        assert word in str(caught.value), word
    with pytest.raises(InputError, match="pilot"):
        load_programme("atlantis")
