r"""The linear program of perfect foresight.

For every entry `k` of a stay (a step of `h` hours) it chooses charge `c`, discharge `x` (kW at the EVSE) and
the battery's energy `e` at its end:

    e[k] = e[k-1] + h (eta_c c[k] - x[k] / eta_d)                         from the arrival energy on
    floor <= e[k] <= full                                                  the owner's reserve, the car
    h eta_c c[k] <= C + (e_s - C) exp(-h_s / tau) - e[k-1]  ...            the taper, see below
    -export room <= sum (c - x),  sum (q - x) <= import room               cars there at one moment
    e[last] + s - a = owed                                                 missing s, above a
    sum over a car's stays of h x <= what its warranty leaves

and earns `sell x - buy c`, less wear per kWh discharged and per kWh held and hour, less the price of what is
missing, plus the credit for what is above. `owed` is what the judge counts a shortfall from.

**Taper.** Above the knee the battery takes less and less: the energy gained in a step is a concave function
of the energy it starts from (`sim.vehicle`). Its tangents at the knee and half a step before it are rows; the
highest gain they allow differs from the true one by at most `P h^2 / (32 tau)`. A power inside the taper is highest
at the beginning of a step; `q >= c` is that highest power. It is the mean while constant power can be held,
`g <= g1 = r / (1 + r) (C - e)` with `r = h / tau` for the gain `g = h eta_c c` from energy `e`, and on the chord
from there to `(C - e) / (tau eta_c)` at the highest gain `(1 - exp(-r)) (C - e)`:

    h eta_c q >= sigma g - (sigma - 1) g1,     sigma = (r - r / (1 + r)) / (1 - exp(-r) - r / (1 + r)).

**Demand response.** The paid energy `y` of an event lies under the programme's payment curve and is part of the
revenue; the event's delivery, the frozen baseline less the fleet's net energy, is at least the lowest ratio that
is paid.

The program falls apart into components that share no row: stays that can not meet at a tight limit or in an
event are independent. Each is solved on its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backfeed.app.foresight_budget import SharedBudget
from backfeed.app.foresight_grid import SharedLimit, StayGrid
from backfeed.sim.columns import WorldSessions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_TINY_STEP: Final = 1e-3
_TANGENTS: Final = (0.0, 0.5)
"""Where the taper's tangents touch: this part of a step before the knee."""


@dataclass(frozen=True)
class ForesightEvent:
    """An invitation that was accepted, with its frozen baseline.

    Parameters
    ----------
    invitation
        Its id.
    direction
        `peak_shave` delivers what is taken less than the baseline, `valley_fill` what is taken more.
    start_ms, end_ms
        When, on quarter-hours.
    baseline_kwh
        Net energy the fleet would have taken in the whole event [kWh].
    promised_kwh
        The promise [kWh].
    price_per_kwh
        What a paid kWh earns [currency/kWh].
    curve
        Points (ratio, paid multiple of the promise) from the lowest ratio that is paid on, concave.
    takes_part
        Which sessions count, shape `(session,)`; all by default.
    """

    invitation: str
    direction: Literal["peak_shave", "valley_fill"]
    start_ms: int
    end_ms: int
    baseline_kwh: float
    promised_kwh: float
    price_per_kwh: float
    curve: tuple[tuple[float, float], ...]
    takes_part: NDArray[np.bool_] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class StayTerms:
    """What the program knows of every stay beside its physics, shape `(session,)`.

    Parameters
    ----------
    floor_kwh
        What discharging does not go below.
    owed_kwh
        From where missing and surplus energy are counted at the end.
    missing_per_kwh, surplus_per_kwh
        Price of the first, credit for the second [currency/kWh in the battery].
    discharges
        Whether a car may discharge: its cells are warm enough, nobody has said no, and its warranty leaves hours,
        shape `(entry,)`.
    budgets
        What warranties leave.
    """

    floor_kwh: Floats
    owed_kwh: Floats
    missing_per_kwh: Floats
    surplus_per_kwh: Floats
    discharges: NDArray[np.bool_]
    budgets: tuple[SharedBudget, ...]


@dataclass(frozen=True)
class Component:
    """A part of the program that shares no row with the rest; rows and columns are its own.

    Parameters
    ----------
    sessions
        Its sessions, ascending.
    entries
        Their entries, ascending; columns are `c` of all entries, `x`, `e`, then `s` and `a` of all sessions,
        then one `y` for every event that it holds and one `q` for every entry at a shared limit.
    events
        How many events it holds.
    charge_efficiency, discharge_efficiency
        Of every entry.
    matrix
        The rows, shape `(row, column)`.
    """

    sessions: Ints
    entries: Ints
    events: int
    charge_efficiency: Floats
    discharge_efficiency: Floats
    matrix: sparse.csr_array
    row_lower: Floats
    row_upper: Floats
    cost: Floats
    column_lower: Floats
    column_upper: Floats


class Rows:
    """Collects rows of a sparse matrix."""

    def __init__(self) -> None:
        """Begin without rows."""
        self.count = 0
        self._row: list[Ints] = []
        self._column: list[Ints] = []
        self._value: list[Floats] = []
        self.lower: list[Floats] = []
        self.upper: list[Floats] = []

    def add_block(self, terms: Sequence[tuple[Ints, Ints, Floats]], lower: Floats, upper: Floats) -> None:
        """Add `len(lower)` rows; a term is (row within the block, column, value)."""
        for row, column, value in terms:
            self._row.append(row + self.count)
            self._column.append(column)
            self._value.append(np.broadcast_to(value, row.shape).astype(np.float64))
        self.lower.append(lower)
        self.upper.append(upper)
        self.count += len(lower)

    def matrix(self, columns: int) -> sparse.csr_array:
        """Return all rows, shape `(row, column)`."""
        row, column, value = (np.concatenate(parts) for parts in (self._row, self._column, self._value))
        return sparse.csr_array((value, (row, column)), shape=(self.count, columns))


def build_components(
    sessions: WorldSessions,
    grid: StayGrid,
    terms: StayTerms,
    prices: tuple[Floats, Floats],
    limits: Sequence[SharedLimit],
    events: Sequence[ForesightEvent],
) -> Iterator[Component]:
    """Yield the independent parts of the program.

    Parameters
    ----------
    sessions, grid, terms
        The stays.
    prices
        Buy and sell of every step [currency/kWh], wear not included.
    limits
        Sets of entries that share a limit.
    events
        Invitations to deliver on.
    """
    entries, count = len(grid), len(sessions)
    x0, e0, s0, a0, y0 = entries, 2 * entries, 3 * entries, 3 * entries + count, 3 * entries + 2 * count
    q0 = y0 + len(events)
    crowded = np.unique(np.concatenate([np.empty(0, np.int64), *(limit.entries for limit in limits)]))
    columns = q0 + len(crowded)
    rows = Rows()
    _add_stays(rows, sessions, grid, terms, (x0, e0, s0, a0))
    _add_highest_powers(rows, sessions, grid, crowded, (e0, q0))
    _add_limits(rows, limits, crowded, (x0, q0))
    _add_budgets(rows, grid, terms.budgets, x0)
    for index, event in enumerate(events):
        _add_event(rows, grid, event, x0, y0 + index)
    buy, sell = prices
    cost, lower, upper = np.zeros(columns), np.zeros(columns), np.full(columns, np.inf)
    cost[:x0] = buy[grid.step] * grid.hours
    cost[x0:e0] = -sell[grid.step] * grid.hours
    cost[s0:a0], cost[a0:y0] = terms.missing_per_kwh, -terms.surplus_per_kwh
    cost[y0:q0] = [-event.price_per_kwh for event in events]
    upper[:x0] = sessions.charge_max_kw[grid.session]
    upper[x0:e0] = np.where(terms.discharges, sessions.discharge_max_kw[grid.session], 0.0)
    lower[e0:s0] = terms.floor_kwh[grid.session]
    upper[e0:s0] = sessions.energy_full_kwh[grid.session]
    upper[y0:q0] = [event.curve[-1][1] * event.promised_kwh for event in events]
    yield from _split(rows, sessions, grid, (cost, lower, upper), len(events))


def _add_stays(
    rows: Rows, sessions: WorldSessions, grid: StayGrid, terms: StayTerms, offsets: tuple[int, int, int, int]
) -> None:
    """Add dynamics, taper and the end of every stay."""
    x0, e0, s0, a0 = offsets
    k, who, h = np.arange(len(grid)), grid.session, grid.hours
    first, later = grid.first, np.flatnonzero(~grid.first)
    arrival = np.where(first, sessions.energy_arrival_kwh[who], 0.0)
    charge = sessions.charge_efficiency[who] * h
    rows.add_block(
        [
            (k, e0 + k, np.ones(1)),
            (later, e0 + later - 1, -np.ones(1)),
            (k, k, -charge),
            (k, x0 + k, h / sessions.discharge_efficiency[who]),
        ],
        arrival,
        arrival,
    )
    cars = sessions.cars()
    tau, full_kw = cars.taper_h[who], (cars.charge_max_kw * cars.charge_efficiency)[who]
    knee, capacity = cars.capacity_kwh[who] - full_kw * tau, cars.capacity_kwh[who]
    for part in _TANGENTS:
        # Touching at the energy from which full power meets the knee after `part` of the step: gain(e) there,
        # and the slope of the gain, which is -(1 - exp(-(h - s) / tau)).
        s = part * h
        touch, decay = knee - full_kw * s, np.exp(-(h - s) / tau)
        gain = full_kw * s + (capacity - knee) * (1 - decay)
        slope = -(1 - decay)
        at_start = np.where(first, sessions.energy_arrival_kwh[who], 0.0)
        rows.add_block(
            [(k, k, charge), (later, e0 + later - 1, -slope[later])],
            np.full(len(grid), -np.inf),
            gain - slope * touch + slope * at_start,
        )
    i, owed = np.arange(len(sessions)), terms.owed_kwh
    rows.add_block([(i, e0 + grid.last, np.ones(1)), (i, s0 + i, np.ones(1)), (i, a0 + i, -np.ones(1))], owed, owed)


def _add_highest_powers(
    rows: Rows, sessions: WorldSessions, grid: StayGrid, crowded: Ints, offsets: tuple[int, int]
) -> None:
    """Add: `q` is at least the mean power and, inside the taper, the power at the beginning of the step."""
    e0, q0 = offsets
    who, h, q = grid.session[crowded], grid.hours[crowded], np.arange(len(crowded))
    tau, capacity = sessions.cars().taper_h[who], sessions.capacity_kwh[who]
    r = h / tau
    held = r / (1 + r)
    # For tiny steps the quotient loses its digits; its limit is 2.
    sigma = np.where(r > _TINY_STEP, (r - held) / np.maximum(1 - np.exp(-r) - held, _TINY_STEP**2 / 4), 2.0)
    one, first = np.ones(1), grid.first[crowded]
    unbounded = np.full(len(crowded), np.inf)
    rows.add_block([(q, q0 + q, one), (q, crowded, -one)], np.zeros(len(crowded)), unbounded)
    charge, bend, later = sessions.charge_efficiency[who] * h, (sigma - 1) * held, np.flatnonzero(~first)
    start = np.where(first, sessions.energy_arrival_kwh[who], 0.0)
    rows.add_block(
        [(q, q0 + q, charge), (q, crowded, -sigma * charge), (later, e0 + crowded[later] - 1, -bend[later])],
        -bend * (capacity - start),
        unbounded,
    )


def _add_limits(rows: Rows, limits: Sequence[SharedLimit], crowded: Ints, offsets: tuple[int, int]) -> None:
    """Add the limits: imports with the highest power of each step, exports with the mean."""
    if not limits:
        return
    x0, q0 = offsets
    entries = np.concatenate([limit.entries for limit in limits])
    highest = q0 + np.searchsorted(crowded, entries)
    row, one = np.repeat(np.arange(len(limits)), [len(limit.entries) for limit in limits]), np.ones(1)
    free = np.full(len(limits), np.inf)
    import_room = np.array([limit.import_room_kw for limit in limits])
    export_room = np.array([limit.export_room_kw for limit in limits])
    rows.add_block([(row, highest, one), (row, x0 + entries, -one)], -free, import_room)
    rows.add_block([(row, entries, one), (row, x0 + entries, -one)], -export_room, free)


def _add_budgets(rows: Rows, grid: StayGrid, budgets: Sequence[SharedBudget], x0: int) -> None:
    """Add: what a car discharges in all of its stays is within its warranty's budget of energy."""
    capped = [budget for budget in budgets if np.isfinite(budget.energy_kwh)]
    if capped:
        entries = np.concatenate([budget.entries for budget in capped])
        row = np.repeat(np.arange(len(capped)), [len(budget.entries) for budget in capped])
        bound = np.array([budget.energy_kwh for budget in capped])
        rows.add_block([(row, x0 + entries, grid.hours[entries])], np.full(len(capped), -np.inf), bound)


def _add_event(rows: Rows, grid: StayGrid, event: ForesightEvent, x0: int, y: int) -> None:
    """Add: delivery reaches the lowest paid ratio, and the paid energy lies under the payment curve."""
    counts = (grid.from_ms >= event.start_ms) & (grid.until_ms <= event.end_ms)
    if event.takes_part is not None:
        counts &= event.takes_part[grid.session]
    inside = np.flatnonzero(counts)
    sign = 1.0 if event.direction == "peak_shave" else -1.0
    zero = np.zeros(len(inside), dtype=np.int64)
    taken = [(zero, inside, sign * grid.hours[inside]), (zero, x0 + inside, -sign * grid.hours[inside])]
    baseline, promised = sign * event.baseline_kwh, event.promised_kwh
    unbounded = np.array([-np.inf])
    rows.add_block(taken, unbounded, np.array([baseline - event.curve[0][0] * promised]))
    for (ratio, paid), (next_ratio, next_paid) in pairwise(event.curve):
        slope = (next_paid - paid) / (next_ratio - ratio)
        curve = [(row, column, slope * value) for row, column, value in taken]
        bound = slope * baseline + (paid - slope * ratio) * promised
        rows.add_block([*curve, (np.zeros(1, np.int64), np.array([y]), np.ones(1))], unbounded, np.array([bound]))


def _split(
    rows: Rows, sessions: WorldSessions, grid: StayGrid, columns: tuple[Floats, Floats, Floats], events: int
) -> Iterator[Component]:
    """Cut the program into its connected parts."""
    cost, lower, upper = columns
    matrix = rows.matrix(len(cost))
    row_lower, row_upper = np.concatenate(rows.lower), np.concatenate(rows.upper)
    links = sparse.block_array([[None, matrix], [matrix.T, None]], format="csr")
    parts, label = connected_components(links, directed=False)
    row_label, column_label = label[: rows.count], label[rows.count :]
    row_order, column_order = np.argsort(row_label, kind="stable"), np.argsort(column_label, kind="stable")
    sorted_matrix = matrix[row_order][:, column_order]
    row_ends = np.concatenate([[0], np.cumsum(np.bincount(row_label, minlength=parts))])
    column_ends = np.concatenate([[0], np.cumsum(np.bincount(column_label, minlength=parts))])
    entries, count = len(grid), len(sessions)
    for part in range(parts):
        own_rows = row_order[row_ends[part] : row_ends[part + 1]]
        own = column_order[column_ends[part] : column_ends[part + 1]]
        mine = own[own < entries]
        block = sorted_matrix[row_ends[part] : row_ends[part + 1], column_ends[part] : column_ends[part + 1]]
        yield Component(
            sessions=own[(own >= 3 * entries) & (own < 3 * entries + count)] - 3 * entries,
            entries=mine,
            events=int(np.count_nonzero((own >= 3 * entries + 2 * count) & (own < 3 * entries + 2 * count + events))),
            charge_efficiency=sessions.charge_efficiency[grid.session[mine]],
            discharge_efficiency=sessions.discharge_efficiency[grid.session[mine]],
            matrix=block,
            row_lower=row_lower[own_rows],
            row_upper=row_upper[own_rows],
            cost=cost[own],
            column_lower=lower[own],
            column_upper=upper[own],
        )
