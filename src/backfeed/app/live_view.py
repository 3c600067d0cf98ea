"""The read side of a running platform: what its pages and its health check show."""

import math

import numpy as np

from backfeed import __version__
from backfeed.app.assembly import Parts
from backfeed.app.knowledge import Car
from backfeed.app.planning import base_load_over
from backfeed.app.view import Health, PriceStep, PriceView, SessionView, SiteView, StationView
from backfeed.core.axis import covering
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, format_instant
from backfeed.dispatch.explain import explain
from backfeed.meter.interval import INTERVAL_MS


class LiveView:
    """Shows a platform; every answer is read from its present state."""

    def __init__(self, parts: Parts, tariff: str) -> None:
        """Look at `parts`, whose prices come from `tariff`."""
        self._parts = parts
        self._tariff = tariff

    def health(self) -> Health:
        """Return whether the service can do its work."""
        parts = self._parts
        reasons = parts.log.reasons()
        return Health(
            status="ok" if not reasons else "degraded",
            version=__version__,
            now=format_instant(parts.clock.now_ms()),
            stations_connected=len(parts.gateway.connected_stations()),
            sessions=len(parts.knowledge.state.plugs),
            log_events=parts.log.sequence,
            reasons=reasons,
        )

    def stations(self) -> tuple[StationView, ...]:
        """Return every station that ever connected, by name."""
        enrolment, states = self._parts.knowledge.enrolment, self._parts.knowledge.state.stations
        views = []
        for name in sorted(states):
            site = enrolment.site_of(name)
            views.append(
                StationView(
                    station=name,
                    site=site.site_id if site is not None else "",
                    connected=states[name].connected,
                    since=format_instant(states[name].changed_ms),
                )
            )
        return tuple(views)

    def sessions(self) -> tuple[SessionView, ...]:
        """Return every car that is plugged in, by station and EVSE."""
        return tuple(self._session(car) for car in self._cars())

    def sites(self) -> tuple[SiteView, ...]:
        """Return every connection point, by name."""
        now_ms = self._parts.clock.now_ms()
        enrolment = self._parts.knowledge.enrolment
        axis = covering(now_ms, now_ms + 1, INTERVAL_MS)
        offset_ms = enrolment.utc_offset_ms(axis)
        cars = self._cars()
        views = []
        for name, site in sorted(enrolment.sites.items()):
            here = [car.plug.power_kw for car in cars if car.site_id == name]
            view = SiteView(
                site=name,
                cars=len(here),
                cars_kw=sum(here),
                building_kw=float(base_load_over(site, axis, offset_ms)[0]),
                import_limit_kw=_limit(site.import_limit_kw),
                export_limit_kw=_limit(site.export_limit_kw),
            )
            views.append(view)
        return tuple(views)

    def prices(self) -> PriceView:
        """Return the prices of a day from the running hour on."""
        prices = self._parts.settling.prices
        from_ms = max(self._parts.clock.now_ms() // MS_PER_H * MS_PER_H, prices.axis.start_ms)
        first = prices.axis.index_of(from_ms)
        last = min(first + MS_PER_DAY // INTERVAL_MS, prices.axis.count)
        return PriceView(
            tariff=self._tariff,
            currency=prices.currency,
            timezone=self._parts.knowledge.enrolment.zone.key,
            steps=tuple(
                PriceStep(
                    start=format_instant(int(prices.axis.starts_ms[step])),
                    buy_per_kwh=float(prices.buy_per_kwh[step]),
                    sell_per_kwh=float(prices.sell_per_kwh[step]),
                    period=prices.period[step],
                )
                for step in range(first, last)
            ),
        )

    def _cars(self) -> list[Car]:
        return self._parts.knowledge.cars(self._parts.clock.now_ms())

    def _session(self, car: Car) -> SessionView:
        order = self._parts.steering.standing_order(*car.key)
        capacity_kwh = car.owner.vehicle.capacity_kwh
        plug = car.plug
        return SessionView(
            station=plug.station,
            evse=plug.evse,
            site=car.site_id,
            transaction=plug.transaction,
            owner=car.owner.owner_id,
            since=format_instant(plug.since_ms),
            power_kw=plug.power_kw,
            ordered_kw=order.power_kw if order is not None else None,
            bound_by=order.bound_by if order is not None else None,
            reason=explain(order.bound_by, "en") if order is not None else None,
            reason_zh=explain(order.bound_by, "zh") if order is not None else None,
            discharge_blocked=car.block.value or None,
            discharge_blocked_reason=explain(car.block.value, "en") if car.block else None,
            discharge_blocked_reason_zh=explain(car.block.value, "zh") if car.block else None,
            warranty_left_kwh=_limit(car.discharge_left_kwh),
            soc_low=car.energy_low_kwh / capacity_kwh,
            soc_high=car.energy_high_kwh / capacity_kwh,
            reserve_soc=car.owner.reserve_soc,
            target_soc=car.owner.target_soc,
            departure_stated=_instant(plug.departure_stated_ms),
            departure_promised=_instant(car.promised_ms),
            departure_expected=format_instant(int(np.median(car.left_by_ms))),
        )


def _limit(limit_kw: float) -> float | None:
    return limit_kw if math.isfinite(limit_kw) else None


def _instant(at_ms: int) -> str | None:
    return format_instant(at_ms) if at_ms >= 0 else None
