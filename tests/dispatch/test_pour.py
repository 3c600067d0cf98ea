"""Pouring an amount into vessels of different width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.dispatch.pour import pour, pour_by_group

spans = st.lists(st.floats(0, 50), min_size=1, max_size=12)
weights = st.floats(0.01, 100)


@st.composite
def vessels(draw):
    span = np.array(draw(spans))
    weight = np.array(draw(st.lists(weights, min_size=len(span), max_size=len(span))))
    return span, weight


@given(vessels(), st.floats(0, 400))
def test_all_is_poured_or_every_vessel_is_full(drawn, amount):
    span, weight = drawn
    taken = pour(span, weight, amount)
    assert taken.sum() == pytest.approx(min(amount, span.sum()), abs=1e-9)
    assert (taken >= 0).all()
    assert (taken <= span).all()


@given(vessels(), st.floats(0.001, 400))
def test_vessels_that_are_not_full_stand_at_one_level_and_full_ones_below_it(drawn, amount):
    span, weight = drawn
    taken = pour(span, weight, amount)
    level = taken / weight
    filling = taken < span - 1e-9
    if filling.any():
        top = level[filling]
        assert np.ptp(top) <= 1e-6 * max(1.0, top.max())
        assert (level[~filling] <= top.max() + 1e-6 * max(1.0, top.max())).all()


@given(vessels(), st.floats(0, 400), st.data())
def test_no_group_takes_more_than_its_room_and_nothing_is_left_that_somebody_could_take(drawn, amount, data):
    span, weight = drawn
    group = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(span), max_size=len(span))))
    room = np.array(data.draw(st.lists(st.floats(0, 60), min_size=3, max_size=3)))
    taken = pour_by_group(span, weight, amount, group, room)
    by_group = np.bincount(group, weights=taken, minlength=3)
    could = np.minimum(np.bincount(group, weights=span, minlength=3), room)
    assert (taken <= span).all()
    assert (by_group <= room + 1e-9).all()
    assert taken.sum() == pytest.approx(min(amount, could.sum()), abs=1e-8)


def test_nothing_is_poured_into_no_vessels():
    nothing = np.zeros(0)
    assert pour(nothing, nothing, 5.0).size == 0
