"""Invitations to a running service: a file comes in, an answer lies beside it, the promise outlives the service."""

import json
import select
import time
from datetime import datetime, timedelta

from backfeed.cli.main import run
from backfeed.store.ledger_seal import open_ledger
from backfeed.store.log_file import read_log_file

ANSWERED_WITHIN_S = 180


def answer_of(folder, name):
    path = folder / f"{name}.answer.json"
    deadline = time.monotonic() + ANSWERED_WITHIN_S
    while not path.exists():
        assert time.monotonic() < deadline, f"no answer to {name}"
        select.select([], [], [], 0.2)
    return json.loads(path.read_text(encoding="utf-8"))


def test_an_invitation_is_answered_in_words_and_a_promise_outlives_the_service(tmp_path, start):
    folder = tmp_path / "invitations"
    folder.mkdir()
    service = start(tmp_path)
    now = datetime.fromisoformat(service.json("/healthz")["now"])
    begin = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
    asked = {
        "kind": "peak_shave",
        "start": begin.isoformat(),
        "end": (begin + timedelta(hours=1)).isoformat(),
        "power_kw": 40.0,
        "price_per_kwh": 0.8,
    }
    for name, document in (
        ("evening", {**asked, "offer_kw": 5.0}),
        ("unknown-fleet", asked),
        ("past", {**asked, "start": "2026-01-01T00:00:00+08:00"}),
        ("typo", {**asked, "powr_kw": 4}),
    ):
        partial = folder / f"{name}.part"
        partial.write_text(json.dumps(document))
        partial.replace(folder / f"{name}.json")
    promised = answer_of(folder, "evening")
    assert (promised["state"], promised["power_kw"], promised["promised_kwh"]) == ("promised", 5.0, 5.0)
    assert promised["baseline_kw"] == [0.0] * 4
    refused = answer_of(folder, "unknown-fleet")
    assert refused["state"] == "refused"
    assert refused["reasons"] == ["the offer of 0 kW lies below the least of 0 kW"]
    assert refused["reasons_zh"] == ["可申报功率 0 kW,低于最低要求 0 kW"]
    assert "start < end" in answer_of(folder, "past")["reasons"][0]
    assert "powr_kw" in answer_of(folder, "typo")["reasons"][0]
    service.stop()

    (folder / "evening.json").unlink()
    again = start(tmp_path)
    (folder / "morning.json").write_text(json.dumps({**asked, "offer_kw": 1.0, "kind": "valley_fill"}))
    assert answer_of(folder, "morning")["state"] == "promised"
    select.select([], [], [], 2.5)  # the log first, a second later the books
    assert again.stop() == 0
    assert "Traceback" not in again.told
    awards = read_log_file(tmp_path / "events.sqlite", frozenset({"award"})).events
    assert [(award.invitation, award.power_kw) for award in awards] == [("evening", 5.0), ("morning", 1.0)]
    with open_ledger(tmp_path / "ledger.sqlite", readonly=True) as ledger:
        pending = {transfer.id: transfer.amount for transfer in ledger.transfers()}
    assert sorted(pending.values()) == [800_000, 4_000_000]
    assert run(["ledger", "verify", str(tmp_path)]) == 0
