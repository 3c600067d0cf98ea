"""The linear program: the lowered problem as one sparse matrix, written straight into arrays.

Columns are written block by block, and every law adds its rows; there is no modelling layer. What can
not bind is left out: limits beyond the reach of a subtree, nodes that nobody limits, meters or charges.
"""

from dataclasses import dataclass, field

import numpy as np

from backfeed.plan.lowered import Lowered, active_nodes, export_may_bind, import_may_bind
from backfeed.plan.problem import Bools, Floats, Ints


def _filled(value: Floats | float, size: int) -> Floats:
    """Return a value for each of `size` entries."""
    return value if isinstance(value, np.ndarray) else np.full(size, float(value))


@dataclass
class _Columns:
    """Blocks of columns, collected and then joined."""

    cost: list[Floats] = field(default_factory=list)
    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    count: int = 0

    def add(self, cost: Floats, lower: Floats | float, upper: Floats | float) -> Ints:
        """Add a block and return its column numbers."""
        size = len(cost)
        self.cost.append(cost)
        self.lower.append(_filled(lower, size))
        self.upper.append(_filled(upper, size))
        self.count += size
        return np.arange(self.count - size, self.count)


@dataclass
class _Rows:
    """Rows and their entries, collected and then joined row-wise."""

    lower: list[Floats] = field(default_factory=list)
    upper: list[Floats] = field(default_factory=list)
    at_row: list[Ints] = field(default_factory=list)
    at_column: list[Ints] = field(default_factory=list)
    value: list[Floats] = field(default_factory=list)
    count: int = 0

    def add(self, lower: Floats, upper: Floats) -> Ints:
        """Add a block of empty rows and return their numbers."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.count += len(lower)
        return np.arange(self.count - len(lower), self.count)

    def put(self, row: Ints, column: Ints, value: Floats | float) -> None:
        """Add one entry per row number; one whose row or column is -1 is not there."""
        self.at_row.append(row)
        self.at_column.append(column)
        self.value.append(_filled(value, len(row)))

    def rowwise(self) -> tuple[Ints, Ints, Floats]:
        """Return `(start, index, value)` of the matrix in row-wise form."""
        row, column = np.concatenate(self.at_row), np.concatenate(self.at_column)
        there = np.flatnonzero((row >= 0) & (column >= 0))
        row, column, value = row[there], column[there], np.concatenate(self.value)[there]
        order = np.argsort(row, kind="stable")
        start = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=self.count))))
        return start, column[order], value[order]


@dataclass(frozen=True)
class LinearProgram:
    """The linear program and where its columns stand.

    `charge`, `discharge`, `up`, `down` and `deep` hold the column of every flat entry, -1 where there is
    none; `balance_row` the balance that each (node, step) adds to, -1 for none; `pair_first` and
    `pair_second` the columns of which one at a time may be above 0.
    """

    cost: Floats
    column_lower: Floats
    column_upper: Floats
    row_lower: Floats
    row_upper: Floats
    start: Ints
    index: Ints
    value: Floats
    charge: Ints
    discharge: Ints
    up: Ints
    down: Ints
    deep: Ints
    curtail: Ints
    dynamics_row: Ints
    balance_row: Ints
    promise_row: Ints
    pair_first: Ints
    pair_second: Ints


def build(lowered: Lowered) -> LinearProgram:
    """Build the linear program of a lowered problem."""
    columns, rows = _Columns(), _Rows()
    curve = lowered.energy
    charge = _add_where(columns, lowered.charge_max > 0, lowered.charge_cost, lowered.charge_max)
    discharge = _add_where(columns, lowered.discharge_max > 0, lowered.discharge_cost, lowered.discharge_max)
    up = columns.add(curve.up_cost, 0.0, curve.up_width)
    down = _add_where(columns, curve.down_width > 0, curve.down_cost, curve.down_width)
    deep = _add_where(columns, curve.deep_width > 0, curve.deep_cost, curve.deep_width)
    dynamics = _add_dynamics(rows, lowered, (charge, discharge, up, down, deep))
    tree = _Tree(lowered, columns)
    tree.add_rows(rows, charge, discharge)
    bought, sold = tree.add_inverted(rows, columns)
    _add_peaks(rows, columns, lowered, tree)
    promises = _add_commitments(rows, columns, lowered, charge, discharge)
    start, index, value = rows.rowwise()
    both = np.flatnonzero((charge >= 0) & (discharge >= 0))
    return LinearProgram(
        cost=np.concatenate(columns.cost),
        column_lower=np.concatenate(columns.lower),
        column_upper=np.concatenate(columns.upper),
        row_lower=np.concatenate(rows.lower),
        row_upper=np.concatenate(rows.upper),
        start=start,
        index=index,
        value=value,
        charge=charge,
        discharge=discharge,
        up=up,
        down=down,
        deep=deep,
        curtail=tree.curtail,
        dynamics_row=dynamics,
        balance_row=tree.attached_rows(),
        promise_row=promises,
        pair_first=np.concatenate((bought, charge[both])),
        pair_second=np.concatenate((sold, discharge[both])),
    )


def _add_where(columns: _Columns, there: Bools, cost: Floats, upper: Floats) -> Ints:
    """Add columns `[0, upper]` where `there`; return each entry's column, -1 where there is none."""
    at = np.full(there.shape, -1)
    at[there] = columns.add(cost[there], 0.0, upper[there])
    return at


def _add_dynamics(rows: _Rows, lowered: Lowered, columns: tuple[Ints, Ints, Ints, Ints, Ints]) -> Ints:
    """Add `e[t+1] - e[t] - gain c + loss x = 0`, a row's first step starting from its arrival or previous row."""
    charge, discharge, up, down, deep = columns
    w, reference = lowered.problem.windows, lowered.energy.reference_kwh
    first, size = w.offsets[:-1], len(lowered.row)
    before = np.arange(size) - 1
    before[first] = np.where(w.previous >= 0, w.offsets[w.previous + 1] - 1, -1)
    known = before >= 0
    right = np.where(known, reference[before], 0.0) - reference
    right[first] += lowered.energy_start
    row = rows.add(right, right)
    rows.put(row, charge, -lowered.charge_gain[lowered.row])
    rows.put(row, discharge, lowered.discharge_loss[lowered.row])
    for piece, sign in ((up, 1.0), (down, -1.0), (deep, -1.0)):
        rows.put(row, piece, sign)
        rows.put(row[known], piece[before[known]], -sign)
    return row


class _Tree:
    """The nodes' net powers: columns of what matters, and one balance row for each.

    `n = imported + over - exported - beyond`: within the import limit, beyond it at a price, within the
    export limit, beyond it at a price. A node that does not matter passes its power to the nearest
    ancestor that does.
    """

    def __init__(self, lowered: Lowered, columns: _Columns) -> None:
        nodes, curve = lowered.problem.nodes, lowered.nodes
        self.lowered = lowered
        self.active = active_nodes(lowered)
        split = nodes.metered[:, None] & self.active & ~curve.inverted
        single = self.active & ~split
        self.imported = np.full(self.active.shape, -1)
        self.imported[split] = columns.add(curve.import_cost[split], 0.0, nodes.import_limit_kw[split])
        self.imported[single] = columns.add(
            np.zeros(int(single.sum())), -nodes.export_limit_kw[single], nodes.import_limit_kw[single]
        )
        self.exported = _add_where(columns, split, -curve.export_cost, nodes.export_limit_kw)
        priced = split | curve.within_limits
        over = np.where(priced, curve.import_cost, 0.0) + curve.over_rise
        beyond = curve.beyond_rise - np.where(priced, curve.export_cost, 0.0)
        free = np.full(self.active.shape, np.inf)
        self.over = _add_where(columns, import_may_bind(lowered) & self.active, over, free)
        self.beyond = _add_where(columns, export_may_bind(lowered) & self.active, beyond, free)
        self.curtail = _add_where(columns, curve.curtail_max_kw > 0, np.zeros_like(free), curve.curtail_max_kw)
        self.row: Ints = np.full(self.active.shape, -1)
        self.attached = self._attach()

    def _attach(self) -> Ints:
        """Return the nearest node at or above each that matters, per step; -1 for none."""
        nodes = self.lowered.problem.nodes
        itself = np.broadcast_to(np.arange(len(nodes))[:, None], self.active.shape)
        attached = np.where(self.active, itself, -1)
        for level in nodes.levels[1:]:
            attached[level] = np.where(self.active[level], attached[level], attached[nodes.parent[level]])
        return attached

    def _row_of(self, node: Ints, step: Ints) -> Ints:
        """Return the balance row of the node that (node, step) is attached to, -1 for none."""
        holder = self.attached[node, step]
        return np.where((node >= 0) & (holder >= 0), self.row[holder, step], -1)

    def add_rows(self, rows: _Rows, charge: Ints, discharge: Ints) -> None:
        """Add `n - vehicles - curtailed - children's n = base - pv` for every active (node, step)."""
        lowered, nodes = self.lowered, self.lowered.problem.nodes
        node, step = np.nonzero(self.active)
        if not len(node):
            return
        fixed = np.zeros(self.active.shape)
        into, at = np.nonzero(self.attached >= 0)
        np.add.at(fixed, (self.attached[into, at], at), lowered.nodes.fixed_kw[into, at])
        self.row[node, step] = rows.add(fixed[node, step], fixed[node, step])
        own = self.row[node, step]
        above = nodes.parent[node]
        upward = np.where(above >= 0, self._row_of(above, step), -1)
        for column, sign in ((self.imported, 1.0), (self.over, 1.0), (self.exported, -1.0), (self.beyond, -1.0)):
            rows.put(own, column[node, step], sign)
            rows.put(upward, column[node, step], -sign)
        rows.put(own, self.curtail[node, step], -1.0)
        holder = self._row_of(lowered.node, lowered.step)
        rows.put(holder, charge, -1.0)
        rows.put(holder, discharge, 1.0)

    def attached_rows(self) -> Ints:
        """Return the balance row that a kW at each (node, step) enters, -1 for none."""
        step = np.arange(self.row.shape[-1])
        return np.where(self.attached >= 0, self.row[self.attached, step[None, :]], -1)

    def add_inverted(self, rows: _Rows, columns: _Columns) -> tuple[Ints, Ints]:
        """Add `bought - sold = n` where selling pays more than buying; return the columns of both.

        Where the hull ends at the limits, what is beyond them is priced by itself.
        """
        lowered, curve = self.lowered, self.lowered.nodes
        node, step = np.nonzero(curve.inverted)
        if not len(node):
            return node, node
        zone, step_h, prices = lowered.problem.nodes.zone[node], lowered.problem.axis.step_h, lowered.problem.prices
        buy, sell = step_h * prices.buy_per_kwh[zone, step], step_h * prices.sell_per_kwh[zone, step]
        bought = columns.add(buy, 0.0, np.maximum(curve.hull_high_kw[node, step], 0.0))
        sold = columns.add(-sell, 0.0, np.maximum(-curve.hull_low_kw[node, step], 0.0))
        row = rows.add(np.zeros(len(node)), np.zeros(len(node)))
        rows.put(row, bought, 1.0)
        rows.put(row, sold, -1.0)
        over, beyond = (np.where(curve.within_limits, -1, column) for column in (self.over, self.beyond))
        for column, sign in ((self.imported, -1.0), (over, -1.0), (self.exported, 1.0), (beyond, 1.0)):
            rows.put(row, column[node, step], sign)
        return bought, sold


def _add_peaks(rows: _Rows, columns: _Columns, lowered: Lowered, tree: _Tree) -> None:
    """Add `peak >= n` for every step of a node that is charged for its highest import."""
    charge = lowered.problem.nodes.peak_charge_per_kw
    charged = np.flatnonzero(charge > 0)
    if not len(charged):
        return
    peak = np.full(len(charge), -1)
    peak[charged] = columns.add(charge[charged], 0.0, np.inf)
    node, step = np.nonzero(np.broadcast_to((charge > 0)[:, None], tree.active.shape))
    row = rows.add(np.zeros(len(node)), np.full(len(node), np.inf))
    rows.put(row, peak[node], 1.0)
    for column, sign in ((tree.imported, -1.0), (tree.over, -1.0), (tree.exported, 1.0), (tree.beyond, 1.0)):
        rows.put(row, column[node, step], sign)


def _add_commitments(rows: _Rows, columns: _Columns, lowered: Lowered, charge: Ints, discharge: Ints) -> Ints:
    """Add `sum(x - c) + shortfall >= power` (up) or `sum(c - x) + shortfall >= power` (down)."""
    promised = lowered.problem.commitments
    if not len(promised):
        return np.zeros(0, np.int64)
    shortfall = columns.add(lowered.problem.axis.step_h * promised.shortfall_per_kwh, 0.0, np.inf)
    row = rows.add(promised.power_kw, np.full(len(promised), np.inf))
    rows.put(row, shortfall, 1.0)
    entry, of = entries_under(lowered, promised.node, promised.step)
    sign = np.where(promised.up, -1.0, 1.0)[of]
    rows.put(row[of], charge[entry], sign)
    rows.put(row[of], discharge[entry], -sign)
    return row


def entries_under(lowered: Lowered, node: Ints, step: Ints) -> tuple[Ints, Ints]:
    """Return the flat entries under each (node, step), and which pair each belongs to.

    In a preorder of the tree a subtree is an interval, so entries sorted by (step, preorder) hold the
    answer to every pair as a slice.
    """
    nodes = lowered.problem.nodes
    size = np.ones(len(nodes), np.int64)
    for level in reversed(nodes.levels[1:]):
        np.add.at(size, nodes.parent[level], size[level])
    rank, taken = np.zeros(len(nodes), np.int64), np.ones(len(nodes), np.int64)
    for level in nodes.levels[1:]:
        for k in level:
            above = nodes.parent[k]
            rank[k] = rank[above] + taken[above]
            taken[above] += size[k]
    key = lowered.step * len(nodes) + rank[lowered.node]
    order = np.argsort(key, kind="stable")
    low = np.searchsorted(key[order], step * len(nodes) + rank[node])
    high = np.searchsorted(key[order], step * len(nodes) + rank[node] + size[node])
    many = high - low
    of = np.repeat(np.arange(len(node)), many)
    inside = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
    return order[np.repeat(low, many) + inside], of
