"""Pouring an amount into vessels of different width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.rng import Streams
from backfeed.dispatch.pour import find_level


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


def test_a_large_number_of_vessels_is_guessed_at_and_then_found_exactly():
    dice = Streams(3).generator("pour-tests")
    span = dice.uniform(0, 7, 40_000) * (dice.random(40_000) < 0.5)
    weight, taken = 10.0 ** dice.uniform(-2, 2, 40_000), 0.3 * span * dice.random(40_000)
    for share in (1e-6, 0.1, 0.5, 0.9, 1 - 1e-6):
        amount = taken.sum() + share * (span.sum() - taken.sum())
        level = find_level(weight, taken, span, amount)
        assert held(weight, taken, span, level).sum() == pytest.approx(amount, rel=1e-11)
