"""From a plan of energies to powers that the physics follows exactly.

A plan says how much energy each battery holds at the end of each step; a charger is told a power. Below
the taper the power is the mean of the step. Inside it a battery that is offered its mean power takes
less than that towards the end, so it is offered more: the power that ends at the planned energy. Such a
power is higher than the mean at the beginning of the step, and where that would break a shared limit, the
offer is lowered to the mean, and what was missed is caught up later.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from backfeed.app.foresight_grid import SharedLimit, StayGrid
from backfeed.sim.columns import WorldSessions
from backfeed.sim.vehicle import CarColumns, advance_fleet, power_kw_fleet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HALVINGS: Final = 40
_CLOSE_KWH: Final = 1e-9


def powers_of(
    sessions: WorldSessions, grid: StayGrid, planned_kwh: Floats, limits: Sequence[SharedLimit]
) -> NDArray[np.float64]:
    """Return what to ask of every charger so that its battery follows the plan [kW], shape `(session, step)`.

    Parameters
    ----------
    sessions, grid
        The stays and their entries.
    planned_kwh
        Energy in the battery at the end of every entry, shape `(entry,)`.
    limits
        What cars that are together must not exceed.
    """
    power = np.zeros((len(sessions), grid.axis.count))
    energy = sessions.energy_arrival_kwh.copy()
    cars = sessions.cars()
    by_step: dict[int, list[SharedLimit]] = defaultdict(list)
    for limit in limits:
        by_step[int(grid.step[limit.entries[0]])].append(limit)
    order = np.argsort(grid.step, kind="stable")
    ends = np.searchsorted(grid.step[order], np.arange(grid.axis.count + 1))
    for step in range(grid.axis.count):
        entries = order[ends[step] : ends[step + 1]]
        if not len(entries):
            continue
        here = grid.session[entries]
        present, hours, before = cars.select(here), grid.hours[entries], energy[here]
        mean, offer = _offers(present, before, planned_kwh[entries], hours)
        if step in by_step:
            offer = _within(by_step[step], entries, present, before, mean, offer)
        power[here, step] = offer
        energy[here] = advance_fleet(present, before, offer, hours, present.energy_full_kwh)
    return power


def _offers(cars: CarColumns, before: Floats, after: Floats, hours: Floats) -> tuple[Floats, Floats]:
    """Return the mean power of a step and the power to offer for it."""
    change = after - before
    mean = np.where(change > 0, change / cars.charge_efficiency, change * cars.discharge_efficiency) / hours
    mean = np.clip(mean, -cars.discharge_max_kw, cars.charge_max_kw)
    limit = cars.energy_full_kwh
    short = np.flatnonzero((change > 0) & (advance_fleet(cars, before, mean, hours, limit) < after - _CLOSE_KWH))
    offer: Floats = mean.copy()
    if len(short):
        some = cars.select(short)
        low, high = mean[short], some.charge_max_kw.copy()
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            enough = advance_fleet(some, before[short], middle, hours[short], some.energy_full_kwh) >= after[short]
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        offer[short] = high
    return mean, offer


def _within(
    limits: Sequence[SharedLimit], entries: Ints, cars: CarColumns, before: Floats, mean: Floats, offer: Floats
) -> Floats:
    """Lower offers until no shared limit is exceeded at the beginning of the step, when powers are highest."""
    offer = offer.copy()
    for limit in limits:
        who = np.searchsorted(np.sort(entries), limit.entries)
        who = np.argsort(entries, kind="stable")[who]
        flows = power_kw_fleet(cars, before, offer, cars.energy_full_kwh)[who]
        if flows.sum() > limit.import_room_kw:
            offer[who] = np.minimum(offer[who], np.where(mean[who] > 0, mean[who], np.inf))
            flows = power_kw_fleet(cars, before, offer, cars.energy_full_kwh)[who]
        excess_in, excess_out = flows.sum() - limit.import_room_kw, -flows.sum() - limit.export_room_kw
        charging, discharging = np.maximum(flows, 0.0).sum(), -np.minimum(flows, 0.0).sum()
        if excess_in > 0:
            offer[who] *= np.where(flows > 0, max(0.0, 1.0 - excess_in / charging), 1.0)
        if excess_out > 0:
            offer[who] *= np.where(flows < 0, max(0.0, 1.0 - excess_out / discharging), 1.0)
    return offer
