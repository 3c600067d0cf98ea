"""Folding events: repeated, late and shuffled messages give the state that the clean run gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.fleet.event import (
    NeedsNotified,
    Reading,
    StationBooted,
    StationConnected,
    StationDisconnected,
    TransactionChanged,
)
from backfeed.fleet.state import FleetState

MINUTE_MS = 60_000


def dialogue(transaction, start_ms, updates, wh_from):
    """A transaction as a station sends it: started, updates with rising registers, ended."""
    phases = ["started", *["updated"] * updates, "ended"]
    return [
        TransactionChanged(
            at_ms=start_ms + i * MINUTE_MS,
            station="S-1",
            evse=1,
            transaction=transaction,
            sequence=i,
            phase=phase,
            trigger="MeterValueClock",
            measured_ms=start_ms + i * MINUTE_MS,
            token=f"driver-{transaction}" if phase == "started" else None,
            readings=(
                Reading(
                    measured_ms=start_ms + i * MINUTE_MS, import_wh=wh_from + 100 * i, export_wh=7 * i, power_kw=6.0 + i
                ),
            ),
        )
        for i, phase in enumerate(phases)
    ]


def folded(events):
    state = FleetState()
    for event in events:
        state.apply(event)
    return state


@given(st.integers(1, 8), st.data())
def test_a_running_transaction_is_the_same_however_its_messages_come(updates, data):
    events = dialogue("T-1", 0, updates, 5_000)[:-1]
    shuffled = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=5))))
    assert folded(shuffled).plugs == folded(events).plugs
    assert folded(shuffled).first_registers("S-1", "T-1") == (5_000, 0)


@given(st.integers(0, 6), st.data())
def test_once_ended_in_any_order_nobody_is_plugged_in(updates, data):
    events = dialogue("T-1", 0, updates, 5_000)
    state = folded(data.draw(st.permutations(events)))
    assert state.plugs == {}
    assert state.has_ended("S-1", "T-1")
    assert state.first_registers("S-1", "T-1") == (5_000, 0)


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_late_messages_of_the_car_before_do_not_touch_the_car_that_is_here(before, now, data):
    first = dialogue("T-1", 0, before, 5_000)
    second = dialogue("T-2", 3_600_000, now, 9_000)[:-1]
    kept = data.draw(st.integers(0, len(first)))
    late = data.draw(st.permutations(first[kept:]))
    # The new car's start is known before the rest of the old car's messages arrive.
    state = folded([*first[:kept], second[0], *late, *second[1:]])
    assert state.plugs == folded(second).plugs
    assert state.plugs["S-1", 1].token == "driver-T-2"
    assert state.has_ended("S-1", "T-1")


def test_the_newest_reading_counts_and_an_older_one_that_comes_later_does_not():
    events = dialogue("T-1", 0, 3, 0)[:-1]
    plug = folded([events[0], events[3], events[2]]).plugs["S-1", 1]
    assert (plug.import_wh, plug.export_wh, plug.power_kw) == (300, 21, 9.0)


def test_what_a_driver_says_before_the_transaction_is_known_is_kept_for_it():
    needs = NeedsNotified(
        at_ms=0, station="S-1", evse=1, transfer="AC_BPT", departure_ms=99, soc=0.4, charge_max_kw=7.4
    )
    plug = folded([needs, *dialogue("T-1", 1, 0, 0)[:1]]).plugs["S-1", 1]
    assert (plug.departure_stated_ms, plug.soc, plug.charge_max_kw) == (99, 0.4, 7.4)


@pytest.mark.parametrize(("last", "up"), [("connected", True), ("disconnected", False)])
def test_a_station_is_reached_if_its_link_is_up(last, up):
    events = {
        "connected": StationConnected(at_ms=3, station="S-1", subprotocol="ocpp2.1"),
        "disconnected": StationDisconnected(at_ms=3, station="S-1", reason="gone"),
    }
    booted = StationBooted(at_ms=1, station="S-1", vendor="v", model="m", reason="PowerUp")
    station = folded([booted, events[last]]).stations["S-1"]
    assert (station.connected, station.booted, station.changed_ms) == (up, True, 3)
