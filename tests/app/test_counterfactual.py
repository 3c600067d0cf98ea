"""What else a delivery is counted against, and what is left without subsidies."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from backfeed.app.assembly import EVENTS_FILE
from backfeed.app.dispatching import Policy
from backfeed.app.judge_account import JudgeTerms, account_sessions
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene
from backfeed.app.world import WorldSpec, run_world
from backfeed.core.instant import parse_instant
from backfeed.store.log_file import read_log_file

INVITED_MS = parse_instant("2026-07-14T10:00:00+08:00")
EVERYTHING = frozenset(("transaction", "setpoint_ordered", "plan", "invitation", "award"))


@pytest.fixture(scope="module")
def scene(small_path):
    return load_scene(small_path)


@pytest.fixture(scope="module")
def uninvited(small_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninvited")
    return run_world(WorldSpec(small_path, None, Policy.V1G, "memory", folder, invited=False), lambda _share: None)


@pytest.fixture(scope="module")
def judged(scene, worlds, uninvited):
    return judge_run(scene, worlds, uninvited, foresight=False)


def events_of(run):
    return read_log_file(run.folder / EVENTS_FILE, EVERYTHING).events


def test_a_world_that_is_not_invited_is_the_same_until_the_invitation(worlds, uninvited):
    assert uninvited.deliveries == ()
    assert not [event for event in events_of(uninvited) if event.__struct_config__.tag in ("invitation", "award")]
    before = [[e for e in events_of(run) if e.at_ms < INVITED_MS] for run in (worlds[Policy.V1G], uninvited)]
    assert before[0] == before[1]
    assert len(before[0]) > 100


def test_it_ends_when_the_hours_around_the_last_event_are_over_and_is_whole_until_then(
    small_pilot, uninvited, tmp_path
):
    early = small_pilot.with_text("2026-07-14T10:00", "2026-07-13T10:00")
    early = early.with_text("2026-07-14T20:00", "2026-07-13T20:00").with_text("2026-07-14T21:00", "2026-07-13T21:00")
    spec = WorldSpec(early.write(tmp_path), None, Policy.V1G, "memory", tmp_path / "run", invited=False)
    cut, whole = run_world(spec, lambda _share: None).truth.segments, uninvited.truth.segments
    end_ms = parse_instant("2026-07-14T01:00:00+08:00")
    assert cut.until_ms.max() == end_ms < whole.until_ms.max()
    before = whole.until_ms <= end_ms
    assert cut.session.tolist() == whole.session[before].tolist()
    assert cut.energy_kwh.tolist() == whole.energy_kwh[before].tolist()


def test_a_delivery_is_also_counted_against_steered_charging_without_it(judged, uninvited):
    (event,) = judged.summary.worlds["v2g"].dr
    assert event.baseline_kwh - event.metered_kwh == pytest.approx(event.delivered_kwh)
    segments, start_ms = uninvited.truth.segments, parse_instant("2026-07-14T20:00:00+08:00")
    during = (segments.from_ms >= start_ms) & (segments.from_ms < start_ms + 3_600_000)
    assert event.v1g_kwh == pytest.approx(segments.energy_kwh[during].sum())
    assert event.against_v1g_kwh == pytest.approx(event.v1g_kwh - event.metered_kwh)


def test_the_hours_before_are_held_against_the_same_hours_of_the_days_before(judged, worlds):
    (event,) = judged.summary.worlds["v2g"].dr
    segments = worlds[Policy.V2G].truth.segments

    def taken(day):
        begin_ms = parse_instant(f"2026-07-{day}T16:00:00+08:00")
        inside = (segments.from_ms >= begin_ms) & (segments.from_ms < begin_ms + 4 * 3_600_000)
        return segments.energy_kwh[inside].sum()

    assert event.before_kwh == pytest.approx(taken(14) - taken(13), abs=0.1)  # one working day is known
    assert event.after_kwh is None  # the window ends before these hours do


def test_without_that_world_nothing_is_made_up(scene, worlds):
    (event,) = judge_run(scene, worlds, foresight=False).summary.worlds["v2g"].dr
    assert event.v1g_kwh is event.against_v1g_kwh is None


def test_the_value_without_subsidies_is_less_by_what_they_paid(judged, worlds):
    prices, truth = judged.prices, worlds[Policy.V2G].truth
    count = prices.axis.count
    granted = replace(prices, subsidy=(Decimal("0.5"),) * count, subsidy_per_kwh=np.full(count, 0.5))
    paid, plain = (account_sessions(truth, each, JudgeTerms()) for each in (granted, prices))
    assert paid.subsidy.sum() == pytest.approx(0.5 * paid.discharged_kwh.sum())
    assert (paid.net_value - paid.subsidy) == pytest.approx(plain.net_value)
    world = judged.summary.worlds["v2g"]
    assert (world.subsidy, world.net_value_without_subsidy) == (0.0, world.net_value)
    assert account_sessions(truth, granted.without_subsidy(), JudgeTerms()).subsidy.sum() == 0
