"""Orders to stations: one at a time, the newest first in line, never longer than the deadline."""

import asyncio

import pytest

from backfeed.app.loop import run_virtual
from backfeed.fleet.order import Mode, OrderStatus, SetpointOrder
from backfeed.wire.link import LinkClosedError


def order(bench, power_kw, *, evse=1, station="A", lasts_ms=900_000):
    until_ms = bench.clock.now_ms() + lasts_ms
    return SetpointOrder(station, evse, "tx", 1, power_kw, Mode.SETPOINT, until_ms, "plan")


def on_bench(make_bench, scenario, **config):
    async def main():
        bench = make_bench(**config)
        try:
            station = bench.connect("A")
            await station.call("Heartbeat", {})
            return await scenario(bench, station)
        finally:
            await bench.close()

    return run_virtual(main())


def setpoint_of(frame):
    return frame[3]["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]["setpoint"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ([3, {"status": "Accepted"}], OrderStatus.ACCEPTED),
        ([3, {"status": "Rejected", "statusInfo": {"reasonCode": "X"}}], OrderStatus.REJECTED),
        ([3, {"status": "Perhaps"}], OrderStatus.FAILED),
        ([4, "NotSupported", "no", {}], OrderStatus.FAILED),
    ],
)
def test_the_stations_answer_is_the_orders_status(make_bench, answer, status):
    async def scenario(bench, station):
        applying = asyncio.create_task(bench.gateway.apply(order(bench, -5.0)))
        kind, message_id, action, _ = await station.receive()
        assert (kind, action) == (2, "SetChargingProfile")
        await station.send(answer[0], message_id, *answer[1:])
        assert await applying is status

    on_bench(make_bench, scenario)


def test_an_order_to_nobody_is_offline(make_bench):
    async def scenario(bench, _):
        assert await bench.gateway.apply(order(bench, 1.0, station="B")) is OrderStatus.OFFLINE
        assert await bench.gateway.set_default("B", 1, 7.0) is OrderStatus.OFFLINE

    on_bench(make_bench, scenario)


def test_an_order_whose_time_is_over_is_not_sent(make_bench):
    async def scenario(bench, station):
        assert await bench.gateway.apply(order(bench, 1.0, lasts_ms=0)) is OrderStatus.TIMED_OUT
        with pytest.raises(TimeoutError):
            await station.receive()

    on_bench(make_bench, scenario)


def test_a_silent_station_times_out_at_the_deadline_and_its_link_is_dropped(make_bench):
    async def scenario(bench, station):
        asked_ms = bench.clock.now_ms()
        first = asyncio.create_task(bench.gateway.apply(order(bench, 1.0)))
        other = asyncio.create_task(bench.gateway.apply(order(bench, 2.0, evse=2)))
        await station.receive()
        assert await first is OrderStatus.TIMED_OUT
        assert bench.clock.now_ms() - asked_ms == 30_000
        # A late order must not overtake the next one, so there is no next one on this link.
        assert await other is OrderStatus.OFFLINE
        assert bench.gateway.connected_stations() == ()

    on_bench(make_bench, scenario)


def test_a_newer_order_takes_the_place_of_one_that_waits(make_bench):
    async def scenario(bench, station):
        under_way = asyncio.create_task(bench.gateway.apply(order(bench, 1.0)))
        frame = await station.receive()
        waiting = [asyncio.create_task(bench.gateway.apply(order(bench, power))) for power in (2.0, 3.0, 4.0)]
        default = asyncio.create_task(bench.gateway.set_default("A", 1, 7.0))
        await bench.clock.sleep_until(bench.clock.now_ms() + 1)
        assert [task.done() for task in waiting] == [True, True, False]
        assert waiting[0].result() is waiting[1].result() is OrderStatus.SUPERSEDED
        sent = []
        for _ in range(3):
            await station.send(3, frame[1], {"status": "Accepted"})
            if len(sent) < 2:
                frame = await station.receive()
                sent.append(frame[3]["chargingProfile"]["chargingProfilePurpose"])
        assert sent == ["TxProfile", "TxDefaultProfile"]
        assert [await task for task in (under_way, waiting[2], default)] == [OrderStatus.ACCEPTED] * 3

    on_bench(make_bench, scenario)


def test_only_one_order_is_unanswered_at_a_time(make_bench):
    async def scenario(bench, station):
        tasks = [asyncio.create_task(bench.gateway.apply(order(bench, 1.0, evse=evse))) for evse in range(1, 6)]
        for evse in range(1, 6):
            frame = await station.receive()
            assert frame[3]["evseId"] == evse
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await station.link.receive()
            await station.send(3, frame[1], {"status": "Accepted"})
        assert [await task for task in tasks] == [OrderStatus.ACCEPTED] * 5

    on_bench(make_bench, scenario)


def test_orders_end_with_the_link_they_went_over(make_bench):
    async def scenario(bench, station):
        tasks = [asyncio.create_task(bench.gateway.apply(order(bench, 1.0, evse=evse))) for evse in (1, 2)]
        message_id = (await station.receive())[1]
        station.link.abort()
        assert [await task for task in tasks] == [OrderStatus.OFFLINE] * 2
        again = bench.connect("A")
        await again.send(3, message_id, {"status": "Accepted"})
        assert (await again.call("Heartbeat", {}))[0] == 3

    on_bench(make_bench, scenario)


def test_the_answer_to_an_order_is_heard_while_an_event_waits_for_its_commit(make_bench):
    """The reader never waits for handlers."""

    async def scenario(bench, station):
        applying = asyncio.create_task(bench.gateway.apply(order(bench, 1.0)))
        frame = await station.receive()
        bench.sink.stuck = True
        status = {"timestamp": "2026-07-06T12:00:00Z", "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
        await station.send(2, "stuck", "StatusNotification", status)
        await station.send(3, frame[1], {"status": "Accepted"})
        async with asyncio.timeout(1):
            assert await applying is OrderStatus.ACCEPTED
        for task in bench.tasks:
            task.cancel()
        with pytest.raises(LinkClosedError):
            await station.receive()
        await asyncio.gather(*bench.tasks, return_exceptions=True)
        bench.tasks.clear()

    on_bench(make_bench, scenario)


def test_a_caller_that_loses_interest_leaves_the_link_in_order(make_bench):
    async def scenario(bench, station):
        applying = asyncio.create_task(bench.gateway.apply(order(bench, 1.0)))
        frame = await station.receive()
        applying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await applying
        await station.send(3, frame[1], {"status": "Accepted"})
        applying = asyncio.create_task(bench.gateway.apply(order(bench, 2.0)))
        frame = await station.receive()
        await station.send(3, frame[1], {"status": "Accepted"})
        assert await applying is OrderStatus.ACCEPTED

    on_bench(make_bench, scenario)


class DeafLink:
    """A link whose other end has stopped reading: sending never returns."""

    def __init__(self):
        self.gone = asyncio.Event()

    async def send(self, _frame):
        await self.gone.wait()
        raise LinkClosedError

    async def receive(self):
        await self.gone.wait()
        raise LinkClosedError

    async def close(self):
        self.gone.set()

    def abort(self):
        self.gone.set()


def test_a_station_that_does_not_read_is_dropped(make_bench):
    async def main():
        bench = make_bench(send_timeout_s=20)
        serving = asyncio.create_task(bench.gateway.run_link("A", DeafLink()))
        await bench.clock.sleep_until(bench.clock.now_ms() + 10)
        asked_ms = bench.clock.now_ms()
        assert await bench.gateway.apply(order(bench, 1.0)) is OrderStatus.OFFLINE
        assert bench.clock.now_ms() - asked_ms == 20_000
        await serving
        return [getattr(event, "reason", "") for event in bench.sink.events]

    assert run_virtual(main()) == ["", "not reading"]
