"""The structs accept what the official schemas accept, and nothing else: a differential test.

Oracle: jsonschema-rs with the schemas as the Open Charge Alliance publishes them.
"""

import functools
import json
from importlib.resources import files

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfeed.wire.ocpp21 import REQUESTS, RESPONSES
from backfeed.wire.payload import UNREADABLE, decode_payload

MESSAGES = {
    **{f"{action}Request": request for action, request in REQUESTS.items()},
    **{f"{action}Response": response for action, response in RESPONSES.items()},
}
USED = (
    "BootNotification", "Heartbeat", "StatusNotification", "Authorize", "TransactionEvent", "MeterValues",
    "NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "ReportChargingProfiles", "SetChargingProfile",
    "ClearChargingProfile", "GetVariables", "SetVariables",
)  # fmt: skip
INSTANTS = (
    "2026-07-06T12:00:00Z", "2026-07-06T12:00:00.123456789Z", "2026-07-06t12:00:00z", "2026-07-06T12:00:00+08:00",
    "2026-07-06T23:59:60Z", "2016-12-31T23:59:60Z", "2026-07-06T12:00:00-23:59",
)  # fmt: skip
NO_INSTANTS = (
    "2026-07-06", "12:00:00Z", "2026-07-06T12:00:00", "2026-13-06T12:00:00Z", "2026-07-32T12:00:00Z", "noon",
    "2026-07-06T24:00:00Z", "2026-07-06T12:60:00Z", "2026-07-06T12:00:61Z", "2026-07-06 12:00:00Z", "",
    "2026-07-06T12:00:00.Z", "2026-07-06T12:00:00Z\n", "2026-07-06T12:00:00+8:00", "2026-07-06T12:00:00+24:00",
    "٢٠٢٦-07-06T12:00:00Z",
)  # fmt: skip


@functools.cache
def schema(name):
    file = "NotifyPeriodicEventStream" if name == "NotifyPeriodicEventStreamRequest" else name
    return json.loads((files("ocpp") / "v21" / "schemas" / f"{file}.json").read_text("utf-8-sig"))


@functools.cache
def judge(name):
    return jsonschema_rs.validator_for(schema(name), validate_formats=True)


def accepted(name, payload):
    try:
        decode_payload(MESSAGES[name], json.dumps(payload).encode())
    except UNREADABLE:
        return False
    return True


def pick(dice, options):
    return options[dice.randrange(len(options))]


class Maker:
    """Makes payloads from a schema; with `faults` it breaks one rule now and then."""

    def __init__(self, dice, definitions, faults):
        self.dice = dice
        self.definitions = definitions
        self.faults = faults

    def slips(self):
        return self.faults and self.dice.random() < 0.06

    def value(self, rule, depth=0):
        if self.slips():
            return pick(self.dice, [None, 0, 1.5, -1, 2.0, "", "x", [], {}, True, [None], "2026-07-06T12:00:00Z"])
        if "$ref" in rule:
            return self.value(self.definitions[rule["$ref"].removeprefix("#/definitions/")], depth)
        maker = getattr(self, rule.get("type", "anything"))
        return maker(rule, depth)

    def object(self, rule, depth):
        made = {}
        for name, each in rule.get("properties", {}).items():
            needed = name in rule.get("required", ())
            if (needed and not self.slips()) or (not needed and self.dice.random() < 0.5 / (1 + depth)):
                made[name] = self.value(each, depth + 1)
        if self.slips() or ("additionalProperties" not in rule and self.dice.random() < 0.5):
            made[pick(self.dice, ["extra", "evse_id", "customdata"])] = 1
        return made

    def array(self, rule, depth):
        fewest, most = rule.get("minItems", 0), rule.get("maxItems", 3)
        length = pick(self.dice, [fewest, fewest, min(most, fewest + 1)])
        if self.slips():
            length = pick(self.dice, [0, most + 1 if most < 50 else 0])
        return [self.value(rule["items"], depth + 1) for _ in range(length)]

    def string(self, rule, _depth):
        if "enum" in rule:
            word = pick(self.dice, rule["enum"])
            return pick(self.dice, [word.lower(), word + " ", ""]) if self.slips() else word
        if rule.get("format") == "date-time":
            return pick(self.dice, NO_INSTANTS if self.slips() else INSTANTS[:4])
        longest = rule.get("maxLength", 40)
        length = pick(self.dice, [0, 1, longest, longest + 1 if self.slips() else longest])
        return pick(self.dice, ["a", "é", "电", "🔌"]) * min(length, 300) if length <= 300 else "a" * length

    def integer(self, rule, _depth):
        low, high = rule.get("minimum", -5), rule.get("maximum", 10**6)
        if self.slips():
            return pick(self.dice, [low - 1, high + 1, low + 0.5, 10**30])
        whole = int(pick(self.dice, [low, high, low + 1 if low + 1 <= high else low]))
        return float(whole) if self.dice.random() < 0.2 else whole

    def number(self, rule, _depth):
        low, high = rule.get("minimum", -1e6), rule.get("maximum", 1e6)
        if self.slips():
            return pick(self.dice, [low - 0.1, high + 0.1, "1"])
        return pick(self.dice, [low, high, (low + high) / 2, int((low + high) / 2) if low <= 0 <= high else low])

    def boolean(self, _rule, _depth):
        return pick(self.dice, [1, 0, "true"]) if self.slips() else self.dice.random() < 0.5

    def anything(self, _rule, _depth):
        return pick(self.dice, [None, 1, 1.5, "x", [1, {"a": []}], {"b": None}, False])


def agree(name, payload):
    assert accepted(name, payload) == judge(name).is_valid(payload), (name, payload)


@pytest.mark.parametrize("name", sorted(MESSAGES))
@settings(max_examples=8, deadline=None)
@given(dice=st.randoms(use_true_random=False))
def test_every_struct_agrees_with_its_schema(name, dice):
    rule = schema(name)
    legal = Maker(dice, rule["definitions"], faults=False).value(rule)
    assert judge(name).is_valid(legal), (name, legal)
    assert accepted(name, legal), (name, legal)
    agree(name, Maker(dice, rule["definitions"], faults=True).value(rule))


@pytest.mark.nightly
@pytest.mark.parametrize("name", [f"{action}{kind}" for action in USED for kind in ("Request", "Response")])
@settings(max_examples=2000, deadline=None)
@given(dice=st.randoms(use_true_random=False))
def test_the_structs_in_use_agree_with_their_schemas_at_length(name, dice):
    agree(name, Maker(dice, schema(name)["definitions"], faults=True).value(schema(name)))


@pytest.mark.parametrize("name", sorted(MESSAGES))
@settings(max_examples=3, deadline=None)
@given(dice=st.randoms(use_true_random=False))
def test_what_is_decoded_is_encoded_to_the_same_message(name, dice):
    rule = schema(name)
    payload = Maker(dice, rule["definitions"], faults=False).value(rule)
    decoded = decode_payload(MESSAGES[name], json.dumps(payload).encode())
    again = msgspec.json.encode(decoded)
    judge(name).validate(json.loads(again))
    assert decode_payload(MESSAGES[name], again) == decoded


@pytest.mark.parametrize("text", INSTANTS[:4] + NO_INSTANTS)
def test_instants_agree(text):
    payload = {"timestamp": text, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
    agree("StatusNotificationRequest", payload)


def test_leap_seconds_are_taken_wherever_they_fall():
    """RFC 3339 allows :60; jsonschema-rs takes it only where a leap second can be. Chargers round up to it."""
    for text in INSTANTS:
        payload = {"timestamp": text, "connectorStatus": "Available", "evseId": 1, "connectorId": 1}
        assert accepted("StatusNotificationRequest", payload)
