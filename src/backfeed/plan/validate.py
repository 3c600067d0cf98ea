"""What makes a problem unusable: rules over columns, each returning every offending row.

A rule does not stop at the first row and the rules do not stop at the first rule, so that a person
mends a file once. Rows are counted as a text editor shows a CSV file: the header is row 1.
"""

from collections.abc import Callable, Iterator

import numpy as np

from backfeed.core.problem import InputError, Problem
from backfeed.plan.problem import ENERGY_TOLERANCE_KWH, NO_PARENT, Bools, Floats, Ints, Nodes, PlanProblem, Windows

HEADER_ROWS = 2
"""The first row of a table stands in line 2 of its file."""

_FINITE_COLUMNS = (
    "charge_max_kw",
    "discharge_max_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "energy_target_kwh",
    "energy_min_kwh",
    "energy_max_kwh",
    "wear_per_kwh",
    "hold_per_kwh_h",
    "energy_value_per_kwh",
)

_MAGNITUDE_COLUMNS = ("charge_max_kw", "discharge_max_kw", "energy_min_kwh", "energy_target_kwh", "wear_per_kwh")
_EFFICIENCY_COLUMNS = ("charge_efficiency", "discharge_efficiency")


def at(table: str, row: int, column: str) -> str:
    """Name a place in a table: `vehicles.csv, row 7, column energy_max_kwh`."""
    return f"{table}, row {row + HEADER_ROWS}, column {column}"


def find_problems(problem: PlanProblem, suffix: str = "") -> list[Problem]:
    """Return everything that is wrong with a problem, nothing if it can be solved.

    Parameters
    ----------
    problem
        The problem; its columns must have equal lengths (an assertion, not a Problem).
    suffix
        Appended to the table names, to make them file names (".csv").
    """
    _assert_shapes(problem)
    tree = list(_tree_problems(problem.nodes, f"nodes{suffix}"))
    found = [*tree, *_node_value_problems(problem, f"nodes{suffix}"), *_price_problems(problem, f"prices{suffix}")]
    if not tree:
        found += _meter_problems(problem.nodes, f"nodes{suffix}")
    found += _window_problems(problem, f"vehicles{suffix}")
    found += _commitment_problems(problem, f"commitments{suffix}")
    return [*found, *_penalty_problems(problem)]


def require_valid(problem: PlanProblem) -> None:
    """Raise `InputError` with everything that `find_problems` finds, if it finds anything."""
    problems = find_problems(problem)
    if problems:
        raise InputError(problems)


def _assert_shapes(problem: PlanProblem) -> None:
    """Refuse ragged columns: they are a bug of the caller."""
    count = problem.axis.count
    nodes, windows, commitments, prices = problem.nodes, problem.windows, problem.commitments, problem.prices
    for name in ("import_limit_kw", "export_limit_kw", "base_load_kw", "pv_kw"):
        assert getattr(nodes, name).shape == (len(nodes), count), name
    assert prices.buy_per_kwh.shape == prices.sell_per_kwh.shape == (len(prices.zone), count), "prices"
    for columns in (windows, commitments):
        for name, value in vars(columns).items():
            if not name.startswith("_") and isinstance(value, np.ndarray) and name in columns.__dataclass_fields__:
                assert len(value) == len(columns), name


def _rows(table: str, column: str, wrong: Bools, what: str, found: Floats | Ints | None = None) -> Iterator[Problem]:
    """Yield one problem per row at which `wrong` is true, with what was found there."""
    if wrong.any():
        for row in np.flatnonzero(wrong):
            yield Problem(at(table, int(row), column), what if found is None else f"{what}, found {found[row]:.10g}")


def _tree_problems(nodes: Nodes, table: str) -> Iterator[Problem]:
    """Require one root, which every node reaches, and unique names."""
    if len(set(nodes.node)) < len(nodes):
        seen: set[str] = set()
        for row, name in enumerate(nodes.node):
            if name in seen:
                yield Problem(at(table, row, "node"), f"the node {name!r} is there twice")
            seen.add(name)
    roots = np.flatnonzero(nodes.parent == NO_PARENT)
    for root in roots[1:]:
        yield Problem(at(table, int(root), "parent"), f"a second root beside {nodes.node[roots[0]]!r}; a tree has one")
    if not len(roots):
        yield Problem(table, "no root: one node must have no parent")
    if np.all(nodes.parent < np.arange(len(nodes))):
        return  # whoever stands below another in the table reaches the root
    above = nodes.parent.copy()
    for _ in range(len(nodes)):
        if not np.any(above >= 0):
            return
        above = np.where(above >= 0, nodes.parent[above], above)
    for lost in np.flatnonzero(above >= 0):
        yield Problem(at(table, int(lost), "parent"), f"{nodes.node[lost]!r} hangs on a cycle and never reaches a root")


def _meter_problems(nodes: Nodes, table: str) -> Iterator[Problem]:
    """Refuse a meter below a meter: it would price the same energy twice."""
    if nodes.metered.any():
        above = np.where(nodes.parent >= 0, nodes.meter[nodes.parent], NO_PARENT)
        yield from _rows(table, "metered", nodes.metered & (above >= 0), "a metered node below a metered node")


def _node_value_problems(problem: PlanProblem, table: str) -> Iterator[Problem]:
    """Require magnitudes; only limits may be infinite."""
    nodes = problem.nodes
    series = {
        "import_limit_kw": nodes.import_limit_kw,
        "export_limit_kw": nodes.export_limit_kw,
        "base_load_kw": nodes.base_load_kw,
        "pv_kw": nodes.pv_kw,
    }
    for name, values in series.items():
        right = values >= 0
        wrong = ~(right & (values < np.inf) if name in ("base_load_kw", "pv_kw") else right)
        if wrong.any():
            for row in np.flatnonzero(wrong.any(axis=1)):
                step = int(np.argmax(wrong[row]))
                what = f"must be a number >= 0, found {values[row, step]} at step {step}"
                yield Problem(at(table, int(row), name), what)
    charge = nodes.peak_charge_per_kw
    yield from _rows(table, "peak_charge_per_kw", ~((charge >= 0) & (charge < np.inf)), "must be a number >= 0", charge)
    zones = len(problem.prices.zone)
    yield from _rows(table, "zone", (nodes.zone < 0) | (nodes.zone >= zones), "has no prices")


def _price_problems(problem: PlanProblem, table: str) -> Iterator[Problem]:
    """Require finite prices; they may be negative, and sell may exceed buy."""
    prices = problem.prices
    for name, values in (("buy_per_kwh", prices.buy_per_kwh), ("sell_per_kwh", prices.sell_per_kwh)):
        if not np.isfinite(values).all():
            for zone, step in np.argwhere(~np.isfinite(values)):
                yield Problem(f"{table}, column {name}", f"zone {prices.zone[zone]!r}, step {step}: not a number")


def _window_problems(problem: PlanProblem, table: str) -> Iterator[Problem]:
    """Check every row of the vehicles' table."""
    w, count = problem.windows, problem.axis.count
    arrive, depart, horizon = w.arrive_step, w.depart_step, f"the horizon of {count} steps"
    yield from _rows(table, "node", (w.node < 0) | (w.node >= len(problem.nodes)), "unknown node")
    yield from _rows(table, "arrive_step", (arrive < 0) | (arrive >= count), f"outside {horizon}", arrive)
    yield from _rows(table, "depart_step", depart > count, f"beyond {horizon}", depart)
    yield from _rows(table, "depart_step", depart <= arrive, "departure is not after arrival", depart)
    for name, wrong, values in _where(w, _FINITE_COLUMNS, lambda values: ~np.isfinite(values)):
        yield from _rows(table, name, wrong, "not a number", values)
    drained, arrival = ~np.isnan(w.drain_kwh), w.energy_arrival_kwh
    yield from _rows(table, "energy_arrival_kwh", ~np.isfinite(arrival) & ~drained, "not a number", arrival)
    for name, wrong, values in _where(w, _MAGNITUDE_COLUMNS, lambda values: values < 0):
        yield from _rows(table, name, wrong, "below 0", values)
    for name, wrong, values in _where(w, _EFFICIENCY_COLUMNS, lambda values: (values <= 0) | (values > 1)):
        yield from _rows(table, name, wrong, "not in (0, 1]", values)
    floor = w.energy_min_kwh
    yield from _rows(table, "energy_min_kwh", floor > w.energy_max_kwh, "the floor is above the capacity", floor)
    above = arrival > w.energy_max_kwh + ENERGY_TOLERANCE_KWH
    yield from _rows(table, "energy_arrival_kwh", above & ~drained, "above the capacity", arrival)
    yield from _rows(table, "energy_arrival_kwh", (arrival < 0) & ~drained, "below 0", arrival)
    value, missing = w.energy_value_per_kwh, w.missing_per_kwh
    too_dear = value > np.maximum(problem.missing_per_kwh, 0.0)
    yield from _rows(table, "missing_per_kwh", missing < 0, "below 0", missing)
    yield from _rows(table, "energy_value_per_kwh", too_dear, "above the price of missing the target", value)
    yield from _partial_step_problems(w, problem.axis.step_h, table)
    if drained.any():
        yield from _drain_problems(w, drained, table)


def _where(
    w: Windows, names: tuple[str, ...], is_wrong: Callable[[Floats], Bools]
) -> Iterator[tuple[str, Bools, Floats]]:
    """Yield the columns that break a rule, where, and what stands there: one look at all of them if none does."""
    columns = [getattr(w, name) for name in names]
    if is_wrong(np.concatenate(columns)).any():
        yield from ((name, is_wrong(column), column) for name, column in zip(names, columns, strict=True))


def _partial_step_problems(w: Windows, step_h: float, table: str) -> Iterator[Problem]:
    """Require partial steps that are longer than nothing and no longer than a step."""
    for name in ("first_step_h", "last_step_h"):
        hours: Floats = getattr(w, name)
        yield from _rows(table, name, (hours <= 0) | (hours > step_h * (1 + 1e-9)), f"not in (0, {step_h:g}]", hours)


def _drain_problems(w: Windows, drained: Bools, table: str) -> Iterator[Problem]:
    """Require of a drained row an earlier row of the same vehicle that has ended."""
    yield from _rows(
        table, "drain_kwh", drained & ~((w.drain_kwh >= 0) & (w.drain_kwh < np.inf)), "must be >= 0", w.drain_kwh
    )
    yield from _rows(table, "drain_kwh", drained & (w.previous < 0), "no earlier row of this vehicle to go on from")
    linked = np.flatnonzero(w.previous >= 0)
    overlaps = np.zeros(len(w), np.bool_)
    overlaps[linked] = w.arrive_step[linked] < w.depart_step[w.previous[linked]]
    yield from _rows(
        table, "arrive_step", overlaps, "arrives before the row that it goes on from has ended", w.arrive_step
    )


def _commitment_problems(problem: PlanProblem, table: str) -> Iterator[Problem]:
    """Check every row of the commitments' table."""
    c = problem.commitments
    if not len(c):
        return
    yield from _rows(table, "node", (c.node < 0) | (c.node >= len(problem.nodes)), "unknown node")
    outside = (c.step < 0) | (c.step >= problem.axis.count)
    yield from _rows(table, "step", outside, f"outside the horizon of {problem.axis.count} steps", c.step)
    # A power below 0 is a promise too: to inject at least -5 kW is to take at most 5.
    yield from _rows(table, "power_kw", ~np.isfinite(c.power_kw), "must be a number", c.power_kw)
    priced = (c.shortfall_per_kwh >= 0) & (c.shortfall_per_kwh < np.inf)
    yield from _rows(table, "shortfall_per_kwh", ~priced, "must be a number >= 0", c.shortfall_per_kwh)


def _penalty_problems(problem: PlanProblem) -> Iterator[Problem]:
    """Require penalties that are finite and not negative."""
    for name in ("departure_per_kwh", "reserve_per_kwh_h", "limit_per_kwh"):
        value = getattr(problem.penalties, name)
        if not 0 <= value < np.inf:
            yield Problem(f"axis.json, penalties.{name}", f"must be a number >= 0, found {value}")
