"""What a driver's word is worth: how early those leave who keep it is learnt, and never taken for more than it is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_H, MS_PER_MIN
from backfeed.core.rng import Streams
from backfeed.forecast.statement import EARLY_MOST_MIN, StatementRecord


def record_of(words: list[tuple[str, float]]) -> StatementRecord:
    """Return the record after stays of eight hours by word, each a driver and how late he left [min]."""
    record = StatementRecord()
    for user, late_min in words:
        record.learn(user, 0, 8 * MS_PER_H, 8 * MS_PER_H + int(late_min * MS_PER_MIN))
    return record


def test_before_words_were_kept_a_driver_may_leave_as_early_as_counts_as_keeping_it() -> None:
    assert StatementRecord().worth("u").early_min == EARLY_MOST_MIN


def test_where_all_leave_to_the_minute_the_departure_is_promised_to_the_minute() -> None:
    worth = record_of([(f"u{n % 40}", 0.0) for n in range(200)]).worth("u1")
    assert worth.early_min == 0
    assert worth.spread_min < 5.0


def test_a_few_kept_words_prove_nothing() -> None:
    assert record_of([(f"u{n}", 0.0) for n in range(30)]).worth("u1").early_min == EARLY_MOST_MIN


def test_a_driver_who_leaves_a_little_earlier_than_others_is_known_for_it() -> None:
    record = record_of([(f"u{n % 40}", 0.0) for n in range(200)] + [("early", -6.5)] * 3)
    assert record.worth("early").early_min == 7
    assert record.worth("u1").early_min <= 7


@given(st.integers(0, 2**32 - 1), st.floats(2.0, 30.0))
@settings(max_examples=12)
def test_hardly_anybody_who_keeps_his_word_leaves_earlier_than_is_reckoned_with(seed: int, spread_min: float) -> None:
    draws = Streams(seed).generator("words").normal(0.0, spread_min, 700)
    record = record_of([(f"u{n % 50}", late) for n, late in enumerate(draws[:400].tolist())])
    kept = draws[400:][draws[400:] >= -EARLY_MOST_MIN]
    earlier = [late < -record.worth(f"u{n % 50}").early_min for n, late in enumerate(kept.tolist())]
    assert np.mean(earlier) < 0.05
