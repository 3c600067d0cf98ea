import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.sim.replay import replay
from backfeed.sim.truth import QUARTER_MS
from backfeed.sim.world import draw_world


@pytest.fixture
def day(visits_of, config_of, busy_rows):
    config = config_of()
    sessions, _ = draw_world(visits_of(busy_rows), config, Streams(1))
    return sessions, config


def schedule(sessions, axis, seed=2):
    return np.random.Generator(np.random.PCG64(seed)).uniform(-9, 9, (len(sessions), axis.count))


@pytest.mark.parametrize("step_min", [5, 15, 60, 25])
def test_segments_cover_every_connected_moment_once_within_quarter_hours(day, step_min):
    sessions, config = day
    axis = TimeAxis(config.start_ms + 2 * MS_PER_H, step_min * MS_PER_MIN, 10 * 60 // step_min)
    segments = replay(sessions, axis, schedule(sessions, axis), config).segments
    assert np.all(segments.from_ms // QUARTER_MS == (segments.until_ms - 1) // QUARTER_MS)
    same = segments.session[1:] == segments.session[:-1]
    np.testing.assert_array_equal(segments.from_ms[1:][same], segments.until_ms[:-1][same])
    first = np.flatnonzero(np.r_[True, ~same])
    np.testing.assert_array_equal(segments.from_ms[first], sessions.arrival_ms)
    last = np.flatnonzero(np.r_[~same, True])
    np.testing.assert_array_equal(segments.until_ms[last], np.minimum(sessions.departure_ms, config.end_ms))


def test_energy_and_power_add_up(day):
    sessions, config = day
    axis = TimeAxis(config.start_ms, QUARTER_MS, 96)
    truth = replay(sessions, axis, schedule(sessions, axis), config)
    segments = truth.segments
    before = np.r_[0.0, segments.energy_end_kwh[:-1]]
    first = np.flatnonzero(np.r_[True, np.diff(segments.session) > 0])
    before[first] = sessions.energy_arrival_kwh
    change = segments.energy_end_kwh - before
    efficiency = np.where(
        change > 0, sessions.charge_efficiency[segments.session], 1 / sessions.discharge_efficiency[segments.session]
    )
    np.testing.assert_allclose(segments.energy_kwh * efficiency, change, atol=1e-9)
    assert np.all(np.abs(segments.energy_kwh) <= np.abs(segments.power_kw) * segments.hours + 1e-9)
    assert np.all(segments.power_kw <= sessions.charge_max_kw[segments.session])
    assert np.all(segments.power_kw >= -sessions.discharge_max_kw[segments.session])
    assert np.all(segments.energy_end_kwh <= sessions.energy_full_kwh[segments.session])
    assert np.all(segments.energy_end_kwh >= sessions.energy_empty_kwh[segments.session])


def test_the_length_of_the_steps_does_not_matter(day):
    sessions, config = day
    coarse = TimeAxis(config.start_ms, MS_PER_H, 24)
    fine = TimeAxis(config.start_ms, 5 * MS_PER_MIN, 288)
    power = schedule(sessions, coarse)
    one = replay(sessions, coarse, power, config)
    other = replay(sessions, fine, np.repeat(power, 12, axis=1), config)
    np.testing.assert_allclose(one.energy_departure_kwh, other.energy_departure_kwh, rtol=1e-12)


def test_a_schedule_that_knows_the_chargers_is_followed_exactly(day):
    sessions, config = day
    axis = TimeAxis(config.start_ms, QUARTER_MS, 96)
    power = np.full((len(sessions), 96), 1.5)
    exact = replay(sessions, axis, power, config, exact_chargers=True).segments
    moving = (exact.power_kw > 0) & (exact.energy_end_kwh < 0.9 * sessions.capacity_kwh[exact.session])
    np.testing.assert_allclose(exact.power_kw[moving], 1.5)
    rough = replay(sessions, axis, power, config).segments
    assert 0 < np.abs(rough.power_kw - 1.5).max() <= 1.5


def test_outside_of_its_axis_a_schedule_asks_nothing_and_its_shape_is_checked(day):
    sessions, config = day
    axis = TimeAxis(config.end_ms, QUARTER_MS, 4)
    truth = replay(sessions, axis, schedule(sessions, axis), config)
    np.testing.assert_array_equal(truth.energy_departure_kwh, sessions.energy_arrival_kwh)
    with pytest.raises(ValueError, match="shape"):
        replay(sessions, axis, np.zeros((1, 4)), config)
