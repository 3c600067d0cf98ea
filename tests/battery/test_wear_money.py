"""The money of wear: additive over days, independent of sampling, the same for any order of vehicles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.battery.wear import (
    LFP,
    NMC_A,
    WEAR_LAWS,
    ReferenceUse,
    SocPaths,
    discharge_wear_floor,
    horizon_cost,
    lifetime_loss,
    path_cost,
    path_costs,
    reference_damage,
    whole_pack_cost_per_kwh,
    without_discharge,
)

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
laws = pytest.mark.parametrize("law", WEAR_LAWS.values(), ids=lambda law: law.chemistry.value)
levels = st.lists(st.floats(0, 1), min_size=2, max_size=40)


def a_path(levels_of_soc, step_ms=2 * HOUR_MS):
    return np.arange(len(levels_of_soc), dtype=np.int64) * step_ms, np.array(levels_of_soc)


@laws
@settings(max_examples=25, deadline=None)
@given(levels)
def test_the_cost_of_a_path_is_the_sum_of_the_costs_of_its_days(law, soc):
    at_ms, soc = a_path(soc)
    whole = path_cost(law, at_ms, soc, 60.0)
    parts = []
    for start in range(0, int(at_ms[-1]), DAY_MS):
        end = min(start + DAY_MS, int(at_ms[-1]))
        inside = (at_ms > start) & (at_ms < end)
        moments = np.concatenate([[start], at_ms[inside], [end]])
        parts.append(path_cost(law, moments, np.interp(moments, at_ms, soc), 60.0))
    assert whole.total == pytest.approx(sum(part.total for part in parts), rel=1e-6)
    assert whole.calendar == pytest.approx(sum(part.calendar for part in parts), rel=1e-6)


@laws
@settings(max_examples=25, deadline=None)
@given(levels)
def test_adding_samples_on_straight_lines_changes_nothing(law, soc):
    at_ms, soc = a_path(soc)
    fine_ms = np.arange(0, at_ms[-1] + 1, 60_000)
    coarse, fine = path_cost(law, at_ms, soc, 60.0), path_cost(law, fine_ms, np.interp(fine_ms, at_ms, soc), 60.0)
    assert fine.total == pytest.approx(coarse.total, rel=1e-5)


@laws
def test_wear_is_never_free(law):
    at_ms = np.array([0, 10 * HOUR_MS])
    standing = path_cost(law, at_ms, np.array([0.3, 0.3]), 60.0)
    assert standing.calendar > 0
    assert standing.cycling == 0
    charging = path_cost(law, at_ms, np.array([0.3, 0.8]), 60.0)
    assert charging.cycling > 0


def test_permuting_the_vehicles_permutes_the_costs():
    dice = np.random.Generator(np.random.PCG64(1))
    soc = np.clip(0.5 + 0.05 * dice.standard_normal((30, 60)).cumsum(axis=1), 0, 1)
    at_ms = np.arange(60) * HOUR_MS
    capacity = dice.uniform(40, 90, 30)
    order = dice.permutation(30)
    costs = path_costs(LFP, SocPaths.from_matrix(at_ms, soc), capacity)
    shuffled = path_costs(LFP, SocPaths.from_matrix(at_ms, soc[order]), capacity[order])
    assert np.array_equal(shuffled.total, costs.total[order])


def test_many_ragged_paths_cost_what_each_costs_alone():
    at_ms = np.array([0, 5, 30, 2, 3, 50, 60]) * HOUR_MS
    soc = np.array([0.2, 0.8, 0.8, 0.9, 0.5, 0.9, 0.9])
    degrees = np.array([10.0, 20.0, 30.0, 11.0, 12.0, 35.0, 25.0])
    paths = SocPaths(at_ms, soc, np.array([0, 3, 7]))
    together = path_costs(NMC_A, paths, [50.0, 70.0], temperature_c=degrees, scale=[1.0, 1.3])
    first = path_cost(NMC_A, at_ms[:3], soc[:3], 50.0, temperature_c=degrees[:3])
    second = path_cost(NMC_A, at_ms[3:], soc[3:], 70.0, temperature_c=degrees[3:], scale=1.3)
    assert together.total.tolist() == pytest.approx([first.total, second.total])


def test_the_storage_cost_of_standing_still_is_the_law_itself():
    hours, soc, capacity, degrees = 31, 0.63, 60.0, 17.25
    stress = 8.37e4 * np.exp(-5210 / 290.4) * np.exp(-3560 * _anode(soc) / 290.4)
    damage = stress ** (1 / 0.526) * hours / 24
    reference = reference_damage(LFP, capacity)[0][0]
    expected = capacity * 600 / 0.2 * 0.526 * reference ** (0.526 - 1) * damage
    cost = path_cost(LFP, np.array([0, hours * HOUR_MS]), np.full(2, soc), capacity, temperature_c=degrees)
    assert cost.calendar == pytest.approx(expected, rel=2e-4)


def _anode(soc):
    x = 8.5e-3 + soc * (0.78 - 8.5e-3)
    return (
        0.6379 + 0.5416 * np.exp(-305.5309 * x) + 0.044 * np.tanh(-(x - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((x - 1.0571) / 0.0854) - 0.6875 * np.tanh((x + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((x - 0.5692) / 0.0875)
    )  # fmt: skip


def test_money_is_proportional_to_value_and_scale():
    at_ms, soc = a_path([0.9, 0.2, 0.9])
    once = path_cost(LFP, at_ms, soc, 60.0)
    twice = path_cost(LFP, at_ms, soc, 60.0, value_per_kwh=1200.0)
    worse = path_cost(LFP, at_ms, soc, 60.0, scale=1.5)
    assert twice.total == pytest.approx(2 * once.total)
    assert worse.total == pytest.approx(1.5 * once.total)


def test_the_active_rate_is_the_cautious_choice_and_sees_the_charger_s_power():
    at_ms = np.array([0, 12, 13, 20, 21, 24]) * HOUR_MS
    soc = np.array([0.8, 0.8, 0.6, 0.6, 0.8, 0.8])
    slow = path_cost(LFP, at_ms, soc, 60.0)
    active = path_cost(LFP, at_ms, soc, 60.0, active_c_rate=True)
    assert active.cycling > slow.cycling


def test_a_day_of_the_reference_use_costs_its_share_of_the_loss_at_the_horizon():
    day = ReferenceUse().day(np.array([60.0]))
    one = path_costs(LFP, day, 60.0)
    loss = LFP.loss(*reference_damage(LFP, 60.0))
    days = 8 * 365
    assert one.calendar[0] * days == pytest.approx(LFP.calendar_power * horizon_cost(loss[0][0], 0, 60.0))
    assert one.cycling[0] * days == pytest.approx(LFP.cycling_power * horizon_cost(loss[1][0], 0, 60.0))


def test_without_discharge_a_path_holds_the_highest_charge_it_has_had():
    paths = SocPaths(np.arange(6) * HOUR_MS, np.array([0.5, 0.3, 0.8, 0.9, 0.4, 0.6]), np.array([0, 3, 6]))
    assert without_discharge(paths).soc.tolist() == pytest.approx([0.5, 0.5, 0.8, 0.9, 0.9, 0.9])


@laws
def test_the_discharge_floor_is_paid_only_where_something_was_discharged(law):
    at_ms = np.array([0, 2, 6, 12]) * HOUR_MS
    paths = SocPaths.from_matrix(at_ms, np.array([[0.5, 0.2, 0.2, 0.9], [0.5, 0.5, 0.5, 0.9]]))
    wear = discharge_wear_floor(law, paths, 60.0, [0.3 * 60 * 0.92, 0.0])
    assert wear.floor_per_kwh[0] >= wear.cycling_per_kwh[0] > 0
    assert wear.calendar_per_kwh[0] < 0
    assert wear.floor_per_kwh[1] == 0


def test_two_hundred_full_cycles_leave_lfp_at_98_2_per_cent():
    hours = 60 / 7 / 0.92
    at_ms = (np.array([0, 2, 2 + hours, 12, 12 + hours, 24]) * HOUR_MS).astype(np.int64)
    cycling = SocPaths.single(at_ms, np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0]))
    loss = lifetime_loss(LFP, cycling, years=200 / 365)
    assert loss.full_cycles[0] == pytest.approx(200)
    assert 1 - loss.total[0] == pytest.approx(0.982, abs=0.002)


def test_owners_are_shown_the_whole_pack_convention_too():
    assert [round(whole_pack_cost_per_kwh(n), 2) for n in (571, 1_500, 3_000)] == [2.10, 0.80, 0.40]


@pytest.mark.parametrize(
    ("at_ms", "soc", "degrees"),
    [([0, 1], [0.5, float("nan")], 25.0), ([1, 0], [0.5, 0.6], 25.0), ([0, 1], [0.5, 0.6], float("nan"))],
)
def test_a_path_that_is_none_is_refused(at_ms, soc, degrees):
    with pytest.raises(AssertionError):
        path_cost(LFP, np.array(at_ms) * HOUR_MS, np.array(soc), 60.0, temperature_c=degrees)
