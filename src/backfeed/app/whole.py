"""Keeping owners whole: what charging at once would have cost them, from the platform's own meter and enrolment."""

from decimal import Decimal

from backfeed.app.knowledge import Knowledge
from backfeed.market.price import PriceSeries
from backfeed.meter.interval import IntervalTable, MeterKey
from backfeed.settle.contract import Contracts
from backfeed.settle.unmanaged import ChargingTerms, unmanaged_bills


def unmanaged_of(
    knowledge: Knowledge, contracts: Contracts, table: IntervalTable, prices: PriceSeries
) -> dict[str, int]:
    """Return what charging at once would have cost every account holder, by `settle.unmanaged`.

    Parameters
    ----------
    knowledge
        When cars were plugged in, and what they are.
    contracts
        Whose account a car settles to.
    table
        What was metered in the period.
    prices
        On an axis that covers it.
    """
    terms = [_terms(knowledge, key) for key in table.keys]
    return unmanaged_bills(contracts.by_holder(table), terms, prices)


def _terms(knowledge: Knowledge, key: MeterKey) -> ChargingTerms:
    vehicle = knowledge.owner_of_transaction(key).vehicle
    stay = knowledge.stays.stay(key, vehicle.capacity_kwh)
    return ChargingTerms(
        power_kw=Decimal(str(min(knowledge.enrolment.charger_power_kw, vehicle.charge_max_kw))),
        round_trip=Decimal(str(vehicle.charge_efficiency)) * Decimal(str(vehicle.discharge_efficiency)),
        from_ms=stay.from_ms if stay is not None else 0,
    )
