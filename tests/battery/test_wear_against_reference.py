"""The closed form against BLAST-Lite, on the golden cases, and against the published scenario table."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from backfeed.battery.wear import (
    WEAR_LAWS,
    ReferenceUse,
    SocPaths,
    horizon_cost,
    lifetime_loss,
    linear_coefficients,
    path_costs,
    relinearise,
)

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "cases" / "battery" / "blast_eight_years" / "cases.csv"
QUARTER_MS = 900_000
USES = ("without", "with")
laws = pytest.mark.parametrize("name", [chemistry.value for chemistry in WEAR_LAWS])


def load_recipe():
    spec = importlib.util.spec_from_file_location("battery_golden", ROOT / "tools" / "battery_golden.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


RECIPE = load_recipe()


@pytest.fixture(scope="module")
def golden():
    with TABLE.open(encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    profiles = {}
    for use in USES:
        made = [RECIPE.profile(row, v2g=use == "with") for row in rows]
        soc, degrees = np.array([each[1] for each in made]), np.array([each[2] for each in made])
        profiles[use] = (np.arange(soc.shape[1]) * QUARTER_MS, soc, degrees)
    return rows, profiles


def share(errors, truth):
    return np.abs(errors).sum() / np.abs(truth).sum()


def test_the_golden_cases_are_those_of_the_recipe(golden):
    rows, _ = golden
    assert len(rows) >= 200
    assert [{key: row[key] for key in RECIPE.PARAMETERS} for row in rows] == list(RECIPE.cases())


@laws
def test_loss_and_marginal_wear_agree_with_blast_lite(golden, name):
    rows, profiles = golden
    law = next(law for law in WEAR_LAWS.values() if law.chemistry.value == name)
    ours, theirs = {}, {}
    for use, (at_ms, soc, degrees) in profiles.items():
        ours[use] = lifetime_loss(law, SocPaths.from_matrix(at_ms, soc), temperature_c=degrees.ravel()).total
        theirs[use] = np.array([row[f"{name}_{use}_calendar"] + row[f"{name}_{use}_cycling"] for row in rows])
    errors = np.abs(np.concatenate([ours[use] / theirs[use] - 1 for use in USES]))
    wear = theirs["with"] - theirs["without"]
    assert np.median(errors) <= (0.006 if name == "nmc-a" else 0.005)
    assert np.quantile(errors, 0.95) <= (0.05 if name == "nmc-a" else 0.02)
    assert share(ours["with"] - ours["without"] - wear, wear) <= (0.03 if name == "lfp" else 0.06)


@laws
def test_linear_prices_of_two_weeks_foretell_the_wear_of_the_next_two(golden, name):
    rows, profiles = golden
    law = next(law for law in WEAR_LAWS.values() if law.chemistry.value == name)
    capacity, efficiency = np.array([row["capacity_kwh"] for row in rows]), 0.92
    fortnight = [slice(0, 14 * 96 + 1), slice(14 * 96, 28 * 96 + 1)]

    def on(part, use):
        soc = profiles[use][1][:, part]
        return SocPaths.from_matrix(np.arange(soc.shape[1]) * QUARTER_MS, soc), soc

    def change(part):
        (_, idle), (_, used) = on(part, "without"), on(part, "with")
        cycled = [np.abs(np.diff(soc, axis=1)).sum(axis=1) / 2 for soc in (used, idle)]
        stored = [((soc[:, 1:] + soc[:, :-1]) / 8).sum(axis=1) for soc in (used, idle)]
        return (cycled[0] - cycled[1]) * capacity * efficiency, (stored[0] - stored[1]) * capacity

    start = linear_coefficients(law, on(fortnight[0], "without")[1], capacity, discharge_efficiency=efficiency)
    discharged_kwh, _ = change(fortnight[0])
    prices = relinearise(
        law, on(fortnight[0], "with")[0], on(fortnight[0], "without")[0], capacity, discharged_kwh, start
    )
    discharged_kwh, stored_kwh_h = change(fortnight[1])
    foretold = prices.wear_per_kwh * discharged_kwh + prices.hold_per_kwh_h * stored_kwh_h
    true = [path_costs(law, on(fortnight[1], use)[0], capacity).total for use in ("with", "without")]
    assert share(foretold - (true[0] - true[1]), true[0] - true[1]) <= (0.2 if name == "nmc-b1" else 0.1)


def a_day(target, v2g_kwh, *, late, capacity=60.0, power=7.0):
    """One repeated day at five minutes: leave at 7:30, come back at 18:00, drive 8 kWh, discharge, charge."""
    step, level = power / 12 / capacity, target
    for _ in range(2):
        path, given = [], v2g_kwh / capacity
        for five in range(288):
            path.append(level)
            hours_left = (90 - five) % 288
            if five in {90, 215}:
                level -= 4 / capacity
            elif not 90 < five < 216:
                if five >= 216 and given > 1e-9:
                    level, given = level - min(step, given), given - min(step, given)
                elif not late or hours_left <= np.ceil((target - level) / step - 1e-9):
                    level = min(target, level + step)
    return SocPaths.single(np.arange(289) * 300_000, np.array([*path, level]))


SCENARIOS = {
    "charge at once to 90 %": (a_day(0.9, 0, late=False), (5.9, 4.1, 19.5, 17.5)),
    "just in time to 80 %": (a_day(0.8, 0, late=True), (5.0, 2.5, 15.0, 14.5)),
    "naive V2G of 20 kWh a day": (a_day(0.9, 20, late=False), (8.2, 9.8, 20.3, 18.9)),
    "smart V2G of 10 kWh a day": (a_day(0.8, 10, late=True), (6.0, 4.5, 15.3, 14.5)),
    "smart V2G of 20 kWh a day": (a_day(0.8, 20, late=True), (7.2, 8.3, 16.1, 15.5)),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_scenario_table_is_reproduced(scenario):
    day, table = SCENARIOS[scenario]
    found = [100 * float(lifetime_loss(law, day).total[0]) for law in WEAR_LAWS.values()]
    assert found == pytest.approx(table, abs=0.35)


def test_the_marginal_cycling_cost_of_twenty_kwh_a_day_is_reproduced():
    table = {10.0: (0.113, 0.135), 25.0: (0.076, 0.176), 35.0: (0.060, 0.205)}
    chemistries = list(WEAR_LAWS.values())[:2]
    for degrees, expected in table.items():
        for law, cost in zip(chemistries, expected, strict=True):
            uses = [lifetime_loss(law, a_day(0.8, kwh, late=True), temperature_c=degrees).cycling for kwh in (20, 0)]
            found = float(horizon_cost(uses[0], uses[1], 60.0)[0]) / (20 * 8 * 365)
            assert found == pytest.approx(cost, rel=0.07)


@laws
def test_the_additive_price_of_twenty_kwh_a_day_is_the_difference_at_the_horizon(name):
    law = next(law for law in WEAR_LAWS.values() if law.chemistry.value == name)
    used, idle = a_day(0.8, 20, late=True), a_day(0.8, 0, late=True)
    horizon = horizon_cost(lifetime_loss(law, used).total, lifetime_loss(law, idle).total, 60.0) / (8 * 365)
    price = path_costs(law, used, 60.0).total - path_costs(law, idle, 60.0).total
    assert price[0] == pytest.approx(horizon[0], rel=0.35 if name in {"nmc-b1", "nca"} else 0.05)


def test_only_the_active_rate_tells_seven_from_fifteen_kilowatts():
    cost = {}
    for power_kw in (7.0, 15.0):
        used, idle = (
            ReferenceUse(discharge_kwh_per_day=kwh, charge_kw=power_kw).day(np.array([60.0])) for kwh in (20, 0)
        )
        for active in (False, True):
            lost = [lifetime_loss(WEAR_LAWS["lfp"], use, active_c_rate=active).cycling for use in (used, idle)]
            cost[power_kw, active] = float(horizon_cost(*lost, 60.0)[0]) / (20 * 8 * 365)
    assert cost[7.0, False] == pytest.approx(cost[15.0, False], rel=0.01)
    assert cost[7.0, True] == pytest.approx(0.089, rel=0.03)
    assert cost[15.0, True] == pytest.approx(0.131, rel=0.15)
