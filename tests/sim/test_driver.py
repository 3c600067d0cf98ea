"""Drivers who are asked: more answer for more, each by himself, and what they say is as honest as ever."""

import numpy as np
import pytest

from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.sim.columns import WorldConfig
from backfeed.sim.driver import Drivers, answer_share
from backfeed.sim.world import draw_world

from .conftest import START_MS, make_visits

CURVE = ((0.0, 0.1), (2.0, 0.6), (4.0, 0.8))
MANY = 400


def asked_world(count, **changes):
    visits = make_visits(
        [
            {"user_id": f"u{n % 40}", "location": f"L{n}", "arrival_h": 1.0, "departure_h": 9.0, "energy_kwh": 5.0}
            for n in range(count)
        ]
    )
    settings = {"statement_share": 0.0, "answer_curve": CURVE, "answer_spread": 1.0, "answer_delay_s": 300.0}
    config = WorldConfig(START_MS, START_MS + 24 * MS_PER_H, 7.4, **(settings | changes))
    return draw_world(visits, config, Streams(1))[0], config


def answers(drivers, bonus, count=MANY):
    return [drivers.asked(f"s{n}", bonus, START_MS + 2 * MS_PER_H) for n in range(count)]


def test_more_drivers_answer_for_more_and_nobody_fewer():
    drivers = Drivers(*asked_world(MANY))
    low, high = (np.array([answer is not None for answer in answers(drivers, bonus)]) for bonus in (0.5, 3.0))
    assert (high | ~low).all()
    assert high.sum() > 1.5 * low.sum()


@pytest.mark.parametrize(("bonus", "share"), [(0.0, 0.1), (1.0, 0.35), (3.0, 0.7), (9.0, 0.8)])
def test_drivers_who_are_all_alike_answer_as_the_curve_says(bonus, share):
    world, config = asked_world(MANY, answer_spread=0.0)
    assert answer_share(bonus, config) == pytest.approx(share)
    told = sum(answer is not None for answer in answers(Drivers(world, config), bonus))
    assert abs(told / MANY - share) < 4 * np.sqrt(share * (1 - share) / MANY)


def test_an_answer_is_what_the_driver_would_have_said_of_his_own_accord():
    world, config = asked_world(60, answer_curve=((0.0, 1.0),), answer_spread=0.0, statement_wrong_share=0.0)
    speaking, _ = asked_world(60, statement_share=1.0, statement_wrong_share=0.0)
    told = answers(Drivers(world, config), 1.0, 60)
    said = dict(zip(speaking.session_id, speaking.statement_ms.tolist(), strict=True))
    assert [answer.departure_ms for answer in told] == [said[f"s{n}"] for n in range(60)]
    assert all(answer.at_ms == START_MS + 2 * MS_PER_H + 5 * MS_PER_MIN for answer in told)


def test_nobody_answers_after_leaving_or_for_a_stay_that_nobody_knows():
    drivers = Drivers(*asked_world(20, answer_curve=((0.0, 1.0),)))
    assert drivers.asked("s1", 1.0, START_MS + 9 * MS_PER_H - 4 * MS_PER_MIN) is None
    assert drivers.asked("unknown", 1.0, START_MS) is None


def test_who_else_is_there_changes_no_answer():
    few, many = Drivers(*asked_world(20)), Drivers(*asked_world(MANY))
    assert answers(few, 1.0, 20) == answers(many, 1.0, 20)
    assert Drivers(*asked_world(3, answer_curve=())).asked("s1", 5.0, START_MS) is None


def test_whoever_is_asked_says_how_full_the_car_came_to_a_few_points_and_a_few_are_far_off():
    world, config = asked_world(
        MANY, answer_curve=((0.0, 1.0),), answer_spread=0.0, answer_charge_sd=0.02, answer_charge_wrong_share=0.1
    )
    said = np.array([answer.soc for answer in answers(Drivers(world, config), 1.0)])
    index = {name: number for number, name in enumerate(world.session_id)}
    came = np.array([(world.energy_arrival_kwh / world.capacity_kwh)[index[f"s{n}"]] for n in range(MANY)])
    error = said - came
    wrong = np.abs(error) > 0.09
    assert ((said >= 0) & (said <= 1) & (np.abs(said * 100 - np.round(said * 100)) < 1e-9)).all()
    assert error[~wrong].std() == pytest.approx(0.02, rel=0.15)
    assert wrong.mean() == pytest.approx(0.1, abs=0.05)
