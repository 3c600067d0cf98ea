"""Contracts as they are met: a fleet, a private pile, a public site; every case is a folder with its sums by hand."""

import tomllib
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, local_midnight_ms
from backfeed.market.tariff import load_tariff, price_axis
from backfeed.meter.interval import INTERVAL_MS, IntervalTable, MeterKey
from backfeed.settle.contract import Contracts
from backfeed.settle.offer_file import Agreement, load_offers
from backfeed.settle.postings import Parties, SettlementDay, settle_day
from backfeed.settle.retail import redeem_credit
from backfeed.settle.transfer import balances

CASES = sorted((Path(__file__).parents[1] / "cases" / "retail").glob("*/case.toml"))


def names(pattern, cars):
    return [pattern.format(n=n) for n in range(cars)] if "{n}" in pattern else [pattern]


def contracts_of(case, folder):
    cars, day = case.get("cars", 1), case["day"]
    said = {"holders": {}, "of_holders": [], "of_sites": []}
    for contract in case["contracts"]:
        owners = names(contract["owners"], cars) if "owners" in contract else []
        holders = [contract["holder"]] if "holder" in contract else owners
        said["holders"] |= dict.fromkeys(owners, contract["holder"]) if "holder" in contract else {}
        said["of_holders"] += [Agreement(who, contract["offer"], day) for who in holders]
        said["of_sites"] += [Agreement(contract["sites"], contract["offer"], day)] if "sites" in contract else []
    return Contracts(
        load_offers(folder / "offers.toml"),
        of_holders=tuple(said["of_holders"]),
        of_sites=tuple(said["of_sites"]),
        holders=said["holders"],
    )


@pytest.mark.parametrize("path", CASES, ids=[path.parent.name for path in CASES])
def test_a_contract_settles_to_the_sums_made_by_hand(path):
    case = tomllib.loads(path.read_text(encoding="utf-8"))
    tariff = load_tariff(case["tariff"])
    midnight = local_midnight_ms(case["day"], ZoneInfo(tariff.timezone))
    prices = price_axis(tariff, TimeAxis(midnight, INTERVAL_MS, 96))
    contracts = contracts_of(case, path.parent)
    keys, rows, wear, plugged = [], [], {}, {}
    for entry in case["energy"]:
        for owner in names(entry["owner"], case.get("cars", 1)):
            holder = contracts.holders.get(owner, owner)
            wear[holder] = wear.get(holder, 0) + entry.get("wear_micro", 0)
            plugged[holder, entry["site"]] = Decimal(str(entry.get("plugged_h", 0)))
            keys.append(MeterKey(f"t{len(keys)}", owner, entry["site"], f"cp-{owner}", 1))
            for column, way in enumerate(("import", "export")):
                if f"{way}_wh" in entry:
                    hour, _, minute = entry[f"{way}_at"].partition(":")
                    energy = [0, 0]
                    energy[column] = entry[f"{way}_wh"]
                    rows.append((len(keys) - 1, midnight + (int(hour) * 60 + int(minute)) * MS_PER_MIN, *energy))
    table = IntervalTable(tuple(keys), *np.array(rows, dtype=np.int64).T)
    day = SettlementDay(
        case["day"].isoformat(),
        midnight + 96 * INTERVAL_MS,
        contracts.by_holder(table),
        prices,
        wear,
        plugged_h=plugged,
    )
    made = settle_day(day, contracts.parties_on(case["day"], Parties())).transfers
    used = redeem_credit(made, case["day"], day.at_ms, "CNY")
    held = balances([*made, *used])
    assert {account: held.get(account, 0) for account in case["expect"]} == case["expect"]
    assert held["clearing:backfeed:CNY"] == 0
