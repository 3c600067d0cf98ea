"""Enrolment: what is agreed before a car ever plugs in. Owners with their cars, stations with their sites."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from backfeed.battery.temperature import CellTemperature
from backfeed.battery.warranty import WarrantyTable, load_warranties
from backfeed.core.axis import TimeAxis, utc_offset_ms
from backfeed.core.instant import local_datetime
from backfeed.fleet.owner import Owner
from backfeed.fleet.site import Site


@dataclass(frozen=True)
class Enrolment:
    """Who is known to the platform, and on what terms.

    Parameters
    ----------
    sites
        Connection points by id.
    site_of_location
        The site behind which a location's stations stand.
    owners
        Enrolled owners by token.
    default_owner
        The terms for a token nobody has enrolled: cautious, and with a common car.
    charger_power_kw
        Rated power of the chargers, a magnitude.
    zone
        The time zone of the sites.
    registered
        The site of a station from outside, None for a station that is not registered.
    temperature
        How warm the cells of all cars are.
    warranties
        What the makers of cars promise.
    consents
        Whether an owner's car may be discharged at a site on a local day.
    """

    sites: Mapping[str, Site]
    site_of_location: Mapping[str, str]
    owners: Mapping[str, Owner]
    default_owner: Owner
    charger_power_kw: float
    zone: ZoneInfo
    registered: Callable[[str], str | None] = lambda _station: None
    temperature: CellTemperature = field(default_factory=CellTemperature)
    warranties: WarrantyTable = field(default_factory=load_warranties)
    consents: Callable[[str, str, date], bool] | None = None

    def may_discharge(self, owner_id: str, site_id: str, now_ms: int) -> bool:
        """Return whether an owner's car may be discharged at a site now: unless the owner, or the site, has said no."""
        return self.consents is None or self.consents(owner_id, site_id, local_datetime(now_ms, self.zone).date())

    def utc_offset_ms(self, axis: TimeAxis) -> NDArray[np.int64]:
        """Return how far the sites' wall clock is ahead of UTC at the steps of an axis."""
        return utc_offset_ms(axis, self.zone)

    def owner_of(self, token: str) -> Owner:
        """Return the owner behind a token; a stranger gets the default terms under his own token."""
        owner = self.owners.get(token)
        return owner if owner is not None else replace(self.default_owner, owner_id=token)

    def location_of(self, station: str) -> str:
        """Return the location of a station: that in `{location}-{number}`, or its site for one from outside."""
        return self.registered(station) or station.rpartition("-")[0]

    def site_of(self, station: str) -> Site | None:
        """Return the site of a station, None for a station that belongs nowhere."""
        site_id = self.registered(station) or self.site_of_location.get(station.rpartition("-")[0])
        return self.sites.get(site_id) if site_id is not None else None
