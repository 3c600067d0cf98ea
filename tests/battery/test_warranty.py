"""Warranty budgets as hard limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.battery.catalogue import CAR_MODELS
from backfeed.battery.chemistry import Chemistry
from backfeed.battery.warranty import (
    WarrantyUse,
    discharge_limit_kwh,
    load_warranties,
    policy_for,
    remaining_budget,
    virtual_km,
)

TABLE = load_warranties()
VW = policy_for("Volkswagen ID.3", TABLE)


def test_every_model_has_a_policy_and_a_law():
    assert VW.discharge_kwh == 10_000
    assert policy_for("Kia Niro", TABLE).make == "any"
    for model in CAR_MODELS:
        assert model.chemistry in Chemistry
        assert policy_for(model.name, TABLE).years == 8
        assert 0.5 < model.charge_efficiency < 1
        assert model.weight > 0


def test_ten_kwh_a_day_are_25_600_virtual_km_a_year():
    assert virtual_km(3_650, VW.consumption_kwh_per_km) == pytest.approx(25_600, rel=0.001)


def test_the_tightest_cap_binds():
    budget = remaining_budget(VW, WarrantyUse(2, 30_000, 15_000, 1_000, 300))
    assert budget.energy_kwh == 9_000
    assert budget.hours == 3_700
    assert budget.virtual_km == pytest.approx(160_000 - 30_000 - 6 * 15_000 - 1_000 / 0.1426)
    assert budget.energy_left_kwh == pytest.approx(budget.virtual_km * 0.1426)
    assert discharge_limit_kwh(budget, 7, 36) == 252
    assert discharge_limit_kwh(budget, 7, 36, pace=2) == pytest.approx(3 * budget.pace_kwh_per_day)


def test_a_used_up_budget_allows_nothing_and_an_ended_promise_limits_nothing():
    used_up = remaining_budget(VW, WarrantyUse(2, 30_000, 10_000, 10_000, 1_000))
    assert discharge_limit_kwh(used_up, 7, 36) == 0
    ended = remaining_budget(VW, WarrantyUse(9, 100_000, 10_000, 20_000, 9_000))
    assert ended.energy_left_kwh == math.inf
    assert discharge_limit_kwh(ended, 7, 36) == 252


@given(st.floats(0, 7.9), st.floats(0, 150_000), st.floats(0, 20_000), st.floats(0, 12_000), st.floats(0, 100))
def test_discharging_never_leaves_more(age, odometer, yearly, discharged, more):
    before = remaining_budget(VW, WarrantyUse(age, odometer, yearly, discharged, 0))
    after = remaining_budget(VW, WarrantyUse(age, odometer, yearly, discharged + more, 0))
    assert 0 <= after.energy_left_kwh <= before.energy_left_kwh
