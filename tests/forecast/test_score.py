"""Scores: least for the truth, invariant where they should be."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.rng import Streams
from backfeed.forecast.score import coverage, folds_by_time, log_loss, pinball_loss, ranking, sharpness

PROBABILITIES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def test_the_pinball_loss_is_least_at_the_true_quantile() -> None:
    observed = Streams(1).generator("sample").exponential(2.0, 20_000)
    levels = np.array([0.1, 0.5, 0.9])
    truth = -2.0 * np.log1p(-levels)
    best = pinball_loss(np.tile(truth, (len(observed), 1)), observed, levels)
    for factor in (0.8, 1.25):
        assert (best < pinball_loss(np.tile(factor * truth, (len(observed), 1)), observed, levels)).all()
    assert np.abs(coverage(np.tile(truth, (len(observed), 1)), observed) - levels).max() < 0.01
    assert sharpness(np.tile(truth, (3, 1)), 0, 2) == truth[2] - truth[0]


@given(PROBABILITIES)
def test_ranking_equals_counting_pairs(cases: list[tuple[float, bool]]) -> None:
    probability = np.array([p for p, _ in cases])
    happened = np.array([h for _, h in cases])
    yes, no = probability[happened], probability[~happened]
    found = ranking(probability, happened)
    if len(yes) == 0 or len(no) == 0:
        assert np.isnan(found)
    else:
        pairs = [(y > n) + 0.5 * (y == n) for y in yes for n in no]
        assert np.isclose(found, sum(pairs) / len(pairs))
    assert log_loss(probability, happened) >= 0


@given(st.lists(st.integers(0, 10**6), max_size=50), st.integers(1, 6))
def test_folds_are_a_partition_in_time(at: list[int], count: int) -> None:
    at_ms = np.array(at, dtype=np.int64)
    folds = folds_by_time(at_ms, count)
    assert sorted(np.concatenate(folds)) == list(range(len(at)))
    filled = [at_ms[fold] for fold in folds if len(fold)]
    assert all(before.max() <= later.min() for before, later in pairwise(filled))
