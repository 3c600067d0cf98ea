"""Eight numbers at a time: every operation is IEEE 754's on each of the eight."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.plan.compiled import compiled
from backfeed.plan.vectors import LANES, fused, greater, greatest, load, lowered, placed, spread, store, where
from backfeed.plan.vectors import spread_from as spread_at
from backfeed.plan.vectors import total as total_of

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
COLUMN = st.lists(NUMBERS, min_size=3 * LANES, max_size=3 * LANES)


@compiled
def _combine(columns, at, out):
    """Write every operation on eight numbers of three columns, one row each; return what folds them."""
    x, y, z = load(columns[0], at), load(columns[1], at), load(columns[2], at)
    store(out[0], at, x + y)
    store(out[1], at, x * y)
    store(out[2], at, greater(x, y))
    store(out[3], at, fused(x, y, z))
    store(out[4], at, lowered(x, y, z))
    store(out[5], at, placed(spread(columns[0, 0]), at % LANES, 7.0))
    store(out[6], at, spread_at(columns[1], at))
    return total_of(x), greatest(x)


@compiled
def _combine_with(column, number, out):
    """Write what Python's signs make of eight numbers and of one, one row each."""
    x = load(column, 0)
    sums = spread(number)
    sums += x
    sums -= 2.0
    store(out[0], 0, sums)
    store(out[1], 0, number - x)
    store(out[2], 0, x - number)
    store(out[3], 0, -(x * number) / number)
    store(out[4], 0, number / (number + x * x))
    store(out[5], 0, where(x > number, x, number))
    store(out[6], 0, where(x == number, 1.0, x))


@compiled
def _copy(source, target):
    """Copy eight numbers."""
    store(target, 0, load(source, 0))


@given(x=COLUMN, y=COLUMN, z=COLUMN, at=st.integers(0, 2 * LANES))
def test_operations_are_those_of_each_number(x, y, z, at):
    columns, out = np.array([x, y, z]), np.full((7, 3 * LANES), np.nan)
    total, most = _combine(columns, at, out)
    here = slice(at, at + LANES)
    a, b, c = columns[:, here]
    assert np.array_equal(out[0, here], a + b)
    assert np.array_equal(out[1, here], a * b)
    assert np.array_equal(out[2, here], np.maximum(a, b))
    assert out[3, here] == pytest.approx(a * b + c, rel=1e-12, abs=1e-3)
    assert out[4, here] == pytest.approx(c - a * b, rel=1e-12, abs=1e-3)
    assert np.array_equal(out[5, here], np.where(np.arange(LANES) == at % LANES, 7.0, columns[0, 0]))
    assert np.array_equal(out[6, here], np.full(LANES, columns[1, at]))
    halves = a[:4] + a[4:]
    assert total == (halves[0] + halves[2]) + (halves[1] + halves[3])
    assert most == a.max()
    assert np.isnan(out[:, :at]).all()
    assert np.isnan(out[:, at + LANES :]).all()


@given(x=COLUMN, number=st.floats(1e-3, 1e6))
def test_a_number_among_vectors_counts_eight_times(x, number):
    x[3] = number
    column, out = np.array(x), np.empty((7, LANES))
    _combine_with(column, number, out)
    a = column[:LANES]
    assert np.array_equal(out[0], number + a - 2.0)
    assert np.array_equal(out[1], number - a)
    assert np.array_equal(out[2], a - number)
    assert np.array_equal(out[3], -(a * number) / number)
    assert np.array_equal(out[4], number / (number + a * a))
    assert np.array_equal(out[5], np.maximum(a, number))
    assert np.array_equal(out[6], np.where(a == number, 1.0, a))


def test_a_product_and_its_sum_are_rounded_once():
    tiny = 2.0**-30
    columns = np.repeat(np.array([[1 + tiny], [1 - tiny], [-1.0]]), LANES, axis=1)
    out = np.empty((7, LANES))
    _combine(columns, 0, out)
    assert np.all(out[3] == -(tiny * tiny))


def test_a_single_column_is_rounded_when_it_is_written():
    source = np.linspace(0.1, 0.8, LANES)
    single, back = np.empty(LANES, np.float32), np.empty(LANES)
    _copy(source, single)
    _copy(single, back)
    assert np.array_equal(single, source.astype(np.float32))
    assert np.array_equal(back, single.astype(np.float64))
