"""The shape and the bytes of summary.json."""

import json
import math

import jsonschema_rs
import msgspec
import pytest

from backfeed.report.summary import (
    LedgerUnit,
    decode_summary,
    encode_schema,
    encode_summary,
    ledger_table,
    shipped_schema,
    write_summary,
)


def test_the_shipped_schema_is_the_one_of_the_structs():
    assert shipped_schema() == encode_schema()


def test_a_summary_is_valid_under_the_shipped_schema(example_summary):
    validator = jsonschema_rs.validator_for(json.loads(shipped_schema()))
    document = json.loads(encode_summary(example_summary))
    assert list(validator.iter_errors(document)) == []
    document["worlds"]["v2h"] = document["worlds"].pop("v2g")
    document["run"]["hostname"] = "somewhere"
    assert len(list(validator.iter_errors(document))) == 2


def test_every_key_that_readers_rely_on_is_there(example_summary):
    document = json.loads(encode_summary(example_summary))
    assert list(document["worlds"]) == ["unmanaged", "v1g", "v2g", "foresight"]
    world = document["worlds"]["v2g"]
    assert set(world) == {
        *("sessions", "charged_kwh", "discharged_kwh", "energy_cost", "discharge_revenue", "dr_revenue", "wear_cost"),
        *("shortfall_cost", "terminal_adjustment", "net_value", "payouts", "departures", "offpeak_share", "sites"),
        *("dr", "discharge_power_max_kw", "subsidy", "net_value_without_subsidy"),
    }
    assert set(world["sessions"]) == {"total", "served", "rejected"}
    assert set(world["departures"]) == {"feasible", "short", "short_kwh", "worst_kwh"}
    assert set(world["offpeak_share"]) == {"gross", "net"}
    assert set(next(iter(world["sites"].values()))) == {"peak_import_kw", "peak_export_kw", "violations"}
    assert set(world["dr"][0]) == {
        *("id", "promised_kwh", "delivered_kwh", "ratio", "baseline_kwh", "metered_kwh", "v1g_kwh", "against_v1g_kwh"),
        *("before_kwh", "after_kwh", "operator_agrees"),
    }
    assert set(document["ledger"]) == {"CNY", "Wh", "verified"}
    assert set(document["ledger"]["CNY"]) == {"debits", "credits", "balance"}
    assert set(document["run"]) == {
        *("seed", "config_hash", "log_hash", "ledger_hash", "messages", "plans", "plan_gap_max", "fallbacks"),
        *("cpu_s", "wall_s", "peak_mb", "version"),
    }
    assert {"captured_share", "captured_v2g_share", "targets"} <= set(document)


def test_writing_and_reading_gives_the_same_bytes_again(tmp_path, example_summary):
    path = tmp_path / "summary.json"
    write_summary(example_summary, path)
    assert encode_summary(decode_summary(path.read_bytes())) == path.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_rounding_noise_and_the_order_of_mappings_do_not_reach_the_bytes(example_summary):
    summary = example_summary
    world = summary.worlds["v2g"]
    noisy = msgspec.structs.replace(
        world, energy_cost=world.energy_cost + 1e-13, sites=dict(reversed(world.sites.items()))
    )
    other = msgspec.structs.replace(summary, worlds={**summary.worlds, "v2g": noisy})
    assert encode_summary(other) == encode_summary(summary)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_can_not_hold_is_refused_with_its_key(value, example_summary):
    summary = example_summary
    run = msgspec.structs.replace(summary.run, cpu_s=value)
    with pytest.raises(ValueError, match=r"summary\.run\.cpu_s"):
        encode_summary(msgspec.structs.replace(summary, run=run))


def test_a_key_that_is_not_known_is_refused(example_summary):
    document = json.loads(encode_summary(example_summary))
    document["extra"] = 1
    with pytest.raises(msgspec.ValidationError, match="extra"):
        decode_summary(json.dumps(document).encode())


def test_no_ledger_unit_can_hide_the_verdict():
    with pytest.raises(AssertionError):
        ledger_table({"verified": LedgerUnit(debits=0, credits=0, balance=0)}, verified=False)
