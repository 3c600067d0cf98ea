"""Deterministic simulation: by seed, frames are lost, repeated and overtaken, stations fall silent, the platform dies.

`app.watch` looks at every event while a world runs, and at the books and the truth when it is over; what it finds
broken stands in `breaches`.
"""

import pytest

from backfeed.app.faulty import BAD_LUCK, Misfortune, run_faulty_world
from backfeed.app.scene import load_scene
from backfeed.sim.fault import FaultRates

CALM = FaultRates()
SEEDS = range(6)
NIGHTLY_SEEDS = range(100, 200)


@pytest.fixture(scope="module")
def day(small_day, tmp_path_factory):
    return load_scene(small_day.write(tmp_path_factory.mktemp("day")))


@pytest.fixture(scope="module")
def two_days(small_pilot, tmp_path_factory):
    return load_scene(small_pilot.write(tmp_path_factory.mktemp("two_days")))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_invariant_breaks_whatever_goes_wrong(day, tmp_path, seed):
    run = run_faulty_world(day, tmp_path, seed)
    assert run.events > 1_000
    assert not run.breaches, f"seed {seed}"


def test_a_promise_and_the_closed_days_outlive_the_platform(two_days, tmp_path):
    run = run_faulty_world(two_days, tmp_path, 1, Misfortune(BAD_LUCK, deaths_per_day=8.0))
    assert run.deaths > 8
    assert not run.breaches


def test_a_seed_replays_to_the_byte(day, tmp_path):
    first, second = (run_faulty_world(day, tmp_path / name, 3) for name in ("first", "second"))
    assert (first.log_hash, first.ledger_hash) == (second.log_hash, second.ledger_hash)
    assert first.deaths > 0


def test_good_luck_is_the_world_itself(day, tmp_path, play):
    run = run_faulty_world(day, tmp_path / "faulty", 1, Misfortune(CALM, deaths_per_day=0.0))
    plain = play(day.pilot.path, tmp_path / "plain")
    assert not run.breaches
    assert (run.log_hash, run.ledger_hash) == (plain.log_hash, plain.ledger_hash)


@pytest.mark.parametrize("seed", [0, 4])
def test_a_site_keeps_its_limit_while_nobody_lives_to_enforce_it(two_days, tmp_path, seed):
    run = run_faulty_world(two_days, tmp_path, seed, Misfortune(CALM, deaths_per_day=4.0, down_mean_min=90.0))
    assert run.deaths > 3
    assert not run.breaches


@pytest.mark.nightly
@pytest.mark.parametrize("seed", NIGHTLY_SEEDS)
def test_no_invariant_breaks_in_any_night(day, tmp_path, seed):
    run = run_faulty_world(day, tmp_path, seed)
    assert not run.breaches, f"seed {seed}"


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(30))
def test_a_site_keeps_its_limit_in_any_night_without_a_platform(two_days, tmp_path, seed):
    run = run_faulty_world(two_days, tmp_path, seed, Misfortune(CALM, deaths_per_day=4.0, down_mean_min=90.0))
    assert not run.breaches, f"seed {seed}"


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10))
def test_no_invariant_breaks_when_the_platform_is_gone_for_hours(two_days, tmp_path, seed):
    run = run_faulty_world(two_days, tmp_path, seed, Misfortune(BAD_LUCK, deaths_per_day=3.0, down_mean_min=90.0))
    assert not run.breaches, f"seed {seed}"
