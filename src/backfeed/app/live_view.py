"""The read side of a running platform: what its pages and its health check show."""

import numpy as np

from backfeed import __version__
from backfeed.app.assembly import Parts
from backfeed.app.knowledge import Car
from backfeed.app.view import Health, SessionView, StationView
from backfeed.core.instant import format_instant
from backfeed.dispatch.explain import explain


class LiveView:
    """Shows a platform; every answer is read from its present state."""

    def __init__(self, parts: Parts) -> None:
        """Look at `parts`."""
        self._parts = parts

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
        return tuple(self._session(car) for car in self._parts.knowledge.cars(self._parts.clock.now_ms()))

    def _session(self, car: Car) -> SessionView:
        order = self._parts.steering.standing_order(*car.key)
        capacity_kwh = car.owner.vehicle.capacity_kwh
        plug = car.plug
        return SessionView(
            station=plug.station,
            evse=plug.evse,
            transaction=plug.transaction,
            owner=car.owner.owner_id,
            since=format_instant(plug.since_ms),
            power_kw=plug.power_kw,
            ordered_kw=order.power_kw if order is not None else None,
            bound_by=order.bound_by if order is not None else None,
            reason=explain(order.bound_by, "en") if order is not None else None,
            soc_low=car.energy_low_kwh / capacity_kwh,
            soc_high=car.energy_high_kwh / capacity_kwh,
            reserve_soc=car.owner.reserve_soc,
            target_soc=car.owner.target_soc,
            departure_stated=format_instant(plug.departure_stated_ms) if plug.departure_stated_ms >= 0 else None,
            departure_promised=format_instant(int(np.min(car.left_by_ms))),
        )
