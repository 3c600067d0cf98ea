import asyncio
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.core.instant import MS_PER_DAY
from backfeed.core.rng import Streams
from backfeed.sim.fault import FaultRates, Faults, FaultyLink
from backfeed.wire.link import LinkClosedError, memory_pipe

FRAMES = [b"%d" % i for i in range(300)]


def through(rates, seed=1):
    """Return what arrives of `FRAMES` when both ends of a pipe have this luck."""

    async def send_and_receive():
        ours, theirs = memory_pipe()
        sender = FaultyLink(ours, rates, np.random.Generator(np.random.PCG64(seed)))
        receiver = FaultyLink(theirs, rates, np.random.Generator(np.random.PCG64(seed + 1)))
        for frame in FRAMES:
            await sender.send(frame)
        await sender.close()
        arrived = []
        try:
            while True:
                arrived.append(await receiver.receive())
        except LinkClosedError:
            return arrived

    return asyncio.run(send_and_receive())


@given(st.integers(0, 100))
def test_without_rates_a_link_is_as_good_as_new(seed):
    assert through(FaultRates(), seed) == FRAMES


@pytest.mark.parametrize(
    ("rates", "kept", "more", "ordered"),
    [
        (FaultRates(frame_lost=0.1), False, False, True),
        (FaultRates(frame_repeated=0.1), True, True, True),
        (FaultRates(frame_delayed=0.1), True, False, False),
    ],
)
def test_frames_are_lost_repeated_or_overtaken_and_nothing_else(rates, kept, more, ordered):
    arrived = through(rates)
    assert set(arrived) <= set(FRAMES)
    assert (len(set(arrived)) >= len(FRAMES) - 2) == kept
    assert (len(arrived) > len(set(arrived))) == more
    assert (sorted(arrived, key=int) == arrived) == ordered
    assert arrived == through(rates)


def test_a_broken_link_breaks_for_both_ends():
    async def break_it():
        ours, theirs = memory_pipe()
        link = FaultyLink(ours, FaultRates(link_broken=1.0), np.random.Generator(np.random.PCG64(1)))
        with pytest.raises(LinkClosedError):
            await link.send(b"x")
        with pytest.raises(LinkClosedError):
            await theirs.receive()

    asyncio.run(break_it())


def test_outages_come_at_their_rate_do_not_overlap_and_belong_to_their_station():
    faults = Faults(FaultRates(outages_per_day=2, outage_mean_min=30), Streams(4))
    outages = faults.outages("a", 0, 400 * MS_PER_DAY)
    assert 650 < len(outages) < 900
    assert all(one.until_ms <= other.from_ms for one, other in pairwise(outages))
    assert 0.2 < np.mean([outage.is_restart for outage in outages]) < 0.4
    month, other = faults.outages("a", 0, 30 * MS_PER_DAY), faults.outages("b", 0, 30 * MS_PER_DAY)
    assert month == outages[: len(month)]
    assert [each.from_ms for each in other] != [each.from_ms for each in month]
    assert Faults(FaultRates(), Streams(4)).outages("a", 0, MS_PER_DAY) == []
