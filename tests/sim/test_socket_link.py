import asyncio
import base64

import numpy as np
import pytest

from backfeed.core.instant import MS_PER_H
from backfeed.sim.fault import FaultRates
from backfeed.sim.socket_link import connect_websocket
from backfeed.wire.link import LinkClosedError


def by_station(heard):
    stations = {}
    for entry in heard:
        stations.setdefault(entry[1], []).append(entry)
    return stations


@pytest.mark.parametrize("rates", [None, FaultRates(outages_per_day=6, outage_mean_min=15)])
def test_sockets_and_memory_tell_the_same_at_the_same_instants(stage, busy_rows, rates):
    rows = [row | {"location": row["location"] + " ü/#"} for row in busy_rows[:20]]

    config = stage(rows).config

    async def ask_every_station(platform):
        for hour in range(2, 20, 3):
            await platform.clock.sleep_until(config.start_ms + hour * MS_PER_H)
            for station in sorted(by_station(platform.heard)):
                await platform.call(station, "TriggerMessage", {"requestedMessage": "StatusNotification"})

    during = ask_every_station if rates is None else None
    memory = stage(rows, rates=rates).play(during)
    socket = stage(rows, rates=rates).play(during, link="socket")
    assert by_station(memory.platform.heard) == by_station(socket.platform.heard)
    np.testing.assert_array_equal(memory.truth.segments.energy_kwh, socket.truth.segments.energy_kwh)
    station, header = next(iter(socket.platform.credentials.items()))
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{station}:a secret of many signs"


def test_a_platform_that_is_not_there_is_a_closed_link():
    with pytest.raises(LinkClosedError):
        asyncio.run(connect_websocket("ws://127.0.0.1:9/ocpp", "x", None))
