"""Events travel as JSON and come back the same."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfeed.fleet.event import AnyEvent, AwardAccepted, Reading, SetpointOrdered, TransactionChanged

texts = st.text(max_size=12)
powers = st.floats(-50, 50)
readings = st.builds(
    Reading,
    measured_ms=st.integers(0),
    import_wh=st.none() | st.integers(0),
    power_kw=st.none() | powers,
    soc=st.none(),
)
events = st.one_of(
    st.builds(TransactionChanged, at_ms=st.integers(0), station=texts, evse=st.integers(0, 9), transaction=texts,
              sequence=st.integers(0), phase=st.sampled_from(["started", "updated", "ended"]), trigger=texts,
              measured_ms=st.integers(0), readings=st.lists(readings, max_size=3).map(tuple)),
    st.builds(SetpointOrdered, at_ms=st.integers(0), station=texts, evse=st.integers(0, 9), profile=st.integers(0),
              power_kw=powers, mode=st.sampled_from(["setpoint", "charging_only"]), until_ms=st.integers(0),
              bound_by=texts),
    st.builds(AwardAccepted, at_ms=st.integers(0), invitation=texts, power_kw=powers,
              baseline_kw=st.lists(powers, max_size=4).map(tuple)),
)  # fmt: skip


@given(events)
def test_an_event_comes_back_the_same_and_as_the_same_bytes(event):
    body = msgspec.json.encode(event)
    again = msgspec.json.decode(body, type=AnyEvent)
    assert again == event
    assert msgspec.json.encode(again) == body


def test_every_event_has_a_kind_of_its_own():
    kinds = [member.__struct_config__.tag for member in AnyEvent.__args__]
    assert len(set(kinds)) == len(kinds)
    assert all(isinstance(kind, str) for kind in kinds)


def test_an_unknown_kind_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"rumour","at_ms":0}', type=AnyEvent)


def test_absence_is_left_out():
    assert msgspec.json.encode(Reading(measured_ms=1)) == b'{"measured_ms":1}'
    assert not math.isnan(Reading(measured_ms=1, power_kw=0.0).power_kw)
