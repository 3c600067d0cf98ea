"""Health of every vehicle in a set of charge records, with the wear law for the shape of its fade."""

import numpy as np

from backfeed.battery.health import CarRecords, HealthAssumptions, HealthEstimate, estimate_health
from backfeed.battery.law import Floats, WearLaw
from backfeed.battery.stress import DEFAULT_TEMPERATURE_C, SocPaths, path_damage
from backfeed.core.instant import MS_PER_DAY

TYPICAL_SOC = 0.65
"""Where a car stands on average, for the shape of its storage fade."""


def law_loss_since(law: WearLaw, records: CarRecords, capacity_kwh: float, temperature_c: float) -> Floats:
    """Return the loss since the first record that the law foretells at each session, shape `(session,)`.

    Storage at a typical state of charge, and the cycles of the records themselves, each at its own depth.
    """
    order = np.argsort(records.at_ms, kind="stable")
    age_days = (records.at_ms[order] - records.at_ms[order[0]]) / MS_PER_DAY
    standing = SocPaths.single(np.array([0, MS_PER_DAY]), np.full(2, TYPICAL_SOC))
    calendar = path_damage(law, standing, temperature_c)[0][0] * age_days
    depth = np.clip(np.abs(records.soc_change[order]), 0, 1)
    cycles = np.abs(records.energy_kwh[order]) / capacity_kwh
    cycling = np.cumsum(law.cycling_damage(depth, 2 * depth / 24, np.full(depth.size, temperature_c), cycles))
    loss = np.empty(order.size)
    loss[order] = sum(law.loss(calendar, cycling - cycling[0]))
    return loss


def estimate_car(
    records: CarRecords, law: WearLaw, known: HealthAssumptions, temperature_c: float = DEFAULT_TEMPERATURE_C
) -> HealthEstimate | None:
    """Estimate the health of one car; None where it has too few good sessions."""
    if not records.at_ms.size:
        return None
    loss = law_loss_since(law, records, known.capacity_nominal_kwh, temperature_c)
    return estimate_health(records, loss, known)


def estimate_fleet(
    records: dict[str, CarRecords],
    law: WearLaw,
    capacity_kwh: float,
    *,
    temperature_c: float = 25.0,
    at_battery: bool = False,
) -> dict[str, HealthEstimate | None]:
    """Estimate the health of every vehicle of one model.

    Parameters
    ----------
    records
        Sessions by vehicle.
    law, capacity_kwh
        The model's cell and capacity when new [kWh].
    temperature_c
        Cell temperature over the records [degrees C].
    at_battery
        The energy was measured in the battery, so there is no charger to take off.
    """
    known = (
        HealthAssumptions(capacity_kwh, charge_efficiency=1, discharge_efficiency=1, standby_kw=0)
        if at_battery
        else HealthAssumptions(capacity_kwh)
    )
    return {vehicle: estimate_car(each, law, known, temperature_c) for vehicle, each in sorted(records.items())}
