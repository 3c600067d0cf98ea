"""The guard, fed with anything at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.dispatch.guard import GuardLimits, Place, guard

wild = st.floats(allow_nan=True, allow_infinity=True)


def place(kind, member, limits):
    table = np.array(limits, dtype=np.float64)
    names = tuple(f"{kind}-{i}" for i in range(len(table)))
    return Place(kind, names, np.array(member, dtype=np.int64), table[:, 2], table[:, 0], table[:, 1])


@st.composite
def fleets(draw):
    count = draw(st.integers(1, 8))
    listed = lambda values: np.array(draw(st.lists(values, min_size=count, max_size=count)))  # noqa: E731
    limit = st.tuples(st.floats(0, 60), st.floats(0, 60), st.floats(-30, 60))
    site = listed(st.integers(0, 3)).astype(np.int64)
    feeder = np.array(draw(st.lists(st.integers(0, 1), min_size=4, max_size=4)))[site]
    places = (
        place("site", site, draw(st.lists(limit, min_size=4, max_size=4))),
        place("feeder", feeder, draw(st.lists(limit, min_size=2, max_size=2))),
        place("fleet", np.zeros(count), [draw(limit)]),
    )
    limits = GuardLimits(listed(st.floats(0, 22)), listed(st.floats(0, 22)), places)
    return listed(wild), listed(st.floats(-22, 22)), limits


@given(fleets(), st.floats(0, 900))
def test_whatever_is_asked_for_ratings_and_limits_are_kept(fleet, elapsed_s):
    wanted, previous, limits = fleet
    power = guard(wanted, previous, elapsed_s, limits).power_kw
    assert (power <= limits.charge_max_kw + 1e-9).all()
    assert (power >= -limits.discharge_max_kw - 1e-9).all()
    for where in limits.places:
        net = where.base_load_kw + np.bincount(where.member, weights=power, minlength=len(where.names))
        charging = np.bincount(where.member, weights=np.maximum(power, 0), minlength=len(where.names))
        discharging = np.bincount(where.member, weights=np.maximum(-power, 0), minlength=len(where.names))
        assert ((net <= where.import_limit_kw + 1e-3) | (charging <= 1e-3)).all()
        assert ((net >= -where.export_limit_kw - 1e-3) | (discharging <= 1e-3)).all()


@given(fleets(), st.floats(0, 900))
def test_the_guard_changes_nothing_in_what_it_has_let_pass(fleet, elapsed_s):
    wanted, previous, limits = fleet
    once = guard(wanted, previous, elapsed_s, limits).power_kw
    again = guard(once, once, elapsed_s, limits)
    assert again.power_kw == pytest.approx(once, abs=1e-3)


def loose(count, ramp=float("inf")):
    everywhere = [(float("inf"), float("inf"), 0.0)]
    return GuardLimits(np.full(count, 7.0), np.full(count, 7.0), (place("fleet", np.zeros(count), everywhere),), ramp)


def test_legal_setpoints_pass_untouched_and_unreported():
    wanted = np.array([7.0, -7.0, 0.5])
    result = guard(wanted, np.zeros(3), 300.0, loose(3))
    assert result.power_kw.tolist() == wanted.tolist()
    assert result.interventions == ()


def test_what_is_not_a_number_becomes_nothing_and_is_reported():
    result = guard(np.array([np.nan, 3.0]), np.zeros(2), 300.0, loose(2))
    assert result.power_kw.tolist() == [0.0, 3.0]
    assert [found.kind for found in result.interventions] == ["not_a_number"]


def test_a_fleet_told_to_turn_at_once_turns_at_the_ramp():
    charging, discharging = np.full(10, 7.0), np.full(10, -7.0)
    limits = loose(10, ramp=0.10)
    power, minutes = charging, 0
    while not np.allclose(power, discharging):
        power = guard(discharging, power, 60.0, limits).power_kw
        minutes += 1
    assert minutes == 20  # 200 % of its rating at 10 % a minute


def test_a_feeder_limit_shrinks_all_its_sites_alike():
    places = (place("feeder", [0, 0, 1], [(10.0, 10.0, 2.0), (10.0, 10.0, 0.0)]),)
    limits = GuardLimits(np.full(3, 22.0), np.full(3, 22.0), places, float("inf"))
    result = guard(np.array([12.0, 4.0, 9.0]), np.zeros(3), 60.0, limits)
    assert result.power_kw == pytest.approx([6.0, 2.0, 9.0])
    assert [(found.kind, found.where) for found in result.interventions] == [("feeder_import", "feeder-0")]
    assert result.interventions[0].wanted_kw == pytest.approx(18.0)
    assert result.interventions[0].allowed_kw == pytest.approx(10.0)


def test_places_whose_powers_lean_on_each_other_come_to_an_end():
    # One car may feed another only within a feeder, and each shrinks for the other's sake: by ever less.
    places = (
        place("site", [0, 1, 2], [(0, 0, 1.0), (2, 0, 1.875), (2, 0, 0)]),
        place("feeder", [1, 0, 1], [(1, 0, 0), (1, 0, 0)]),
        place("fleet", [0, 0, 0], [(0, 0, 0)]),
    )
    limits = GuardLimits(np.array([0.0, 1, 2]), np.array([1.0, 0, 0]), places, float("inf"))
    power = guard(np.array([-1.0, 1.0, 2.0]), np.zeros(3), 60.0, limits).power_kw
    for where in places:
        net = where.base_load_kw + np.bincount(where.member, weights=power, minlength=len(where.names))
        assert ((net <= where.import_limit_kw + 1e-6) | (net <= where.base_load_kw + 1e-6)).all()
        assert (net >= -where.export_limit_kw - 1e-6).all()
