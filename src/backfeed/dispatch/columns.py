"""What dispatch decides on: EVSEs with a car, and the sites they stand at, as columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EvseColumns:
    """EVSEs that a car is plugged into, one row each.

    Parameters
    ----------
    station, evse
        Which EVSE it is.
    site
        Row of its site in `SiteColumns`.
    charge_max_kw, discharge_max_kw
        What station and car can do: magnitudes, AC at the EVSE.
    energy_low_kwh, energy_high_kwh
        The band in which the battery's energy is believed to lie. Promises are kept at its low edge.
    reserve_kwh, target_kwh, full_kwh
        Battery energy that discharging never goes below, that the owner needs at departure, and at
        which the car stops.
    departure_ms
        The departure for which the target is promised; -1 where none is known.
    charge_efficiency, discharge_efficiency
        One way, between the EVSE and the battery.
    planned_kw
        What the schedule wants, charging positive; NaN for a car that no plan has seen yet.
    charging_only
        True where nothing may flow back.
    step_s
        How long an order of this tick may last [s], the same for all.
    """

    station: tuple[str, ...]
    evse: Ints
    site: Ints
    charge_max_kw: Floats
    discharge_max_kw: Floats
    energy_low_kwh: Floats
    energy_high_kwh: Floats
    reserve_kwh: Floats
    target_kwh: Floats
    full_kwh: Floats
    departure_ms: Ints
    charge_efficiency: Floats
    discharge_efficiency: Floats
    planned_kw: Floats
    charging_only: Bools
    step_s: float

    def __len__(self) -> int:
        """Return the number of EVSEs."""
        return len(self.station)


@dataclass(frozen=True, slots=True)
class SiteColumns:
    """Sites with the limits of their connections, one row each; also feeders and substations above them.

    Parameters
    ----------
    import_limit_kw, export_limit_kw
        Magnitudes at the connection point; infinity where there is no limit.
    base_load_kw
        What the building takes now; below 0 where its sun gives more than it takes. For a place above others
        what it carries besides them.
    grid_import_limit_kw, grid_export_limit_kw
        What the grid operator allows now, where that is another matter than the connection.
    parent
        Row of the place above, -1 for none; None where every site stands by itself.
    """

    import_limit_kw: Floats
    export_limit_kw: Floats
    base_load_kw: Floats
    grid_import_limit_kw: Floats | None = None
    grid_export_limit_kw: Floats | None = None
    parent: Ints | None = None

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.import_limit_kw)
