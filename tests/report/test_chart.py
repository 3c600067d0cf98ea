"""Scales, ticks and paths."""

import doctest
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.report import chart


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(chart).failed == 0


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), count=st.integers(2, 10))
def test_ticks_are_round_evenly_spaced_and_inside(low, width, count):
    found = chart.ticks(low, low + width, count)
    assert all(low - 1e-6 * width <= value <= low + width + 1e-6 * width for value in found)
    assert len(found) <= count + 1
    assert np.allclose(np.diff(found, 2), 0, atol=1e-6 * width)


@given(st.lists(st.floats(-500, 500), min_size=1))
def test_a_span_holds_every_value_and_zero(values):
    low, high = chart.span(np.array(values), np.array([np.nan]))
    assert low <= min([0.0, *values])
    assert high >= max([0.0, *values])
    assert low < high


def test_a_step_function_is_broken_where_nothing_is_known():
    path = chart.step_path(np.array([0.0, 1, 2, 3, 4, 5]), np.array([7.0, 7, np.nan, 3, 4]))
    assert path == "M0.0 7H2.0M3.0 3H4.0V4H5.0"


def test_an_area_begins_and_ends_on_its_line():
    path = chart.area_path(np.array([0.0, 1, 2, 3]), np.array([4.0, np.nan, 6]), 10.0)
    assert path == "M0.0 10.0H0.0V4H1.0V10H2.0V6H3.0V10.0Z"


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert chart.number(-0.04, 1) == "0.0"
    assert chart.number(-1234.0) == "\u22121\u202f234"
    assert chart.percent(None) == "\u2013"
    assert re.fullmatch(r"12\.5\u202f%", chart.percent(0.125))
