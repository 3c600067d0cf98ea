"""The regulator's targets and the owner of each gap."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.report.targets import Requirements, Stays, reachable_discharge_kwh, regulator_targets


def stays(**columns):
    defaults = {
        "charged_kwh": [10.0, 20.0],
        "valley_kwh": [5.0, 10.0],
        "discharged_kwh": [0.0, 6.0],
        "cycled_kwh": [0.0, 4.0],
        "cycled_valley_kwh": [0.0, 4.0],
        "need_kwh": [10.0, 14.0],
        "stay_h": [10.0, 12.0],
        "stay_valley_h": [8.0, 1.0],
        "charge_max_kw": [7.0, 7.0],
        "discharge_max_kw": [7.0, 7.0],
        "cycle_kwh": [30.0, 30.0],
        "arrival_spare_kwh": [0.0, 0.0],
        "round_trip_efficiency": [0.81, 0.81],
        "private": [True, False],
    }
    return Stays(**{name: np.array(columns.get(name, value)) for name, value in defaults.items()})


def targets(table=None, **changes):
    settings = {"days": 365.0, "discharge_power_kw": 300.0, "discharge_rated_kw": 400.0} | changes
    return regulator_targets(table or stays(), **settings)


def test_the_gap_of_the_offpeak_share_is_split_at_what_the_stays_allow():
    share = targets(stays(discharge_max_kw=[0.0, 0.0]))["offpeak_share"]
    assert share.achieved == 0.5
    assert share.reachable == 17 / 24  # 10 of 10 kWh, 7 of 14 kWh
    assert not share.met
    assert abs(share.controllable - 0.1) < 1e-12
    assert share.structural == 0.0


def test_what_is_bought_again_in_the_valley_is_within_reach_gross_and_not_net():
    found = targets()
    # The first car has time to discharge and to buy again within its 8 valley hours; the second has one valley hour.
    again = reachable_discharge_kwh(stays())[0] / 0.81
    assert abs(found["offpeak_share"].reachable - (10 + again + 7) / (10 + again + 14)) < 1e-12
    assert found["offpeak_share_net"].reachable == 17 / 24
    assert found["offpeak_share_net"].achieved == (15 - 4) / (30 - 4)


def test_energy_that_came_with_the_car_may_be_sold_and_bought_again_net():
    found = targets(stays(arrival_spare_kwh=[8.1, 0.0]))
    assert abs(found["offpeak_share_net"].reachable - (10 + 10 + 7) / (10 + 10 + 14)) < 1e-12


def test_only_private_piles_count_for_the_private_share():
    share = targets()["offpeak_share_private"]
    assert (share.achieved, share.reachable) == (0.5, 1.0)
    assert targets()["offpeak_share_private_net"].reachable == 1.0
    assert targets(stays(private=[False, False]))["offpeak_share_private"].achieved is None


def test_discharge_power_beyond_the_rating_of_the_chargers_is_a_structural_gap():
    power = targets()["discharge_power_kw"]
    assert (power.controllable, power.structural, power.met) == (100.0, 100.0, False)


def test_a_year_of_discharging_is_scaled_from_the_window():
    assert targets(days=36.5)["discharged_kwh_per_year"].achieved == 60.0


def test_a_stay_without_bidirectional_charger_or_without_spare_time_can_not_discharge():
    table = stays(discharge_max_kw=[0.0, 7.0], need_kwh=[10.0, 14.0], stay_h=[10.0, 2.0])
    assert reachable_discharge_kwh(table).tolist() == [0.0, 0.0]


@given(
    need=st.floats(0.1, 60),
    stay_h=st.floats(0.1, 100),
    achieved=st.floats(0, 1),
    required=st.floats(0.01, 1),
)
def test_controllable_and_structural_always_make_up_the_gap(need, stay_h, achieved, required):
    table = stays(
        charged_kwh=[need, need],
        valley_kwh=[achieved * need] * 2,
        need_kwh=[need] * 2,
        stay_h=[stay_h, stay_h / 2],
        cycled_kwh=[0.0] * 2,
        cycled_valley_kwh=[0.0] * 2,
    )
    for target in targets(table, requirements=Requirements(required, required, 500.0, 1e5)).values():
        assert target.controllable >= 0
        assert target.structural >= 0
        gap = max(0.0, target.required - target.achieved)
        assert abs(target.controllable + target.structural - gap) < 1e-9 * max(1.0, gap)
        assert target.met == (gap == 0.0)
