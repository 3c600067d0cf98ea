"""What a person sees at the end of a run."""

from pathlib import Path

import msgspec
import pytest

from backfeed.cli.run_words import next_steps, table
from backfeed.report.summary import RunFacts, Summary, WorldResult

MONEY = {
    "energy_cost": 100.0,
    "discharge_revenue": 60.5,
    "dr_revenue": 8.25,
    "wear_cost": 12.0,
    "shortfall_cost": 3.0,
    "terminal_adjustment": -1.75,
    "net_value": -48.0,
}


def world(**changed):
    plain = {
        "sessions": {"total": 12, "served": 11, "rejected": 1},
        "charged_kwh": 1234.4,
        "discharged_kwh": 321.0,
        **MONEY,
        "payouts": {},
        "departures": {"feasible": 10, "short": 1, "short_kwh": 1.5, "worst_kwh": 1.5},
        "offpeak_share": {"gross": 0.9, "net": None},
        "sites": {"a": {"peak_import_kw": 1.0, "peak_export_kw": 0.0, "violations": 2}},
        "dr": [],
        "discharge_power_max_kw": 7.0,
    }
    return msgspec.convert(plain | changed, WorldResult)


def summary(worlds, *, verified):
    facts = dict.fromkeys(("seed", "messages", "plans", "fallbacks"), 1)
    facts |= {"config_hash": "", "log_hash": None, "ledger_hash": None, "plan_gap_max": None, "version": "0"}
    run = msgspec.convert(facts | dict.fromkeys(("cpu_s", "wall_s", "peak_mb"), 1.0), RunFacts)
    detail = {
        "share": None, "share_without_shortfalls": None, "foresight_gain": None, "foresight_gain_per_session": None,
        "sessions": 0, "reason": "too few", "by_statement": {},
    }  # fmt: skip
    return msgspec.convert(
        {
            "worlds": msgspec.to_builtins(worlds),
            "captured_share": 0.93,
            "captured_v2g_share": None,
            "captured_detail": {"captured_share": detail, "captured_v2g_share": detail},
            "targets": {},
            "ledger": {"verified": verified},
            "run": msgspec.to_builtins(run),
        },
        Summary,
    )


def number_in(line):
    return float(line.split()[-1].replace(",", ""))


def test_the_money_rows_of_a_world_add_up_to_its_net_value():
    lines = table(summary({"v2g": world()}, verified=True), "CNY").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("energy cost"))
    net = next(i for i, line in enumerate(lines) if line.startswith("NET VALUE"))
    assert sum(number_in(line) for line in lines[first:net]) == pytest.approx(number_in(lines[net]))


def test_worlds_stand_side_by_side_in_their_order():
    lines = table(summary({"unmanaged": world(), "v2g": world(charged_kwh=9.0)}, verified=True), "CNY").splitlines()
    assert lines[0].split() == ["unmanaged", "v2g"]
    assert next(line for line in lines if line.startswith("charged kWh")).split()[-2:] == ["1,234", "9"]
    assert len({len(line) for line in lines[2:14]}) == 1


def test_what_is_not_known_is_a_dash_and_what_was_not_given_is_not_told():
    text = table(summary({"v2g": world()}, verified=True), "CNY")
    assert "V2G captured 93.0%" in text
    assert text.count("captured") == 1
    assert next(line for line in text.splitlines() if "valley" in line).split()[-1] == "-"


def test_a_ledger_that_does_not_verify_is_shouted():
    assert "NOT VERIFIED" in table(summary({"v2g": world()}, verified=False), "CNY")


def test_the_last_lines_say_what_to_do_next():
    text = next_steps(Path("runs/demo"), Path("pilot.toml"))
    assert "runs/demo/report.html" in text
    assert "backfeed pilot new" in text
