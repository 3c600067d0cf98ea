"""The streaming state, the rainflow count and the limits of the laws."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.battery.limits import discharge_allowed, out_of_range
from backfeed.battery.rainflow import BINS, Rainflow, follow
from backfeed.battery.state import WearState, full_cycles_so_far, loss_so_far, observe
from backfeed.battery.wear import LFP, NCA, WEAR_LAWS, SocPaths, day_stress, lifetime_loss

QUARTER_MS = 900_000
soc_walks = st.lists(st.floats(0, 1), min_size=3, max_size=200)


def watched(law, at_ms, soc, cuts, *, restart):
    state, start = WearState(), 0
    for end in [*sorted(cuts), at_ms.size]:
        state = observe(state, law, at_ms[start:end], soc[start:end])
        state = WearState.decode(state.encode()) if restart else state
        start = max(start, end)
    return state


@settings(max_examples=30, deadline=None)
@given(soc_walks, st.lists(st.integers(0, 200), max_size=5))
def test_a_restart_loses_nothing(soc, cuts):
    soc = np.array(soc)
    at_ms = np.arange(soc.size) * 4 * QUARTER_MS
    cuts = [min(cut, soc.size) for cut in cuts]
    assert watched(LFP, at_ms, soc, cuts, restart=True) == watched(LFP, at_ms, soc, cuts, restart=False)


@settings(max_examples=30, deadline=None)
@given(soc_walks, st.lists(st.integers(0, 200), max_size=5))
def test_how_the_samples_arrive_does_not_matter(soc, cuts):
    soc = np.array(soc)
    at_ms = np.arange(soc.size) * 4 * QUARTER_MS
    whole = observe(WearState(), LFP, at_ms, soc)
    parts = watched(LFP, at_ms, soc, [min(cut, soc.size) for cut in cuts], restart=True)
    assert loss_so_far(parts, LFP) == pytest.approx(loss_so_far(whole, LFP), rel=1e-9)
    assert full_cycles_so_far(parts, LFP) == pytest.approx(np.abs(np.diff(soc)).sum() / 2)
    assert parts.swings == whole.swings


@pytest.mark.parametrize("law", WEAR_LAWS.values(), ids=lambda law: law.chemistry.value)
def test_watching_a_car_for_a_year_agrees_with_the_lifetime_model(law):
    day = np.interp(np.arange(96) / 4, [0, 4, 7, 8, 17, 18, 21, 24], [0.3, 0.3, 0.8, 0.72, 0.72, 0.65, 0.3, 0.3])
    soc = np.append(np.tile(day, 364), day[0])
    at_ms = np.arange(soc.size) * QUARTER_MS
    state = watched(law, at_ms, soc, range(1000, soc.size, 5000), restart=True)
    expected = lifetime_loss(law, SocPaths.single(at_ms, soc), years=364 / 365)
    assert sum(loss_so_far(state, law)) == pytest.approx(float(expected.total[0]), rel=0.005)


def plain_rainflow(soc):
    """Count by the textbook on the whole list: reversals first, then the three-point rule."""
    turns = [soc[0]]
    for level in soc[1:]:
        if len(turns) > 1 and (turns[-1] - turns[-2]) * (level - turns[-1]) >= 0:
            turns[-1] = level
        elif level != turns[-1]:
            turns.append(level)
    swings, stack = [], []
    for turn in turns:
        stack.append(turn)
        while len(stack) >= 3 and abs(stack[-1] - stack[-2]) >= abs(stack[-2] - stack[-3]):
            if len(stack) == 3:
                swings.append((abs(stack[1] - stack[0]), 0.5))
                stack.pop(0)
            else:
                swings.append((abs(stack[-2] - stack[-3]), 1.0))
                del stack[-3:-1]
    return swings + [(abs(b - a), 0.5) for a, b in itertools.pairwise(stack)]


@given(st.lists(st.integers(0, 50).map(lambda n: n / 50), min_size=2, max_size=60))
def test_the_streaming_count_is_the_textbook_s(soc):
    counted = follow(Rainflow(), soc).counted()
    expected = [0.0] * BINS
    for depth, cycles in plain_rainflow(soc):
        expected[min(int(depth * BINS), BINS - 1)] += cycles
    assert counted == pytest.approx(tuple(expected))


def test_waiting_reversals_stay_few():
    dice = np.random.Generator(np.random.PCG64(2))
    count = follow(Rainflow(), dice.uniform(0, 1, 20_000).tolist())
    assert len(count.waiting) < 60


def test_discharge_is_blocked_in_the_cold_and_on_a_broken_sensor():
    assert discharge_allowed([-10.0, 4.99, 5.0, 25.0, float("nan")]).tolist() == [False, False, True, True, False]


def test_what_leaves_the_tested_range_is_reported_and_clamped():
    at_ms, soc = np.array([0, 1, 2]) * 3_600_000, np.array([0.1, 1.2, 0.5])
    cold = day_stress(NCA, SocPaths.single(at_ms, soc), -20.0)
    edge = day_stress(NCA, SocPaths.single(at_ms, soc), NCA.calendar_temperature_c[0])
    assert cold.calendar_stress == pytest.approx(edge.calendar_stress)
    found = {each.quantity: each for each in out_of_range(NCA, soc, -20.0, cold)}
    assert found["temperature_c"].treatment == "clamped"
    assert found["temperature_c"].found_lowest == -20
    assert found["soc"].found_highest == 1.2
    assert "depth" not in found
    assert found.keys() == {"temperature_c", "soc"}


def test_a_shallow_day_is_reported_as_an_extrapolation():
    at_ms, soc = np.array([0, 10, 20]) * 3_600_000, np.array([0.5, 0.7, 0.5])
    (found,) = out_of_range(LFP, soc, 25.0, day_stress(LFP, SocPaths.single(at_ms, soc)))
    assert (found.quantity, found.treatment, found.count) == ("depth", "extrapolated", 1)
