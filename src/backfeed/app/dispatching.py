"""Dispatching: from the cars and their plan to what every EVSE is to do until the next tick.

Dispatch decides for the stations that do what they are told. A station that is away or did not
confirm its last order is counted at the worst it may be doing, and the others share what is left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from backfeed.app.commitment import Commitment
from backfeed.app.enrolment import Enrolment
from backfeed.app.knowledge import Car
from backfeed.app.planning import Planning
from backfeed.app.steering import Steering, Wish
from backfeed.core.axis import covering
from backfeed.core.instant import MS_PER_H, MS_PER_S
from backfeed.dispatch.allocate import allocate
from backfeed.dispatch.authority import Authority
from backfeed.dispatch.bounds import METERING_ERROR
from backfeed.dispatch.columns import EvseColumns, Floats, SiteColumns
from backfeed.dispatch.guard import GuardLimits, Place, guard
from backfeed.dispatch.limit import MORE
from backfeed.fleet.order import Mode
from backfeed.meter.interval import INTERVAL_MS

POWER_MIN_KW = 0.02
"""Below this a power is 0: chargers can not follow it, and it would keep a contactor closed."""


class Policy(StrEnum):
    """What the platform is allowed to do with a car."""

    UNMANAGED = "unmanaged"
    V1G = "v1g"
    V2G = "v2g"


@dataclass
class Dispatching:
    """Turns the state of the fleet into wishes.

    Parameters
    ----------
    policy
        What may be done.
    enrolment, planning, steering
        Who is here, what the plan wants, what was last ordered.
    stations
        Every known station and whether its link is up.
    control_interval_ms
        How long an order has to last.
    interventions
        How often the guard had to step in: a fault above it each time.
    """

    policy: Policy
    enrolment: Enrolment
    planning: Planning
    steering: Steering
    stations: Callable[[], Mapping[str, bool]]
    control_interval_ms: int
    interventions: int = 0

    def wishes(self, now_ms: int, cars: Sequence[Car], commitments: Sequence[Commitment]) -> list[Wish]:
        """Return what every plugged EVSE that can be reached is to do."""
        up = self.stations()
        reached = [car for car in cars if up.get(car.plug.station, False)]
        steered = [car for car in reached if self.steering.is_confirmed(*car.key)]
        doubted = [car for car in reached if not self.steering.is_confirmed(*car.key)]
        wishes = [self._recovery(car) for car in doubted if not self.steering.is_waiting(*car.key)]
        if not steered:
            return wishes
        names = sorted(self.enrolment.sites)
        evses = self._columns(now_ms, steered, names)
        sites = self._sites(now_ms, {car.key for car in steered}, names, up)
        decided_kw, authority = self._decided(now_ms, evses, sites, (cars, steered), commitments)
        power = self._guarded(decided_kw, evses, sites, names)
        for car, power_kw, bound_by in zip(steered, power, authority, strict=True):
            wishes.append(self._wish(now_ms, car, float(power_kw), Authority(int(bound_by)).word))
        return wishes

    def _decided(
        self,
        now_ms: int,
        evses: EvseColumns,
        sites: SiteColumns,
        who: tuple[Sequence[Car], Sequence[Car]],
        commitments: Sequence[Commitment],
    ) -> tuple[Floats, NDArray[np.int8]]:
        """Return the power of every steered EVSE and who bound it.

        `who` are all cars and those that are steered. Cars whose owners take no part in what is promised now are
        decided on as on any day; the promise is kept by the others, inside what they leave.
        """
        cars, steered = who
        now = [each for each in commitments if each.target_at(now_ms) is not None]
        part = np.array([all(each.takes_part(car.owner.owner_id) for each in now) for car in steered], dtype=np.bool_)
        if part.all():
            allocation = allocate(evses, sites, self._target_kw(now_ms, evses, cars, steered, now), now_ms)
            return allocation.power_kw, allocation.bound_by
        allocation = allocate(evses, sites, None, now_ms)
        power, bound_by = allocation.power_kw.copy(), allocation.bound_by.copy()
        inside = [car for car, takes in zip(steered, part.tolist(), strict=True) if takes]
        if inside:
            names = sorted(self.enrolment.sites)
            own = self._columns(now_ms, inside, names)
            everyone = [car for car in cars if all(each.takes_part(car.owner.owner_id) for each in now)]
            target_kw = self._target_kw(now_ms, own, everyone, inside, now)
            left = _left_by(power[~part], evses.site[~part], sites)
            kept = allocate(own, left, target_kw, now_ms)
            power[part], bound_by[part] = kept.power_kw, kept.bound_by
        return power, bound_by

    def _guarded(self, wanted_kw: Floats, evses: EvseColumns, sites: SiteColumns, names: list[str]) -> Floats:
        """Hold the setpoints to ratings and site limits once more, trusting neither plan nor allocation."""
        at_sites = Place(
            "site", tuple(names), evses.site, sites.base_load_kw, sites.import_limit_kw, sites.export_limit_kw
        )
        limits = GuardLimits(evses.charge_max_kw, evses.discharge_max_kw, (at_sites,), ramp_share_per_min=np.inf)
        guarded = guard(wanted_kw, np.zeros_like(wanted_kw), self.control_interval_ms / MS_PER_S, limits)
        self.interventions += len(guarded.interventions)
        return guarded.power_kw

    def _recovery(self, car: Car) -> Wish:
        """Ask a station that has not confirmed for what it may always do: take its share of the site."""
        safe_kw = self.steering.safe_kw(*car.key)
        return Wish(*car.key, car.site_id, car.plug.transaction, safe_kw, Mode.CHARGING_ONLY, "unconfirmed")

    def _columns(self, now_ms: int, cars: Sequence[Car], names: list[str]) -> EvseColumns:
        row_of = {name: row for row, name in enumerate(names)}
        rows = [self._row(now_ms, car) for car in cars]
        numbers = np.array(rows, dtype=np.float64).T.copy()  # compiled code wants columns that stand together
        return EvseColumns(
            station=tuple(car.plug.station for car in cars),
            evse=np.array([car.plug.evse for car in cars], dtype=np.int64),
            site=np.array([row_of[car.site_id] for car in cars], dtype=np.int64),
            charge_max_kw=numbers[0],
            discharge_max_kw=numbers[1],
            energy_low_kwh=numbers[2],
            energy_high_kwh=numbers[3],
            reserve_kwh=numbers[4],
            target_kwh=numbers[5],
            full_kwh=numbers[6],
            departure_ms=np.array([car.promised_ms for car in cars], dtype=np.int64),
            charge_efficiency=numbers[7],
            discharge_efficiency=numbers[8],
            planned_kw=numbers[9],
            charging_only=np.array([self.policy is not Policy.V2G or car.discharge_max_kw == 0 for car in cars]),
            step_s=self.control_interval_ms / MS_PER_S,
        )

    def _row(self, now_ms: int, car: Car) -> tuple[float, ...]:
        """Return a car's numbers, in the order in which `_columns` takes them."""
        vehicle = car.owner.vehicle
        return (
            car.charge_max_kw,
            self._discharge_max_kw(car),
            car.energy_low_kwh,
            car.energy_high_kwh,
            car.reserve_kwh,
            car.target_kwh,
            vehicle.capacity_kwh,
            vehicle.charge_efficiency,
            vehicle.discharge_efficiency,
            self._planned_kw(now_ms, car),
        )

    def _discharge_max_kw(self, car: Car) -> float:
        """Return the power at which an order of full length stays within what the car's warranty still allows."""
        if car.discharge_left_h <= 0:
            return 0.0
        step_h = self.control_interval_ms / MS_PER_H
        return min(car.discharge_max_kw, car.discharge_left_kwh / (step_h * (1 + METERING_ERROR)))

    def _planned_kw(self, now_ms: int, car: Car) -> float:
        if self.policy is Policy.UNMANAGED:
            return car.charge_max_kw
        planned = self.planning.planned(car)
        power_kw = planned.at(now_ms) if planned is not None else None
        return np.nan if power_kw is None else power_kw

    def _sites(
        self, now_ms: int, steered: set[tuple[str, int]], names: list[str], up: Mapping[str, bool]
    ) -> SiteColumns:
        """Return what the steered cars may share: the limits less what the others may be doing."""
        # An order may hold into the next quarter-hour, so the worse building load of the two counts each way.
        axis = covering(now_ms, now_ms + INTERVAL_MS, INTERVAL_MS)
        offset = self.enrolment.utc_offset_ms(axis)
        sites = [self.enrolment.sites[name] for name in names]
        load_kw = np.array([site.base_load_over(axis, offset)[:2] for site in sites])
        now_kw = load_kw[:, 0]
        taken = np.stack([load_kw.max(axis=1) - now_kw, now_kw - load_kw.min(axis=1)])
        row_of = {name: row for row, name in enumerate(names)}
        for key, site_id in self.steering.known_evses():
            followed = self.steering.is_confirmed(*key) and self.steering.has_default(*key)
            doubtful = not up.get(key[0], False) or not followed
            if doubtful and key not in steered:
                taken[:, row_of[site_id]] += MORE * np.array(self.steering.exposure_kw(*key))
        return SiteColumns(
            import_limit_kw=np.array([site.import_limit_kw for site in sites]) - taken[0],
            export_limit_kw=np.array([site.export_limit_kw for site in sites]) - taken[1],
            base_load_kw=now_kw,
        )

    def _target_kw(
        self,
        now_ms: int,
        evses: EvseColumns,
        cars: Sequence[Car],
        steered: Sequence[Car],
        commitments: Sequence[Commitment],
    ) -> float | None:
        """Return the sum that the steered cars must have, None if the plan alone keeps every promise."""
        if not commitments:
            return None
        alone = {car.key for car in cars} - {car.key for car in steered}
        others_kw = sum(car.plug.power_kw for car in cars if car.key in alone)
        planned_kw = float(np.nan_to_num(evses.planned_kw).sum()) + others_kw
        for commitment in commitments:
            bound_kw = commitment.target_at(now_ms)
            if bound_kw is None:
                continue
            broken = planned_kw > bound_kw if commitment.is_upper else planned_kw < bound_kw
            if broken:
                return bound_kw - others_kw
        return None

    def _wish(self, now_ms: int, car: Car, power_kw: float, bound_by: str) -> Wish:
        power_kw = 0.0 if abs(power_kw) < POWER_MIN_KW else power_kw
        steers_both_ways = self.policy is Policy.V2G and car.discharge_max_kw > 0
        # A car ends at its driver's limit, to the watt-hour, while it merely charges. One that hides its state of
        # charge shows by that where it stands, and once there it may be charged beyond.
        planned = self.planning.planned(car)
        tells_and_passes = car.plug.soc_ms >= 0 and (planned is None or planned.passes_target)
        by_setpoint = steers_both_ways and (power_kw < 0 or car.is_at_limit or tells_and_passes)
        wish = Wish(
            *car.key,
            car.site_id,
            car.plug.transaction,
            power_kw if steers_both_ways else max(power_kw, 0.0),
            Mode.SETPOINT if by_setpoint else Mode.CHARGING_ONLY,
            bound_by,
        )
        if power_kw >= 0:
            return wish
        vehicle = car.owner.vehicle
        spare_kwh = max(car.energy_low_kwh - car.reserve_kwh, 0.0)
        least_kwh = min(spare_kwh * vehicle.discharge_efficiency, car.discharge_left_kwh / (1 + METERING_ERROR))
        lasts_ms = int(min(least_kwh / -power_kw, car.discharge_left_h) * MS_PER_H)
        return replace(wish, lapses_ms=now_ms + max(lasts_ms, MS_PER_S))


def _left_by(power_kw: Floats, site: NDArray[np.int64], sites: SiteColumns) -> SiteColumns:
    """Return what cars with these powers leave of their sites' limits, in the worst case that any of them goes."""
    count = len(sites.base_load_kw)
    took = np.bincount(site, weights=np.maximum(power_kw, 0.0), minlength=count)
    gave = np.bincount(site, weights=np.maximum(-power_kw, 0.0), minlength=count)
    return replace(
        sites,
        import_limit_kw=sites.import_limit_kw - MORE * took,
        export_limit_kw=sites.export_limit_kw - MORE * gave,
    )
