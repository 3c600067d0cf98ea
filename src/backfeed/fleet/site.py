"""Sites: places behind one meter, with limits each way and a load of their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """A place behind one connection to the grid.

    Parameters
    ----------
    site_id
        Name of the site.
    locations
        The locations whose stations stand here.
    import_limit_kw, export_limit_kw
        Magnitudes at the connection point; infinity where there is no limit. An export limit of 0
        forbids reverse flow.
    base_load_kw
        The building's load over the day, one value a quarter-hour of the local day (96), constant if
        all are equal. It counts against both limits.
    """

    site_id: str
    locations: tuple[str, ...]
    import_limit_kw: float
    export_limit_kw: float
    base_load_kw: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Charger:
    """One EVSE of a charging station."""

    station: str
    evse: int
    site_id: str
    location: str
    power_max_kw: float
    bidirectional: bool
