"""The waterfall and the division of integers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.settle.waterfall import Shares, allocate, split_revenue

shares = st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(
    lambda pair: Shares(Decimal(pair[0]) / 2000, Decimal(pair[1]) / 2000)
)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12), shares)
def test_the_parts_sum_to_the_whole_and_none_is_negative(revenue, floor, how):
    split = split_revenue(revenue, floor, how)
    parts = (split.owner_floor_micro, split.owner_share_micro, split.site_micro, split.aggregator_micro)
    assert sum(parts) == revenue + split.top_up_micro
    assert min(*parts, split.top_up_micro) >= 0
    assert split.owner_micro >= floor


def test_shares_that_give_away_more_than_there_is_are_refused():
    for owner, site in ((Decimal("0.9"), Decimal("0.2")), (Decimal(-1), Decimal(0))):
        with pytest.raises(ValueError, match="shares"):
            Shares(owner, site)


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**6), min_size=1).filter(any))
def test_an_allocation_is_whole_exact_and_fair(total, weights):
    parts = allocate(total, weights)
    assert sum(parts) == total
    assert all(
        abs(part * sum(weights) - total * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True)
    )
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)
