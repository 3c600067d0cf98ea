"""Pouring an amount into vessels of different width."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.rng import Streams
from backfeed.dispatch.pour import SAMPLE, find_level, total


@st.composite
def vessels(draw, *, fresh=False):
    count = draw(st.integers(1, 12))
    listed = lambda values: np.array(draw(st.lists(values, min_size=count, max_size=count)))  # noqa: E731
    span = listed(st.floats(0, 50))
    taken = np.zeros(count) if fresh else span * listed(st.floats(0, 1))
    return listed(st.floats(0.01, 100)), taken, span


def held(weight, taken, span, level):
    return np.minimum(np.maximum(weight * level, taken), span)


@given(vessels(), st.floats(0.001, 0.999))
def test_the_vessels_hold_the_amount(drawn, share):
    weight, taken, span = drawn
    amount = taken.sum() + share * (span.sum() - taken.sum())
    if taken.sum() < amount < span.sum():
        level = find_level(weight, taken, span, amount)
        assert held(weight, taken, span, level).sum() == pytest.approx(amount, rel=1e-12)


@given(vessels(fresh=True), st.floats(0.001, 0.999))
def test_a_level_rises_with_the_amount(drawn, share):
    weight, taken, span = drawn
    if span.sum() > 0.0:
        some = find_level(weight, taken, span, share * span.sum())
        assert find_level(weight, taken, span, 0.5 * (1 + share) * span.sum()) >= some * (1 - 1e-12)


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_a_total_is_the_sum_of_a_slice(values, one, other):
    first, stop = sorted((min(one, len(values)), min(other, len(values))))
    assert total(np.array(values), first, stop) == pytest.approx(math.fsum(values[first:stop]), abs=1e-8)


def test_a_large_number_of_vessels_is_guessed_at_and_then_found_exactly():
    dice = Streams(3).generator("pour-tests")
    span = dice.uniform(0, 7, 40_000) * (dice.random(40_000) < 0.5)
    weight, taken = 10.0 ** dice.uniform(-2, 2, 40_000), 0.3 * span * dice.random(40_000)
    for share in (1e-6, 0.1, 0.5, 0.9, 1 - 1e-6):
        amount = taken.sum() + share * (span.sum() - taken.sum())
        level = find_level(weight, taken, span, amount)
        assert held(weight, taken, span, level).sum() == pytest.approx(amount, rel=1e-11)


@pytest.mark.parametrize("few", [0.001, 0.02, 1.0])
def test_a_level_is_found_where_the_vessels_looked_at_first_are_unlike_the_others(few):
    # Every vessel that a sample of one in so many meets is tiny, and willing to another degree.
    count = 40_000
    met = np.arange(count) % (count // SAMPLE) == 0
    span = np.where(met, few, np.linspace(1, 7, count))
    weight = np.where(met, 1.0, np.linspace(3, 90, count))
    for share in (0.01, 0.5, 0.99):
        amount = share * span.sum()
        level = find_level(weight, np.zeros(count), span, amount)
        assert held(weight, np.zeros(count), span, level).sum() == pytest.approx(amount, rel=1e-11)


def test_a_level_at_which_most_vessels_become_full_is_found():
    span, weight = np.full(40_000, 7.0), np.full(40_000, 2.0)
    for share in (0.3, 1 - 1e-9):
        level = find_level(weight, np.zeros(40_000), span, share * span.sum())
        assert held(weight, np.zeros(40_000), span, level).sum() == pytest.approx(share * span.sum(), rel=1e-11)
