import math

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from backfeed.sim import vehicle
from backfeed.sim.vehicle import Car, CarColumns


@st.composite
def cars(draw):
    capacity = draw(st.floats(10, 100))
    charge_max = draw(st.floats(1, 150))
    efficiency = draw(st.floats(0.8, 0.99))
    taper_soc = draw(st.floats(0.7, 0.97))
    return Car(
        capacity_kwh=capacity,
        energy_empty_kwh=0.02 * capacity,
        energy_full_kwh=0.99 * capacity,
        charge_efficiency=efficiency,
        discharge_efficiency=draw(st.floats(0.8, 0.99)),
        charge_max_kw=charge_max,
        discharge_max_kw=draw(st.floats(0, 150)),
        taper_h=capacity * (1 - taper_soc) / (charge_max * efficiency),
        charger_error=draw(st.floats(-0.01, 0.01)),
    )


@st.composite
def situations(draw):
    """A car, its energy, what is asked of it and the limit of charging."""
    car = draw(cars())
    return (
        car,
        draw(st.floats(0, 1)) * car.energy_full_kwh,
        vehicle.drive_kw(car, draw(st.floats(-160, 160))),
        draw(st.floats(0.3, 1)) * car.energy_full_kwh,
    )


@given(situations(), st.lists(st.floats(0.001, 1), min_size=1, max_size=37), st.floats(0.001, 20))
def test_one_stretch_in_one_go_or_in_pieces_ends_at_the_same_energy(situation, weights, hours):
    car, energy, drive, limit = situation
    whole = vehicle.advance(car, energy, drive, hours, limit)
    for weight in weights:
        energy = vehicle.advance(car, energy, drive, hours * weight / sum(weights), limit)
    assert math.isclose(energy, whole, rel_tol=1e-10, abs_tol=1e-10)


@given(situations(), st.floats(0, 20))
def test_energy_is_conserved_and_stays_in_bounds(situation, hours):
    car, energy, drive, limit = situation
    after = vehicle.advance(car, energy, drive, hours, limit)
    metered = vehicle.metered_kwh(car, after - energy)
    assert min(energy, car.energy_empty_kwh) <= after <= max(energy, limit) + 1e-12
    if metered >= 0:
        assert math.isclose(metered * car.charge_efficiency, after - energy, abs_tol=1e-12)
        assert metered <= max(drive, 0) * hours + 1e-9
    else:
        assert math.isclose(metered / car.discharge_efficiency, after - energy, abs_tol=1e-12)
        assert metered >= min(drive, 0) * hours - 1e-9


@given(situations(), st.floats(0.01, 5))
def test_the_power_is_the_slope_of_the_energy_and_never_grows(situation, hours):
    car, energy, drive, limit = situation
    start = vehicle.power_kw(car, energy, drive, limit)
    after = vehicle.advance(car, energy, drive, hours, limit)
    end = vehicle.power_kw(car, after, drive, limit)
    assert abs(end) <= abs(start) + 1e-9
    mean = vehicle.metered_kwh(car, after - energy) / hours
    assert abs(end) - 1e-9 <= abs(mean) <= abs(start) + 1e-9


@given(situations())
def test_after_the_announced_hours_nothing_moves_and_just_before_something_does(situation):
    car, energy, drive, limit = situation
    hours = vehicle.hours_until_still(car, energy, drive, limit)
    assume(math.isfinite(hours) and hours > 1e-3)
    reached = vehicle.advance(car, energy, drive, hours * (1 + 1e-9) + 1e-9, limit)
    assert vehicle.power_kw(car, reached, drive, limit) == 0
    early = vehicle.advance(car, energy, drive, hours * 0.999, limit)
    assert vehicle.power_kw(car, early, drive, limit) != 0


@given(st.lists(st.tuples(situations(), st.floats(0, 20)), min_size=1, max_size=20))
def test_columns_say_what_scalars_say(rows):
    situations_, hours = zip(*rows, strict=True)
    fleet, energies, drives, limits = zip(*situations_, strict=True)
    columns = CarColumns(**{name: np.array([getattr(car, name) for car in fleet]) for name in Car.__dataclass_fields__})
    assert columns.car(0) == fleet[0]
    energy, drive, limit = np.array(energies), np.array(drives), np.array(limits)
    after = vehicle.advance_fleet(columns, energy, drive, np.array(hours), limit)
    np.testing.assert_allclose(after, list(map(vehicle.advance, fleet, energies, drives, hours, limits)), rtol=1e-13)
    np.testing.assert_allclose(
        vehicle.power_kw_fleet(columns, energy, drive, limit),
        list(map(vehicle.power_kw, fleet, energies, drives, limits)),
        rtol=1e-13,
    )
    np.testing.assert_allclose(
        vehicle.metered_kwh_fleet(columns, after - energy),
        list(map(vehicle.metered_kwh, fleet, (after - energy).tolist())),
        rtol=1e-13,
    )
    asked = np.linspace(-200, 200, len(fleet))
    np.testing.assert_allclose(
        vehicle.drive_kw_fleet(columns, asked), list(map(vehicle.drive_kw, fleet, asked.tolist())), rtol=1e-13
    )


def test_a_small_car_charges_straight_and_then_along_an_exponential():
    # 10 kWh, taper from 8 kWh at 2 kW into the battery: tau = 1 h. From 7 kWh: half an hour to the knee at 8 kWh,
    # then what is missing to 10 kWh falls from 2 kWh by a factor e per hour.
    car = Car(10.0, 0.2, 9.9, 0.8, 0.8, 2.5, 2.5, 1.0, 0.0)
    assert math.isclose(vehicle.advance(car, 7.0, 2.5, 0.5, 9.9), 8.0)
    assert math.isclose(vehicle.advance(car, 7.0, 2.5, 1.5, 9.9), 10 - 2 * math.exp(-1))
    assert vehicle.advance(car, 7.0, 2.5, 9.0, 9.9) == 9.9
    # Discharging 1 kW at the meter takes 1.25 kW out of the battery, down to 0.2 kWh.
    assert math.isclose(vehicle.advance(car, 7.0, -1.0, 2.0, 9.9), 4.5)
    assert vehicle.advance(car, 7.0, -1.0, 20.0, 9.9) == 0.2
