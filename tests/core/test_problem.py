"""Problems, ids and the clock."""

import asyncio

import pytest

from backfeed.core.clock import LoopClock
from backfeed.core.ids import CountingIds
from backfeed.core.problem import InputError, Problem


def test_a_problem_says_where_and_what_and_shows_the_first_ids():
    problem = Problem("sessions.csv, row 7", "departure before arrival", tuple("abcdefg"))
    assert str(problem) == "sessions.csv, row 7: departure before arrival (a, b, c, d, e ...)"


def test_an_input_error_tells_all_problems_a_line_each():
    problems = [Problem("a", "one"), Problem("b", "two")]
    error = InputError(problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == ["a: one", "b: two"]


def test_an_input_error_without_a_problem_is_our_own_mistake():
    with pytest.raises(AssertionError):
        InputError([])


def test_a_source_never_gives_an_id_twice():
    ids = CountingIds("plan")
    given = [ids.next_id() for _ in range(1_000)]
    assert len(set(given)) == len(given)
    assert given[0] == "plan-1"


def test_a_loop_clock_says_the_time_it_was_told_and_does_not_wait_for_the_past():
    async def read():
        clock = LoopClock(asyncio.get_running_loop(), 1_783_296_000_000)
        await clock.sleep_until(0)
        first = clock.now_ms()
        await clock.sleep_until(first + 3)
        return first, clock.now_ms()

    first, then = asyncio.run(read())
    assert 0 <= first - 1_783_296_000_000 < 5_000
    assert then >= first + 2
