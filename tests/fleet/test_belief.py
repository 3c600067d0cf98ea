"""Beliefs about a car's energy: the band holds the truth and moves with the meter."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.chemistry import Chemistry
from backfeed.fleet.belief import energy_now, prior_belief, revise
from backfeed.fleet.order import Mode
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import SUSPENDED_BY_CAR, Plug

CAR = EnrolledVehicle("Model", Chemistry.LFP, 60.0, 7.0, 7.0, 0.9, 0.9)
OWNER = Owner("driver", reserve_soc=0.25, target_soc=0.85, vehicle=CAR)


def plugged(**shown):
    return dataclasses.replace(Plug("S-1", 1, "T-1", "driver", 0, import_wh=1_000, export_wh=0, metered_ms=0), **shown)


@given(st.floats(0, 80), st.floats(0, 80))
def test_at_arrival_the_band_holds_a_car_that_needs_what_its_driver_usually_needs(one, other):
    low_need, high_need = sorted((one, other))
    belief = prior_belief(plugged(), OWNER, low_need, high_need)
    assert 0 < belief.low_kwh <= belief.high_kwh <= CAR.capacity_kwh
    for need in (low_need, high_need):
        energy = 0.85 * 60 - need * 0.9
        assert (
            energy < belief.low_kwh + 1e-9
            if energy < 1.2
            else belief.low_kwh - 1e-9 <= energy <= belief.high_kwh + 1e-9
        )


@given(st.integers(0, 30_000), st.integers(0, 30_000))
def test_the_band_moves_with_the_meter_and_loses_energy_both_ways(import_wh, export_wh):
    belief = prior_belief(plugged(), OWNER, 5, 10)
    low, high = energy_now(belief, plugged(import_wh=1_000 + import_wh, export_wh=export_wh), OWNER)
    moved = (import_wh * 0.9 - export_wh / 0.9) / 1_000
    assert low == pytest.approx(min(max(belief.low_kwh + moved, 0), 60))
    assert 0 <= low <= high <= 60


def test_a_register_that_falls_moves_nothing():
    belief = prior_belief(plugged(), OWNER, 5, 10)
    assert energy_now(belief, plugged(import_wh=0), OWNER) == (belief.low_kwh, belief.high_kwh)


def test_a_reported_state_of_charge_is_believed_to_its_resolution():
    belief = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(soc=0.5, soc_ms=10), OWNER, Mode.SETPOINT)
    assert (belief.low_kwh, belief.high_kwh) == pytest.approx((29.7, 30.3))


@pytest.mark.parametrize(("mode", "stands_at_kwh"), [(Mode.CHARGING_ONLY, 51.0), (Mode.SETPOINT, 60.0)])
def test_a_car_that_stops_by_itself_tells_where_it_stands(mode, stands_at_kwh):
    belief = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(charging_state=SUSPENDED_BY_CAR), OWNER, mode)
    assert belief.low_kwh == belief.high_kwh == pytest.approx(stands_at_kwh)
