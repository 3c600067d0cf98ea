"""The read side of a running platform: what its pages and its health check show."""

import math
from collections.abc import Callable

import numpy as np

from backfeed import __version__
from backfeed.app.assembly import Parts
from backfeed.app.battery_book import RECENT_MS
from backfeed.app.knowledge import Car
from backfeed.app.live_battery import SeenFleet, given_kwh, seen_cars
from backfeed.app.scene import Scene
from backfeed.app.view import Health, PriceStep, PriceView, SessionView, SiteView, StationView
from backfeed.battery.fleet_wear import FleetBattery
from backfeed.core.axis import covering
from backfeed.core.instant import MS_PER_DAY, MS_PER_H, format_instant
from backfeed.dispatch.explain import explain
from backfeed.meter.interval import INTERVAL_MS
from backfeed.report.battery_index import INDEX_FILE, PAGES_FOLDER, page_name
from backfeed.settle.transfer import Transfer, transfer_day


class LiveView:
    """Shows a platform; every answer is read from its present state."""

    def __init__(self, parts: Parts, scene: Scene) -> None:
        """Look at the parts of a scene."""
        self._parts = parts
        self._scene = scene
        self._books: tuple[int, list[Transfer]] = (-1, [])

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
                building_kw=float(site.base_load_over(axis, offset_ms)[0]),
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
            tariff=self._scene.tariff.tariff_id,
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

    def batteries(self) -> Callable[[], FleetBattery]:
        """Return what tells how the batteries of the last weeks' cars have fared."""
        seen = self._seen()
        return lambda: seen.fleet(list(seen.cars))[0]

    def battery_page(self, page: str) -> Callable[[], str | None]:
        """Return what writes a page on batteries."""
        seen = self._seen("" if page == INDEX_FILE else page)
        if page == INDEX_FILE:
            return seen.index
        return lambda: seen.page(next(iter(seen.cars))) if seen.cars else None

    def _seen(self, page: str = "") -> SeenFleet:
        """Return what is known of the cars of the last weeks, or of that whose page has a name."""
        parts, pilot = self._parts, self._scene.pilot
        book, now_ms = parts.knowledge.batteries, parts.clock.now_ms()
        given, count = given_kwh(book), parts.ledger.count()
        if count != self._books[0]:
            # Days are settled once a day: the books are read once a day, if somebody asks.
            since = format_instant(now_ms - RECENT_MS - MS_PER_DAY)
            recent = [transfer for transfer in parts.ledger.transfers() if transfer_day(transfer) >= since]
            self._books = count, recent
        return SeenFleet(
            cars=seen_cars(book, [owner for owner in given if page in {"", page_name(owner)}], now_ms),
            given_kwh=given,
            enrolment=parts.knowledge.enrolment,
            transfers=self._books[1],
            holders=self._scene.contracts.holders,
            day_start_ms=book.day_start_ms,
            title=pilot.pilot.name,
            currency=pilot.pilot.currency,
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
            battery_page=f"/{PAGES_FOLDER}/{page_name(car.owner.owner_id)}",
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
