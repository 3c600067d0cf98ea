"""Two independent reckonings of one delivery, the operator's and the platform's, agree to the micro-unit."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.app.calling import rules_of
from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, MS_PER_MIN, parse_instant
from backfeed.core.rng import Streams
from backfeed.market.calendar import DayKind, day_kind
from backfeed.market.demand_response import BASELINES, Award, Direction, Invitation, delivered_wh, settle_event
from backfeed.market.programme import load_programme
from backfeed.meter.baseline import METHODS as PLATFORM_METHODS
from backfeed.meter.baseline import History, baseline
from backfeed.sim.verification import METHODS, Days, Meters, Promise, round_half_even, verify

BEGIN = parse_instant("2026-09-21T00:00:00+08:00")  # a Monday; the mid-autumn and national holidays lie ahead
QUARTER = 15 * MS_PER_MIN
DAYS = 20


@st.composite
def deliveries(draw):
    programme = load_programme(
        draw(st.sampled_from(["pilot", "jiangsu", "beijing", "guangdong-vpp", "jiangsu-realtime"]))
    )
    direction = draw(st.sampled_from(list(programme.directions)))
    start = BEGIN + draw(st.integers(1, DAYS - 1)) * MS_PER_DAY + draw(st.integers(0, 84)) * QUARTER
    end = start + draw(st.integers(1, 11)) * QUARTER
    invited = max(start - draw(st.integers(0, 30)) * MS_PER_H - draw(st.integers(0, 59)) * MS_PER_MIN, BEGIN)
    power_kw = draw(st.integers(1, 400)) / 10
    price = Decimal(draw(st.integers(1, 20_000))) / 10_000
    method = draw(st.sampled_from(METHODS))
    days = draw(st.lists(st.integers(0, DAYS - 1), max_size=4))
    invitation = Invitation("e", direction, invited, start, end, power_kw, price, method)
    return programme, invitation, tuple(date(2026, 9, 21 + k) if k < 10 else date(2026, 10, k - 9) for k in days)


@settings(max_examples=100)
@given(deliveries(), st.integers(0, 2**32 - 1))
def test_operator_and_platform_agree_to_the_micro_unit(case, seed):
    programme, invitation, event_days = case
    dice = Streams(seed).generator("meters")
    rows = dice.integers(0, DAYS * 96, 1500)
    took, gave = dice.integers(0, 2500, 1500), dice.integers(0, 2500, 1500) * (dice.random(1500) < 0.4)
    axis = TimeAxis(BEGIN, QUARTER, DAYS * 96)
    net = np.bincount(rows, took - gave, axis.count).astype(np.int64)
    event = TimeAxis(invitation.start_ms, QUARTER, (invitation.end_ms - invitation.start_ms) // QUARTER)

    usual = baseline(
        invitation.baseline, History(axis, net, "Asia/Shanghai", "CN", event_days), event, invitation.invited_at_ms
    )
    first = axis.index_of(event.start_ms)
    moved = delivered_wh(usual.net_wh, net[first : first + event.count], invitation.kind)
    promised = round(invitation.power_kw * invitation.duration_h * 1000)
    award = Award(
        invitation, programme, invitation.power_kw, promised, invitation.price_per_kwh, invitation.invited_at_ms
    )
    ours = settle_event(award, moved, QUARTER)

    theirs = verify(
        rules_of(programme),
        Promise(
            invitation.kind.value,
            (invitation.start_ms, invitation.end_ms),
            invitation.invited_at_ms,
            invitation.baseline,
            invitation.power_kw,
            invitation.price_per_kwh,
        ),
        Meters((BEGIN + rows * QUARTER).tolist(), took.tolist(), gave.tolist()),
        BEGIN,
        Days(lambda day: day_kind(day, "CN") is DayKind.WORKDAY, frozenset(event_days)),
    )
    assert theirs.baseline_wh == tuple(usual.net_wh.tolist())
    assert (theirs.promised_wh, theirs.delivered_wh) == (ours.promised_wh, ours.delivered_wh)
    assert (theirs.revenue_micro, theirs.penalty_micro) == (ours.revenue_micro, ours.penalty_micro)


def test_a_published_event_is_verified_as_it_was_settled():
    # Southern Grid: 500,000 kWh for 400,000 yuan are 0.80 yuan a kWh.
    start = BEGIN + 34 * QUARTER
    meters = Meters([start], [0], [500_000_000])
    promise = Promise("peak_shave", (start, start + QUARTER), BEGIN, "mean-5-workdays", 2_000_000.0, Decimal("0.80"))
    said = verify(rules_of(load_programme("pilot")), promise, meters, BEGIN, Days(lambda _day: True))
    assert (said.promised_wh, said.delivered_wh) == (500_000_000, 500_000_000)
    assert (said.revenue_micro, said.penalty_micro) == (400_000_000_000, 0)


def test_a_delivery_of_nothing_is_penalised_to_half_the_promise():
    start = BEGIN + 34 * QUARTER
    promise = Promise("valley_fill", (start, start + 4 * QUARTER), BEGIN, "mean-5-workdays", 10.0, Decimal("0.40"))
    said = verify(rules_of(load_programme("pilot")), promise, Meters([], [], []), BEGIN, Days(lambda _day: True))
    assert (said.delivered_wh, said.revenue_micro, said.penalty_micro) == (0, 0, 1_000_000)
    assert said.net_micro == -1_000_000


@pytest.mark.parametrize("direction", list(Direction))
def test_every_method_and_direction_is_known_to_both(direction):
    assert tuple(METHODS) == BASELINES == tuple(PLATFORM_METHODS)
    assert direction.value in rules_of(load_programme("pilot")).directions


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_rounding_is_that_of_decimal(numerator, denominator):
    assert round_half_even(Fraction(numerator, denominator)) == round(Fraction(numerator, denominator))
