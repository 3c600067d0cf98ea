"""Captured shares: given only where they mean something."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from backfeed.app.judge import WindowRows, captured, judge_world, statement_masks
from backfeed.app.judge_series import (
    car_series,
    closest_site,
    discharge_rated_kw,
    fleet_series,
    missed_value,
    owner_rows,
    target_stays,
)
from backfeed.report.summary import DemandResponseResult
from backfeed.sim.replay import replay


@pytest.fixture(scope="module")
def worlds(city):
    """Return 240 sessions of an hour in worlds whose only difference is how much they sell."""
    rows = [{"departure_h": 1.0, "statement_ms": i % 3 - 1, "statement_kept": i % 3 == 1} for i in range(240)]
    sessions = city.sessions(*({**row, "recorded_kwh": 0.0, "statement_ms": row["statement_ms"]} for row in rows))
    prices = city.prices([5.0] * 4)
    judged, truths = {}, {}
    for name, power in (("unmanaged", 0.0), ("v1g", -0.5), ("v2g", -1.5), ("foresight", -2.0)):
        # What is taken out is missing at departure, at 3 a kWh; selling at 5 is still worth it.
        truth = replay(sessions, prices.axis, np.full((240, 4), power), city.config(prices))
        truths[name] = truth
        judged[name] = judge_world(truth, rows=WindowRows(240, 0), prices=prices, sites=[city.site()], zone=city.zone)
    return sessions, prices, truths, judged


def test_both_shares_are_what_the_definition_says(worlds):
    sessions, _, _, judged = worlds
    found = captured(judged, sessions)
    value = {name: world.result.net_value for name, world in judged.items()}
    assert found.captured_share.share == pytest.approx(
        (value["v2g"] - value["unmanaged"]) / (value["foresight"] - value["unmanaged"])
    )
    assert found.captured_v2g_share.share == pytest.approx(
        (value["v2g"] - value["v1g"]) / (value["foresight"] - value["v1g"])
    )
    free = {name: value[name] + world.result.shortfall_cost for name, world in judged.items()}
    assert found.captured_share.share_without_shortfalls == pytest.approx(
        (free["v2g"] - free["unmanaged"]) / (free["foresight"] - free["unmanaged"])
    )


def test_every_session_is_in_one_kind_of_statement(worlds):
    sessions, _, _, judged = worlds
    masks = statement_masks(sessions)
    assert np.all(sum(mask.astype(int) for mask in masks.values()) == 1)
    split = captured(judged, sessions).captured_share.by_statement
    assert {kind: part.sessions for kind, part in split.items()} == {"kept": 80, "broken": 80, "none": 80}
    assert split["kept"].share == pytest.approx(captured(judged, sessions).captured_share.share)


def test_a_share_of_a_small_gain_is_not_given(worlds):
    sessions, _, _, judged = worlds
    poor = {**judged, "foresight": judged["unmanaged"]}
    found = captured(poor, sessions).captured_share
    assert found.share is None
    assert found.by_statement == {}
    assert "0.00 per session" in found.reason


def test_a_share_of_few_sessions_is_not_given(worlds):
    sessions, _, _, judged = worlds
    few = sessions.select(np.arange(240) < 199)
    assert captured(judged, few).captured_share.reason == "needs 200 sessions, found 199"


def test_a_share_names_the_worlds_that_did_not_run(worlds):
    sessions, _, _, judged = worlds
    found = captured({"v2g": judged["v2g"]}, sessions)
    assert found.captured_share.reason == "needs the worlds that did not run: unmanaged, foresight"


def test_demand_response_counts_in_both_worlds_or_in_neither(worlds):
    sessions, _, _, judged = worlds
    plain = captured(judged, sessions).captured_share.share
    event = DemandResponseResult(id="e", promised_kwh=1.0, delivered_kwh=1.0, ratio=1.0)

    def paid(world, amount):
        result = world.result
        changed = msgspec.structs.replace(result, dr=(event,), dr_revenue=amount, net_value=result.net_value + amount)
        return replace(world, result=changed)

    one = {**judged, "v2g": paid(judged["v2g"], 500.0)}
    assert captured(one, sessions).captured_share.share == pytest.approx(plain)
    both = {**one, "foresight": paid(judged["foresight"], 500.0)}
    assert captured(both, sessions).captured_share.share > plain


def test_what_was_missed_adds_up_to_the_distance_to_foresight(worlds):
    _, _, truths, judged = worlds
    missed = missed_value(judged, truths["v2g"])
    gap = judged["foresight"].result.net_value - judged["v2g"].result.net_value
    assert sum(missed.values()) == pytest.approx(gap)
    assert missed_value({}, truths["v2g"]) == {}


def test_the_series_of_the_report_carry_the_energy_of_the_accounts(city, worlds):
    _, prices, truths, judged = worlds
    fleet = fleet_series(truths, prices)
    assert fleet.power_kw["v2g"].sum() * 0.25 == pytest.approx(-judged["v2g"].result.discharged_kwh)
    site = closest_site(truths, [city.site(import_limit_kw=10.0, base_kw=2.0)], prices.axis, city.zone)
    np.testing.assert_allclose(site.power_kw["v2g"], fleet.power_kw["v2g"] + 2.0)
    car = car_series(truths["v2g"], judged["v2g"].sessions, prices, city.config(prices))
    assert car.soc[-1] == pytest.approx(truths["v2g"].energy_departure_kwh[0] / 60)
    owners = owner_rows(truths["v2g"], judged["v2g"].sessions, {"user-7": {"cash": 3.0}}, {})
    assert sum(owner.discharged_kwh for owner in owners) == pytest.approx(judged["v2g"].result.discharged_kwh)
    assert [owner.payouts for owner in owners if owner.owner == "user-7"] == [{"cash": 3.0}]
    assert discharge_rated_kw(truths["v2g"]) == 240 * 7.0
    stays = target_stays(truths["v2g"], judged["v2g"].sessions, prices, city.config(prices))
    assert stays.stay_h.tolist() == stays.stay_valley_h.tolist() == [1.0] * 240
