"""The batteries of a run: from judged worlds, the platform's own log and the books to what owners are shown.

What a battery went through comes from the worlds' truth, as everything the judge says. How healthy it is comes from
what the platform itself has heard: meter readings and the states of charge that cars report (`battery_book`).
What was paid comes from the settled days.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backfeed.app.battery_book import BatteryRecord
from backfeed.app.enrolment import Enrolment
from backfeed.app.report_books import paid_by_owner
from backfeed.battery.car_wear import Budget, UsedCar, budget_left
from backfeed.battery.fleet_wear import FleetBattery, fleet_battery
from backfeed.battery.law import Floats
from backfeed.battery.warranty import policy_for
from backfeed.battery.window_path import Ints, Window, as_paths, window_path
from backfeed.core.instant import local_datetime
from backfeed.core.money import MICRO, WH_PER_KWH
from backfeed.fleet.owner import EnrolledVehicle
from backfeed.report.battery_page import CarHistory
from backfeed.report.figure_battery import Stay
from backfeed.report.summary import WORLD_NAMES, WorldName
from backfeed.settle.account import Role, account_id, holder_of, wear_unit
from backfeed.settle.transfer import Code, Phase, Transfer, balances
from backfeed.sim.truth import Truth

if TYPE_CHECKING:
    from backfeed.battery.stress import SocPaths


def run_batteries(
    enrolment: Enrolment,
    truths: Mapping[WorldName, Truth],
    window_ms: tuple[int, int],
    currency: str,
    transfers: Sequence[Transfer],
    holders: Mapping[str, str],
    known: Mapping[str, BatteryRecord],
) -> FleetBattery:
    """Return the batteries of a run.

    Parameters
    ----------
    enrolment
        The owners and their cars.
    truths
        The worlds that ran, of the same sessions; perfect foresight is no use of a car and left out.
    window_ms
        Start and end of the run.
    currency
        Of the payments.
    transfers
        The books of the world that is shown.
    holders
        Whose account a car settles to; its owner's own where absent.
    known
        What the platform of that world knows of each owner's battery.
    """
    ran = _lived(truths)
    shown = ran[-1]
    window = Window.within(*window_ms)
    rows = _rows_by_car(enrolment, truths[shown])
    cars = _cars(enrolment, truths[shown], rows, (transfers, currency, holders), known)
    paths: dict[str, SocPaths] = {
        name: as_paths([window_path(window, *stay_path(truths[name], mine)) for mine in rows.values()]) for name in ran
    }
    start = local_datetime(window.start_ms, enrolment.zone).date().isoformat()
    return fleet_battery(
        cars,
        paths,
        shown=shown,
        days=window.days,
        start=start,
        currency=currency,
        temperature=enrolment.temperature,
    )


def car_histories(enrolment: Enrolment, truths: Mapping[WorldName, Truth]) -> dict[str, CarHistory]:
    """Return every car's states of charge for its page, as it was used and charged at once."""
    ran = _lived(truths)
    rows = _rows_by_car(enrolment, truths[ran[-1]])

    def stays(name: WorldName, mine: Ints) -> tuple[Stay, ...]:
        return tuple(stay_path(truths[name], mine[at : at + 1]) for at in range(len(mine)))

    return {
        owner: CarHistory(
            stays(ran[-1], mine),
            stays("unmanaged", mine) if "unmanaged" in ran[:-1] else (),
            enrolment.owner_of(owner).reserve_soc,
        )
        for owner, mine in rows.items()
    }


def _lived(truths: Mapping[WorldName, Truth]) -> list[WorldName]:
    """Return the worlds that ran, in order; perfect foresight is no use of a car."""
    return [name for name in WORLD_NAMES if name in truths and name != "foresight"]


def _rows_by_car(enrolment: Enrolment, truth: Truth) -> dict[str, Ints]:
    """Return each owner's sessions with the car that is enrolled, by owner.

    A session in a borrowed car is left out, and so is one that begins while another of the same owner lasts: no
    car stands at two chargers.
    """
    sessions = truth.sessions
    rows: dict[str, list[int]] = {}
    for row in np.argsort(sessions.arrival_ms, kind="stable").tolist():
        owner = enrolment.owner_of(sessions.token[row])
        mine = rows.setdefault(owner.owner_id, [])
        apart = not mine or sessions.arrival_ms[row] >= sessions.departure_ms[mine[-1]]
        if apart and sessions.model[row] == owner.vehicle.model:
            mine.append(row)
    return {owner: np.array(mine, dtype=np.int64) for owner, mine in sorted(rows.items()) if mine}


def stay_path(truth: Truth, rows: Ints) -> tuple[Ints, Floats]:
    """Return a car's state of charge over its stays: each arrival, then the end of each segment."""
    sessions, segments = truth.sessions, truth.segments
    bounds = np.searchsorted(segments.session, np.array([rows, rows + 1]))
    at_ms, soc = [], []
    for row, first, last in zip(rows.tolist(), *bounds.tolist(), strict=True):
        at_ms += [sessions.arrival_ms[row : row + 1], segments.until_ms[first:last]]
        energy = np.append(sessions.energy_arrival_kwh[row], segments.energy_end_kwh[first:last])
        soc.append(energy / sessions.capacity_kwh[row])
    return np.concatenate(at_ms), np.concatenate(soc)


class Settled(NamedTuple):
    """What settled days come to: energy given [kWh], paid for wear and in all [currency]."""

    settled_kwh: float
    wear_paid: float
    paid: float


def settled_by_car(
    transfers: Sequence[Transfer], currency: str, holders: Mapping[str, str], given_kwh: Mapping[str, float]
) -> dict[str, Settled]:
    """Return what was settled for every car, by the books; the cars of one holder share by what they gave."""
    given_wh: dict[str, int] = {}
    for transfer in transfers:
        if transfer.code is Code.ENERGY_DISCHARGED and transfer.phase in (Phase.SINGLE, Phase.POST):
            for side, sign in ((transfer.debit, 1), (transfer.credit, -1)):
                role, holder, _ = holder_of(side)
                if role is Role.OWNER:
                    given_wh[holder] = given_wh.get(holder, 0) + sign * transfer.amount
    held, paid = balances(transfers), paid_by_owner(transfers)
    shared: dict[str, list[str]] = {}
    for owner in given_kwh:
        shared.setdefault(holders.get(owner, owner), []).append(owner)
    found = {}
    for holder, owners in shared.items():
        whole = sum(given_kwh[owner] for owner in owners)
        worn = -held.get(account_id(Role.OWNER, holder, wear_unit(currency)), 0) / MICRO
        for owner in owners:
            part = given_kwh[owner] / whole if whole > 0 else 1 / len(owners)
            income = paid.get(holder, {}).get(currency, 0.0)
            found[owner] = Settled(part * given_wh.get(holder, 0) / WH_PER_KWH, part * worn, part * income)
    return found


def _cars(
    enrolment: Enrolment,
    truth: Truth,
    rows: Mapping[str, Ints],
    books: tuple[Sequence[Transfer], str, Mapping[str, str]],
    known: Mapping[str, BatteryRecord],
) -> list[UsedCar]:
    segments, count = truth.segments, len(truth.sessions)
    charged, given, given_h = (
        np.bincount(segments.session, weights=weights, minlength=count)
        for weights in (
            np.maximum(segments.energy_kwh, 0.0),
            np.maximum(-segments.energy_kwh, 0.0),
            np.where(segments.energy_kwh < 0, segments.hours, 0.0),
        )
    )
    money = settled_by_car(*books, {owner: float(given[mine].sum()) for owner, mine in rows.items()})
    cars = []
    for owner, mine in rows.items():
        vehicle = enrolment.owner_of(owner).vehicle
        cars.append(
            UsedCar(
                name=owner,
                model=vehicle.model,
                chemistry=vehicle.chemistry,
                capacity_kwh=vehicle.capacity_kwh,
                sessions=len(mine),
                charged_kwh=float(charged[mine].sum()),
                discharged_kwh=float(given[mine].sum()),
                discharged_h=float(given_h[mine].sum()),
                budget=warranty_left(enrolment, vehicle, float(given[mine].sum()), float(given_h[mine].sum())),
                settled_kwh=money[owner].settled_kwh,
                wear_paid=money[owner].wear_paid,
                paid=money[owner].paid,
                health=known[owner].measured if owner in known else None,
                records=known[owner].stretches if owner in known else 0,
            )
        )
    return cars


def warranty_left(enrolment: Enrolment, vehicle: EnrolledVehicle, discharged_kwh: float, discharged_h: float) -> Budget:
    """Return what a car's warranty leaves, by the papers and the table that plan and dispatch go by."""
    return budget_left(
        policy_for(vehicle.model, enrolment.warranties), vehicle.warranty_use(discharged_kwh, discharged_h)
    )
