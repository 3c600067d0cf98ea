"""Dice: what one draw is for changes no other draw."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.rng import Streams

seeds = st.integers(0, 2**63)
keys = st.lists(st.one_of(st.text(max_size=5), st.integers(-5, 5)), max_size=3).map(tuple)


def draws(seed, purpose, *key):
    return Streams(seed).generator(purpose, *key).integers(0, 2**63, 4).tolist()


@given(seeds, st.text(max_size=8), keys)
def test_the_same_purpose_and_key_always_draw_the_same(seed, purpose, key):
    assert draws(seed, purpose, *key) == draws(seed, purpose, *key)


@given(seeds, st.sets(st.integers(0, 100), min_size=2, max_size=5))
def test_drawing_for_one_does_not_move_the_draws_of_another(seed, users):
    first, *others = sorted(users)
    alone = draws(seed, "car", first)
    streams = Streams(seed)
    for other in others:
        streams.generator("car", other).random(17)
    assert streams.generator("car", first).integers(0, 2**63, 4).tolist() == alone


def test_seeds_purposes_and_keys_all_tell_streams_apart():
    streams = [
        draws(1, "car", "u"),
        draws(2, "car", "u"),
        draws(1, "outlet", "u"),
        draws(1, "car", "v"),
        draws(1, "caru"),
    ]
    assert len({tuple(stream) for stream in streams}) == len(streams)


def test_keys_do_not_run_into_one_another():
    assert draws(1, "car", "ab", "c") != draws(1, "car", "a", "bc")


def test_streams_are_uniform_across_keys():
    firsts = np.array([Streams(7).generator("soc", user).random() for user in range(2_000)])
    assert abs(firsts.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(firsts[:-1], firsts[1:])[0, 1]) < 0.06
