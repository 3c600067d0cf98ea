"""Limits of places: how much room is left when meters and chargers err against us, and a car may leave.

With m the error, charging counts (1 + m) times towards import and discharging (1 + m) times towards
export. Neither counts against the other: a car that feeds its neighbour may be gone the next moment, and
the limit must hold then as well. What stands below a place besides its chargers is measured where the limit
is and counts once.

So every place leaves its EVSEs two rooms [kW], one for all that charges and one for all that discharges:

    import room = (import limit - base load) / (1 + m),   export room = (export limit + base load) / (1 + m)

less what the additions of so many numbers may be wrong by. A sum of n positive numbers in any order misses
the truth by less than n units in the last place of itself: whoever adds up the orders, in whatever order, finds
the limit kept to the last bit.
"""

from typing import NamedTuple

import numpy as np

from backfeed.dispatch.bounds import METERING_ERROR
from backfeed.dispatch.columns import Bools, Floats, Ints, SiteColumns
from backfeed.dispatch.tree import Arrangement

MORE = 1.0 + METERING_ERROR

_UNIT = float(np.finfo(np.float64).eps)
_FEW = 8
"""Roundings besides the additions: the factor, the limit, the last difference."""


class Limits(NamedTuple):
    """The limits that count at every place, and whose they are, in the tree's order.

    Parameters
    ----------
    base_load_kw
        Of the place alone.
    load_kw
        Of the place and all below it.
    import_limit_kw, export_limit_kw
        The tighter of connection and grid operator.
    import_room_kw, export_room_kw
        What all EVSEs at and below it may charge, and discharge [kW, >= 0].
    import_by_grid, export_by_grid
        True where the grid operator's limit is the tighter one.
    """

    base_load_kw: Floats
    load_kw: Floats
    import_limit_kw: Floats
    export_limit_kw: Floats
    import_room_kw: Floats
    export_room_kw: Floats
    import_by_grid: Bools
    export_by_grid: Bools


def limits_of(sites: SiteColumns, tree: Arrangement) -> Limits:
    """Return the limits that count at every place."""
    place, slices = tree.place, tree.slices
    none = np.full(len(sites), np.inf)
    grid_import = none if sites.grid_import_limit_kw is None else sites.grid_import_limit_kw
    grid_export = none if sites.grid_export_limit_kw is None else sites.grid_export_limit_kw
    import_limit = np.minimum(sites.import_limit_kw, grid_import)[place]
    export_limit = np.minimum(sites.export_limit_kw, grid_export)[place]
    base = sites.base_load_kw[place]
    load, size = slices.summed(base), slices.summed(np.abs(base))
    count = slices.stop - slices.first + len(sites) + _FEW
    share = 1.0 - 2.0 * count * _UNIT
    return Limits(
        base_load_kw=base,
        load_kw=load,
        import_limit_kw=import_limit,
        export_limit_kw=export_limit,
        import_room_kw=_room(import_limit, -load, size, count) * share,
        export_room_kw=_room(export_limit, load, size, count) * share,
        import_by_grid=(grid_import < sites.import_limit_kw)[place],
        export_by_grid=(grid_export < sites.export_limit_kw)[place],
    )


def _room(limit: Floats, relief: Floats, size: Floats, count: Ints) -> Floats:
    """Return what a limit leaves, rounded downwards; infinity where there is none."""
    kept = np.where(np.isinf(limit), 0.0, 2.0 * count * _UNIT * (size + np.abs(limit)))
    return np.asarray(np.maximum(limit + relief - kept, 0.0) / MORE, dtype=np.float64)
