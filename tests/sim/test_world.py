import dataclasses

import numpy as np
import pytest

from backfeed.battery.catalogue import CAR_MODELS
from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.sim.world import draw_world


def assert_same(left, right):
    for name, value in vars(left).items():
        other = getattr(right, name)
        if isinstance(value, tuple):
            assert value == other, name
        else:
            np.testing.assert_array_equal(value, other, err_msg=name)


def test_arrival_plus_recorded_energy_is_the_target_and_the_truth_lies_near_the_nominal(
    visits_of, config_of, busy_rows
):
    config = config_of()
    sessions, rejected = draw_world(visits_of(busy_rows), config, Streams(1))
    assert not rejected
    assert len(sessions) == len(busy_rows)
    stored = sessions.recorded_kwh * sessions.charge_efficiency
    np.testing.assert_allclose(sessions.energy_arrival_kwh + stored, sessions.energy_required_kwh)
    at_target = np.isclose(sessions.energy_required_kwh, config.target_soc * sessions.capacity_kwh)
    assert np.all(at_target | (sessions.energy_arrival_kwh <= 0.0300001 * sessions.capacity_kwh))
    assert np.all(np.abs(sessions.capacity_kwh / sessions.capacity_nominal_kwh - 1) <= 0.05)
    assert len(np.unique(sessions.capacity_kwh / sessions.capacity_nominal_kwh)) > 5
    assert np.all(np.abs(sessions.charge_efficiency - sessions.charge_efficiency_nominal) <= 0.0200001)
    assert np.all(np.abs(sessions.charger_error) <= 0.01)
    assert np.all(np.diff(sessions.arrival_ms) >= 0)


def test_a_user_keeps_his_car_and_a_visit_without_user_brings_its_own(visits_of, config_of, busy_rows):
    sessions, _ = draw_world(visits_of(busy_rows), config_of(), Streams(1))
    by_token = {}
    for token, capacity in zip(sessions.token, sessions.capacity_kwh, strict=True):
        by_token.setdefault(token, set()).add(capacity)
    assert all(len(capacities) == 1 for capacities in by_token.values())
    anonymous = [token for token in sessions.token if token.startswith("anon-")]
    assert len(set(anonymous)) == len(anonymous) > 0


def test_an_energy_beyond_the_target_raises_the_target_then_the_car_and_then_is_rejected(visits_of, config_of):
    nobody_bigger = max(model.capacity_kwh for model in CAR_MODELS)
    user, small = next(
        (f"u{i}", model)
        for i in range(1000)
        for model in [_car_of(visits_of, config_of, f"u{i}")]
        if model[1] < 0.6 * nobody_bigger
    )
    capacity, efficiency = small[1], small[2]
    rows = [
        {"session_id": "a", "energy_kwh": 0.90 * capacity / efficiency},
        {"session_id": "b", "energy_kwh": 1.20 * capacity / efficiency},
        {"session_id": "c", "energy_kwh": 1.60 * nobody_bigger / efficiency},
        {"session_id": "d", "energy_kwh": 1.0},
    ]
    rows = [{"user_id": user, "arrival_h": i, "departure_h": 23} | row for i, row in enumerate(rows)]
    sessions, rejected = draw_world(visits_of(rows), config_of(), Streams(1))
    assert sessions.session_id == ("a", "b", "d")
    assert sessions.capacity_kwh[0] == sessions.capacity_kwh[2] == capacity
    assert sessions.energy_required_kwh[0] == pytest.approx(0.93 * capacity)
    assert sessions.capacity_nominal_kwh[1] > sessions.capacity_nominal_kwh[0]
    assert sessions.energy_required_kwh[1] <= 0.99 * sessions.capacity_kwh[1]
    (rejection,) = rejected
    assert (rejection.row, rejection.session_id, rejection.field) == (4, "c", "energy_kwh")
    assert "fits into no car" in rejection.reason


def _car_of(visits_of, config_of, user):
    visits = visits_of([{"user_id": user, "arrival_h": 0, "departure_h": 9, "energy_kwh": 1}])
    sessions, _ = draw_world(visits, config_of(), Streams(1))
    return sessions.model[0], float(sessions.capacity_kwh[0]), float(sessions.charge_efficiency[0])


def test_a_recorded_soc_capacity_and_peak_power_are_used(visits_of, config_of):
    row = {"arrival_h": 1, "departure_h": 2, "energy_kwh": 20, "soc_arrival": 0.2, "capacity_kwh": 80}
    sessions, _ = draw_world(visits_of([row | {"power_max_kw": 60}]), config_of(power_kw=150), Streams(1))
    assert sessions.capacity_kwh[0] == 80
    assert sessions.capacity_nominal_kwh[0] != 80
    assert sessions.energy_arrival_kwh[0] == pytest.approx(16)
    assert sessions.charge_max_kw[0] == 60
    assert sessions.feasible[0]


def test_impossible_visits_are_rejected_by_field_and_the_rest_is_served(visits_of, config_of):
    rows = [
        {"arrival_h": -1, "departure_h": 5},
        {"arrival_h": 1, "departure_h": 1},
        {"arrival_h": 1, "departure_h": 2, "energy_kwh": -1},
        {"arrival_h": 1, "departure_h": 2, "energy_kwh": float("nan")},
        {"arrival_h": 1, "departure_h": 2, "soc_arrival": 1.2},
        {"arrival_h": 1, "departure_h": 2, "capacity_kwh": 0},
        {"arrival_h": 1, "departure_h": 9, "energy_kwh": 0},
    ]
    sessions, rejected = draw_world(visits_of(rows), config_of(), Streams(1))
    fields = ["arrival", "departure", "energy_kwh", "energy_kwh", "soc_arrival", "capacity_kwh"]
    assert [rejection.field for rejection in rejected] == fields
    assert [rejection.row for rejection in rejected] == [2, 3, 4, 5, 6, 7]
    assert sessions.session_id == ("s6",)


def test_a_driver_takes_the_lowest_free_station_and_the_last_one_limits(visits_of, config_of):
    rows = [
        {"session_id": "a", "arrival_h": 0, "departure_h": 2},
        {"session_id": "b", "arrival_h": 1, "departure_h": 5},
        {"session_id": "c", "arrival_h": 2, "departure_h": 3},
        {"session_id": "d", "arrival_h": 2.5, "departure_h": 3},
    ]
    sessions, _ = draw_world(visits_of(rows), config_of(), Streams(1))
    assert sessions.station == ("Home-1", "Home-2", "Home-1", "Home-3")
    sessions, rejected = draw_world(visits_of(rows), config_of(evse_per_location=2), Streams(1))
    assert sessions.session_id == ("a", "b", "c")
    assert [(rejection.session_id, rejection.field) for rejection in rejected] == [("d", "arrival")]


def test_statements_come_in_their_share_with_their_spread_and_never_before_arrival(visits_of, config_of):
    rows = [{"session_id": f"s{i}", "arrival_h": 0, "departure_h": 12, "energy_kwh": 1} for i in range(800)]
    config = config_of(statement_share=0.8, statement_sd_min=20, statement_wrong_share=0.1)
    sessions, _ = draw_world(visits_of(rows), config, Streams(1))
    stated = sessions.statement_ms >= 0
    off_min = (sessions.statement_ms - sessions.departure_ms)[stated] / MS_PER_MIN
    assert 0.75 < stated.mean() < 0.85
    assert 0.05 < np.mean(np.abs(off_min) > 100) < 0.15
    near = off_min[np.abs(off_min) < 60]
    assert 17 < near.std() < 23
    assert np.all(sessions.statement_ms[stated] > sessions.arrival_ms[stated])
    kept = sessions.departure_ms >= sessions.statement_ms - 15 * MS_PER_MIN
    np.testing.assert_array_equal(sessions.statement_kept, stated & kept)
    recorded = [row | {"departure_stated_ms": float(sessions.arrival_ms[0] + 4 * MS_PER_H)} for row in rows[:3]]
    sessions, _ = draw_world(visits_of(recorded), config_of(statement_share=0.0), Streams(1))
    np.testing.assert_array_equal(sessions.statement_ms, sessions.arrival_ms + 4 * MS_PER_H)


def test_feasible_is_what_charging_at_once_reaches(visits_of, config_of):
    rows = [
        {"session_id": "a", "arrival_h": 0, "departure_h": 1, "energy_kwh": 7.0},
        {"session_id": "b", "arrival_h": 2, "departure_h": 3, "energy_kwh": 8.0},
    ]
    sessions, _ = draw_world(visits_of(rows), config_of(charger_error_max=0.0), Streams(1))
    np.testing.assert_array_equal(sessions.feasible, [True, False])


def test_rows_of_the_future_change_no_draw_of_the_past(visits_of, config_of, busy_rows):
    busy_rows.sort(key=lambda row: row["arrival_h"])
    config = config_of(evse_per_location=8)
    before, _ = draw_world(visits_of(busy_rows), config, Streams(3))
    changed = [dict(row) for row in busy_rows[:-10]]
    changed += [row | {"energy_kwh": 3.3, "departure_h": row["departure_h"] + 1} for row in busy_rows[-9:]]
    changed.append({"session_id": "new", "arrival_h": 20.5, "departure_h": 22, "location": "L0"})
    after, _ = draw_world(visits_of(changed), config, Streams(3))
    horizon = visits_of(busy_rows).arrival_ms[-10]
    assert_same(before.select(before.arrival_ms < horizon), after.select(after.arrival_ms < horizon))


def test_the_order_of_the_rows_does_not_matter_but_the_seeds_do(visits_of, config_of, busy_rows):
    one, _ = draw_world(visits_of(busy_rows), config_of(), Streams(3))
    other, _ = draw_world(visits_of(busy_rows[::-1]), config_of(), Streams(3))
    assert_same(dataclasses.replace(one, row=one.row * 0), dataclasses.replace(other, row=other.row * 0))
    seeded, _ = draw_world(visits_of(busy_rows), config_of(), Streams(4))
    assert not np.array_equal(one.capacity_kwh, seeded.capacity_kwh)
    np.testing.assert_array_equal(one.statement_ms, seeded.statement_ms)
    spoken, _ = draw_world(visits_of(busy_rows), config_of(statement_seed=9), Streams(3))
    np.testing.assert_array_equal(one.capacity_kwh, spoken.capacity_kwh)
    assert not np.array_equal(one.statement_ms, spoken.statement_ms)
