"""Axes: half-open steps that never combine by accident."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.axis import AxisMismatchError, TimeAxis, covering
from backfeed.core.instant import MS_PER_H, local_midnight_ms, parse_instant

QUARTER_MS = 900_000
axes = st.builds(TimeAxis, st.integers(-(10**12), 10**13), st.integers(1, 10**7), st.integers(0, 300))


@given(axes)
def test_every_start_belongs_to_its_own_step_and_the_end_to_none(axis):
    assert [axis.index_of(start) for start in axis] == list(range(axis.count))
    assert axis.starts_ms.tolist() == list(axis)
    for outside in (axis.start_ms - 1, axis.end_ms):
        with pytest.raises(IndexError):
            axis.index_of(outside)


@given(axes, st.integers(-(10**12), 10**13), st.integers(0, 10**10))
def test_overlaps_sum_to_what_the_axis_and_the_span_share(axis, from_ms, length_ms):
    shared_ms = max(0, min(axis.end_ms, from_ms + length_ms) - max(axis.start_ms, from_ms))
    overlap = axis.overlap_h(from_ms, from_ms + length_ms)
    assert overlap.shape == (axis.count,)
    assert overlap.sum() * MS_PER_H == pytest.approx(shared_ms, abs=1e-3)
    assert (overlap <= axis.step_h + 1e-12).all()


@given(st.integers(0, 10**13), st.integers(0, 10**9), st.integers(1, 10**7))
def test_a_covering_axis_covers_and_wastes_less_than_a_step_at_either_end(from_ms, length_ms, step_ms):
    axis = covering(from_ms, from_ms + length_ms, step_ms)
    assert axis.start_ms <= from_ms < axis.start_ms + step_ms
    assert axis.end_ms >= from_ms + length_ms
    assert axis.end_ms - (from_ms + length_ms) < step_ms
    assert axis.start_ms % step_ms == 0


@pytest.mark.parametrize(("day", "steps"), [("2026-03-29", 92), ("2026-07-01", 96), ("2026-10-25", 100)])
def test_a_delivery_day_has_92_96_or_100_quarters(day, steps):
    oslo = ZoneInfo("Europe/Oslo")
    midnight = np.datetime64(day).astype(object)
    start = local_midnight_ms(midnight, oslo)
    end = local_midnight_ms(midnight.fromordinal(midnight.toordinal() + 1), oslo)
    assert covering(start, end, QUARTER_MS).count == steps


def test_axes_that_differ_do_not_combine():
    axis = TimeAxis(parse_instant("2026-07-06T00:00:00Z"), QUARTER_MS, 96)
    axis.require_same(TimeAxis(axis.start_ms, QUARTER_MS, 96))
    with pytest.raises(AxisMismatchError):
        axis.require_same(TimeAxis(axis.start_ms, QUARTER_MS, 95))


@pytest.mark.parametrize(("step_ms", "count"), [(0, 1), (-1, 1), (900_000, -1)])
def test_an_axis_without_a_width_is_refused(step_ms, count):
    with pytest.raises(ValueError, match="axis needs"):
        TimeAxis(0, step_ms, count)
