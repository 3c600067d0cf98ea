"""Beliefs about a car's energy: the band holds the truth and moves with the meter."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.chemistry import Chemistry
from backfeed.fleet.belief import Told, energy_now, prior_belief, promised_kwh, revise
from backfeed.fleet.order import Mode
from backfeed.fleet.owner import EnrolledVehicle, Owner
from backfeed.fleet.state import Plug

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
def test_the_band_moves_with_the_meter_and_widens_by_what_efficiencies_may_hide(import_wh, export_wh):
    belief = prior_belief(plugged(), OWNER, 5, 10)
    low, high = energy_now(belief, plugged(import_wh=1_000 + import_wh, export_wh=export_wh), OWNER)
    moved = (import_wh * 0.9 - export_wh / 0.9) / 1_000
    drift = 0.025 * (import_wh * 0.9 + export_wh / 0.9) / 1_000
    assert low == pytest.approx(min(max(belief.low_kwh + moved - drift, 0), 60))
    assert high == pytest.approx(min(max(belief.high_kwh + moved + drift, 0), 60))
    assert 0 <= low <= high <= 60


def test_a_register_that_falls_moves_nothing():
    belief = prior_belief(plugged(), OWNER, 5, 10)
    assert energy_now(belief, plugged(import_wh=0), OWNER) == (belief.low_kwh, belief.high_kwh)


STOOD = Told(Mode.SETPOINT, 0.0)


def test_a_reported_state_of_charge_is_believed_to_its_resolution():
    prior = prior_belief(plugged(), OWNER, 5, 40)
    belief = revise(prior, plugged(soc=0.5, soc_ms=10), OWNER, STOOD)
    assert (belief.low_kwh, belief.high_kwh) == pytest.approx((29.7, 30.3))


def test_the_moment_at_which_a_percent_gives_way_to_the_next_tells_more_than_either():
    first = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(soc=0.5, soc_ms=0), OWNER, STOOD)
    still = plugged(soc=0.5, soc_ms=5, metered_ms=5, import_wh=1_550)
    moved = revise(first, still, OWNER, STOOD)
    ticked = revise(moved, plugged(soc=0.51, soc_ms=9, metered_ms=9, import_wh=1_650), OWNER, STOOD)
    assert moved.low_kwh == pytest.approx(29.7 + 0.55 * 0.9 * 0.975)
    assert ticked.low_kwh == pytest.approx(30.3)
    assert ticked.high_kwh == pytest.approx(30.3 + 0.1 * 0.9 * 1.025)


def test_a_report_that_contradicts_the_meter_is_believed():
    first = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(soc=0.5, soc_ms=0), OWNER, STOOD)
    belief = revise(first, plugged(soc=0.6, soc_ms=9, metered_ms=9), OWNER, STOOD)
    assert (belief.low_kwh, belief.high_kwh) == pytest.approx((35.7, 36.3))


def test_a_state_of_charge_older_than_the_registers_is_moved_on_by_them():
    at_report = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(soc=0.5), OWNER, STOOD)
    later = plugged(soc=0.5, soc_ms=0, metered_ms=9, import_wh=3_000)
    moved = revise(at_report, later, OWNER, STOOD)
    assert moved.low_kwh - at_report.low_kwh == pytest.approx(2.0 * 0.9 * 0.975)


@pytest.mark.parametrize(
    ("mode", "low_kwh", "high_kwh"), [(Mode.CHARGING_ONLY, 51.0, 51.0), (Mode.SETPOINT, 51.0 + 0.95 * 8.4, 60.0)]
)
def test_a_car_that_stops_by_itself_tells_where_it_stands(mode, low_kwh, high_kwh):
    belief = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(), OWNER, Told(mode, 7.0), stopped_ms=0)
    assert (belief.low_kwh, belief.high_kwh) == pytest.approx((low_kwh, high_kwh))


@given(st.floats(-0.05, 0.05), st.floats(-0.02, 0.02), st.booleans())
def test_a_full_car_holds_what_its_true_capacity_lets_it_above_its_target(capacity_error, efficiency_error, has_shown):
    belief = prior_belief(plugged(), OWNER, 5, 40)
    if has_shown:  # that it stands at its driver's limit
        belief = revise(belief, plugged(), OWNER, Told(Mode.CHARGING_ONLY, 7.0), stopped_ms=0)
    above_kwh = (0.99 - 0.85) * 60 * (1 + capacity_error)
    taken_wh = round(1_000 * above_kwh / (0.9 + efficiency_error))
    full = revise(belief, plugged(import_wh=1_000 + taken_wh), OWNER, Told(Mode.SETPOINT, 7.0), stopped_ms=0)
    assert full.low_kwh - 0.01 <= 51.0 + above_kwh <= full.high_kwh + 0.01
    assert full.high_kwh - full.low_kwh <= (0.6 if has_shown else 1.1)


@pytest.mark.parametrize("read_wh", [0, 300, 500])
def test_what_was_taken_before_a_stop_but_read_after_it_is_no_energy_above_the_limit(read_wh):
    told = Told(Mode.CHARGING_ONLY, 6.0)
    stopped = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(power_kw=6.0), OWNER, told, stopped_ms=300_000)
    unread = revise(stopped, plugged(power_kw=6.0), OWNER, STOOD)
    read = plugged(import_wh=1_000 + read_wh, metered_ms=400_000)
    low, high = energy_now(unread, read, OWNER)
    assert low == pytest.approx(51.0)
    assert high == pytest.approx(51.0)


def test_a_car_that_tells_whole_percents_tells_more_by_ending_at_its_limit():
    shown = plugged(soc=0.85, soc_ms=0, power_kw=6.0)
    told = Told(Mode.CHARGING_ONLY, 6.0)
    charging = revise(prior_belief(plugged(), OWNER, 5, 40), shown, OWNER, told)
    assert charging.high_kwh - charging.low_kwh == pytest.approx(0.6)
    ended = revise(charging, shown, OWNER, told, stopped_ms=300_000)
    read = plugged(soc=0.85, soc_ms=400_000, metered_ms=400_000, import_wh=1_400)
    assert energy_now(revise(ended, read, OWNER, STOOD), read, OWNER) == pytest.approx((51.0, 51.0))


@pytest.mark.parametrize(
    ("soc", "mode"), [(0.6, Mode.CHARGING_ONLY), (0.95, Mode.CHARGING_ONLY), (0.85, Mode.SETPOINT)]
)
def test_a_car_that_ends_elsewhere_is_where_it_says(soc, mode):
    shown = plugged(soc=soc, soc_ms=0)
    told = Told(mode, 6.0)
    ended = revise(prior_belief(plugged(), OWNER, 5, 40), shown, OWNER, told, stopped_ms=0)
    assert energy_now(ended, shown, OWNER) == pytest.approx((60 * soc - 0.3, 60 * soc + 0.3))


def test_a_car_that_was_told_to_stand_says_nothing_by_standing():
    prior = prior_belief(plugged(), OWNER, 5, 40)
    assert revise(prior, plugged(), OWNER, Told(Mode.CHARGING_ONLY, 0.0), stopped_ms=0) == prior


@pytest.mark.parametrize("state", ["SuspendedEV", "SuspendedEVSE", "EVConnected", "Idle"])
def test_what_was_drawn_before_a_stop_is_not_drawn_after_it(state):
    told, drew = Told(Mode.CHARGING_ONLY, 7.0), {"power_kw": 7.0, "metered_ms": 0}
    drawing = revise(prior_belief(plugged(), OWNER, 5, 40), plugged(**drew, charging_state="Charging"), OWNER, told)
    stopped = revise(drawing, plugged(**drew, charging_state="SuspendedEV"), OWNER, told, stopped_ms=1)
    assert drawing.low_kwh < stopped.low_kwh == stopped.high_kwh == pytest.approx(51)
    assert revise(stopped, plugged(**drew, charging_state=state), OWNER, told) == stopped


def test_a_car_that_still_draws_has_not_reached_its_drivers_limit_however_much_it_took():
    prior = prior_belief(plugged(), OWNER, 5, 6)
    late = plugged(import_wh=31_000, power_kw=7.0)
    belief = revise(prior, late, OWNER, Told(Mode.CHARGING_ONLY, 7.0))
    assert belief.low_kwh < 51.0
    assert belief.high_kwh <= 51.0


def test_a_car_that_still_draws_lacks_what_such_stays_take_beyond_what_it_has_taken():
    prior = prior_belief(plugged(), OWNER, 5, 20)
    late = plugged(import_wh=21_000, first_import_wh=1_000, first_export_wh=0, power_kw=7.0)
    belief = revise(prior, late, OWNER, MERELY_CHARGED, need_high_kwh=32.0)
    assert belief.low_kwh == pytest.approx(51.0 - 12 * 0.9)
    assert belief.high_kwh <= 51.0
    emptiest = revise(prior, late, OWNER, MERELY_CHARGED, need_high_kwh=90.0)
    assert emptiest.low_kwh == pytest.approx(0.02 * 60 + 20 * 0.9), "nobody drives in on less"


@given(
    st.floats(0, 50), st.floats(0, 50), st.integers(0, 60_000), st.integers(0, 60_000), st.floats(-7, 7), st.booleans(),
    st.sampled_from(Mode), st.one_of(st.just(float("nan")), st.floats(0, 1)),
)  # fmt: skip
def test_a_band_stays_a_band_inside_the_battery(one, other, import_wh, export_wh, power_kw, stopped, mode, soc):
    prior = prior_belief(plugged(), OWNER, min(one, other), max(one, other))
    shown = plugged(import_wh=1_000 + import_wh, export_wh=export_wh, power_kw=power_kw, soc=soc)
    belief = revise(prior, shown, OWNER, Told(mode, power_kw), stopped_ms=0 if stopped else None)
    assert 0 <= belief.low_kwh <= belief.high_kwh <= 60
    assert (belief.import_wh, belief.export_wh) == (1_000 + import_wh, export_wh)


MERELY_CHARGED = Told(Mode.CHARGING_ONLY, 7.0)


def test_a_car_that_took_more_than_its_target_lacks_is_promised_where_it_stopped():
    shown = plugged(import_wh=61_000, first_import_wh=1_000, first_export_wh=0)
    belief = revise(prior_belief(shown, OWNER, 5, 40), shown, OWNER, MERELY_CHARGED, stopped_ms=0)
    stands_at = 0.02 * 60 + 60 * 0.9
    assert belief.low_kwh == belief.high_kwh == pytest.approx(stands_at)
    assert promised_kwh(belief, shown, OWNER) == pytest.approx(stands_at)
    later = plugged(import_wh=61_000, export_wh=9_000, first_import_wh=1_000, first_export_wh=0)
    discharged = revise(belief, later, OWNER, STOOD)
    assert discharged.low_kwh == pytest.approx(stands_at - 10 - 0.25)
    assert promised_kwh(discharged, later, OWNER) == pytest.approx(stands_at)


@pytest.mark.parametrize(("said", "promised"), [(float("nan"), 51.0), (0.5, 51.0), (0.98, 58.8)])
def test_what_the_driver_has_set_the_car_to_is_promised_where_it_is_more_than_usual(said, promised):
    belief = prior_belief(plugged(target_soc=said), OWNER, 5, 40)
    assert promised_kwh(belief, plugged(target_soc=said), OWNER) == pytest.approx(promised)
