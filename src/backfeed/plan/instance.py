"""Planner instances: a folder of CSV or Parquet tables and `axis.json`, read and written.

Reading collects everything that is wrong, in all files, before it raises.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from backfeed.core.axis import TimeAxis
from backfeed.core.instant import MS_PER_MIN, format_instant, parse_instant
from backfeed.core.problem import InputError, Problem
from backfeed.plan.problem import NO_PARENT, Commitments, Floats, Nodes, Penalties, PlanProblem, Prices, Windows
from backfeed.plan.table import UNREADABLE, Table
from backfeed.plan.validate import find_problems

STEPS_MAX = 100_000
"""More steps than any plan has; a typing error in `count` must not fill the memory."""

_VEHICLE_NUMBERS = (
    "charge_max_kw",
    "discharge_max_kw",
    "charge_efficiency",
    "discharge_efficiency",
    "energy_target_kwh",
    "energy_min_kwh",
    "energy_max_kwh",
    "wear_per_kwh",
    "hold_per_kwh_h",
)
_VEHICLE_OPTIONS = {
    "drain_kwh": np.nan,
    "first_step_h": np.nan,
    "last_step_h": np.nan,
    "energy_value_per_kwh": 0.0,
    "missing_per_kwh": np.nan,
}
_NODE_SERIES = ("base_load_kw", "pv_kw", "import_limit_kw", "export_limit_kw")


def read_instance(folder: Path) -> PlanProblem:
    """Read a folder of tables.

    Parameters
    ----------
    folder
        Holds `axis.json`, `prices`, `nodes`, `vehicles`, and, where there are any, `node_series` and
        `commitments`, each as `.csv` or `.parquet`.

    Raises
    ------
    InputError
        With every problem of every file, by file, row and column.
    """
    problems: list[Problem] = []
    if not folder.is_dir():
        raise InputError([Problem(str(folder), "is not a folder")])
    axis, penalties = _read_axis(folder / "axis.json", problems)
    tables = _Tables(folder, problems)
    if axis is None or not tables.complete:
        raise InputError(problems)
    prices = _read_prices(tables.prices, axis.count, problems)
    nodes = _read_nodes(tables, prices, axis.count, problems)
    windows = _read_windows(tables.vehicles, nodes)
    commitments = _read_commitments(tables.commitments, nodes)
    problem = PlanProblem(axis, prices, nodes, windows, commitments, penalties)
    known = {found.where for found in problems}
    problems += [found for found in find_problems(problem, ".csv") if found.where not in known]
    if problems:
        raise InputError(problems)
    return problem


class _Tables:
    """The instance's tables, each with the columns it needs."""

    def __init__(self, folder: Path, problems: list[Problem]) -> None:
        self.prices = Table(folder, "prices", ("step", "buy_per_kwh", "sell_per_kwh"), problems)
        self.nodes = Table(folder, "nodes", ("node", "parent"), problems)
        self.series = Table(folder, "node_series", ("node", "step"), problems, optional=True)
        needed = ("vehicle", "node", "arrive_step", "depart_step", "energy_arrival_kwh", *_VEHICLE_NUMBERS)
        self.vehicles = Table(folder, "vehicles", needed, problems)
        promised = ("node", "step", "direction", "power_kw", "shortfall_per_kwh")
        self.commitments = Table(folder, "commitments", promised, problems, optional=True)

    @property
    def complete(self) -> bool:
        """Whether what must be there is there."""
        return self.prices.there and self.nodes.there and self.vehicles.there


def _read_axis(file: Path, problems: list[Problem]) -> tuple[TimeAxis | None, Penalties]:
    """Read `axis.json`."""
    try:
        content = _object(json.loads(file.read_text("utf-8")))
        start_ms = parse_instant(content["start"])
        step_ms, count = round(float(content["step_minutes"]) * MS_PER_MIN), _whole(content["count"])
        given = {str(key): float(value) for key, value in content.get("penalties", {}).items()}
    except FileNotFoundError:
        problems.append(Problem(file.name, "the file is missing"))
        return None, Penalties()
    except KeyError as missing:
        problems.append(Problem(file.name, f"the key {missing} is missing"))
        return None, Penalties()
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as failure:
        problems.append(Problem(file.name, f"can not be read: {failure}"))
        return None, Penalties()
    unknown = sorted(set(given) - set(Penalties.__dataclass_fields__))
    problems += [Problem(f"{file.name}, penalties", f"the key {key!r} is unknown") for key in unknown]
    if step_ms <= 0:
        problems.append(Problem(f"{file.name}, step_minutes", "must be above 0"))
    if not 0 < count <= STEPS_MAX:
        problems.append(Problem(f"{file.name}, count", f"must be from 1 to {STEPS_MAX}, found {count}"))
    if step_ms <= 0 or not 0 < count <= STEPS_MAX:
        return None, Penalties()
    return TimeAxis(start_ms, step_ms, count), Penalties(**{k: v for k, v in given.items() if k not in unknown})


def _object(content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        message = f"must be an object, found {type(content).__name__}"
        raise TypeError(message)
    return content


def _whole(number: Any) -> int:  # noqa: ANN401 whatever stands in the file
    if int(number) != float(number):
        message = f"count must be a whole number, found {number}"
        raise ValueError(message)
    return int(number)


def _read_prices(table: Table, count: int, problems: list[Problem]) -> Prices:
    """Read prices: every step of every zone once."""
    zones = table.texts("zone", default="")
    names = tuple(zones.unique(maintain_order=True)) or ("",)
    zone = table.indices("zone", list(names), "zone", empty_is=0) if table.has("zone") else np.zeros(len(table), int)
    step = table.ints("step")
    table.once((zone, step), "step", "the step is there twice")
    buy, sell = np.full((len(names), count), np.nan), np.full((len(names), count), np.nan)
    inside = (step >= 0) & (step < count) & (zone >= 0)
    table.report("step", ~inside & (step != UNREADABLE), f"outside the horizon of {count} steps")
    given = np.zeros(buy.shape, np.bool_)
    given[zone[inside], step[inside]] = True
    for name, values in (("buy_per_kwh", buy), ("sell_per_kwh", sell)):
        read = table.floats(name)[inside]
        values[zone[inside], step[inside]] = np.where(np.isnan(read), 0.0, read)  # a cell without number is reported
    for name, missing in zip(names, ~given, strict=True):
        if missing.any():
            what = f"zone {name!r} has no price at step {np.argmax(missing)}"
            more = int(missing.sum()) - 1
            problems.append(Problem(table.file, f"{what} and {more} others" if more else what))
    buy[~given], sell[~given] = 0.0, 0.0
    return Prices(names, buy, sell)


def _read_nodes(tables: _Tables, prices: Prices, count: int, problems: list[Problem]) -> Nodes:
    """Read the tree, its constants and its series."""
    table = tables.nodes
    names = table.texts("node")
    parent = table.indices("parent", names, "the parent", empty_is=NO_PARENT)
    blank = (table.texts("parent", default="") == "").to_numpy()
    if blank.any():  # a node whose parent is unknown is not a second root as well
        parent[(parent == UNREADABLE) & ~blank] = np.flatnonzero(blank)[0]
    nodes = Nodes.tree(tuple(names), list(parent), count)
    if table.has("zone"):
        only = 0 if len(prices.zone) == 1 else None
        nodes.zone[:] = np.maximum(table.indices("zone", list(prices.zone), "the zone", empty_is=only), 0)
    elif len(prices.zone) > 1:
        problems.append(Problem(table.file, "there are several price zones, and the column zone is missing"))
    metered = table.floats("metered", 0.0)
    table.report("metered", (metered != 0) & (metered != 1), "must be 0 or 1")
    nodes.metered[:] = metered == 1
    nodes.peak_charge_per_kw[:] = table.floats("peak_charge_per_kw", 0.0)
    nodes.import_limit_kw[:] = table.floats("import_limit_kw", np.inf)[:, None]
    nodes.export_limit_kw[:] = table.floats("export_limit_kw", np.inf)[:, None]
    if tables.series.there:
        _read_node_series(tables.series, nodes, count)
    return nodes


def _read_node_series(table: Table, nodes: Nodes, count: int) -> None:
    """Read what varies over the steps into the nodes' matrices; an empty cell changes nothing."""
    node = table.indices("node", list(nodes.node), "the node")
    step = table.ints("step")
    table.once((node, step), "step", "the node has this step twice")
    inside = (node >= 0) & (step >= 0) & (step < count)
    table.report("step", ~inside & (node >= 0) & (step != UNREADABLE), f"outside the horizon of {count} steps")
    for name in _NODE_SERIES:
        values = table.floats(name, np.nan)
        known = inside & ~np.isnan(values)
        table.report(name, known & (values < 0), "must be >= 0")
        known &= values >= 0
        getattr(nodes, name)[node[known], step[known]] = values[known]


def _read_windows(table: Table, nodes: Nodes) -> Windows:
    """Read the vehicles' rows."""
    drained = ~np.isnan(table.floats("drain_kwh", np.nan)) if table.has("drain_kwh") else np.zeros(len(table), bool)
    options = {name: table.floats(name, empty) for name, empty in _VEHICLE_OPTIONS.items() if table.has(name)}
    numbers: dict[str, Floats] = {name: table.floats(name) for name in _VEHICLE_NUMBERS}
    arrival = table.floats("energy_arrival_kwh", np.nan)
    unlinked = np.isnan(arrival) & ~drained
    table.report("energy_arrival_kwh", unlinked, "the cell is empty, and no drain links the row to another")
    return Windows(
        vehicle=tuple(table.texts("vehicle")),
        node=table.indices("node", list(nodes.node), "the node"),
        arrive_step=table.ints("arrive_step"),
        depart_step=table.ints("depart_step"),
        energy_arrival_kwh=arrival,
        **numbers,
        **options,
    )


def _read_commitments(table: Table, nodes: Nodes) -> Commitments:
    """Read the promises to others."""
    if not table.there:
        return Commitments.none()
    direction = table.texts("direction").to_numpy()
    table.report("direction", (direction != "up") & (direction != "down"), "must be up or down")
    return Commitments(
        node=table.indices("node", list(nodes.node), "the node"),
        step=table.ints("step"),
        up=np.asarray(direction == "up", np.bool_),
        power_kw=table.floats("power_kw"),
        shortfall_per_kwh=table.floats("shortfall_per_kwh"),
    )


def write_instance(problem: PlanProblem, folder: Path, form: str = "csv") -> None:
    """Write a problem as a folder of tables that `read_instance` reads back.

    Parameters
    ----------
    problem
        The problem.
    folder
        Is made if it is not there.
    form
        `csv` or `parquet`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    axis = {
        "start": format_instant(problem.axis.start_ms),
        "step_minutes": problem.axis.step_ms / MS_PER_MIN,
        "count": problem.axis.count,
        "penalties": {name: getattr(problem.penalties, name) for name in Penalties.__dataclass_fields__},
    }
    (folder / "axis.json").write_text(json.dumps(axis, indent=2) + "\n", "utf-8")
    for name, columns in _tables_of(problem).items():
        _write_table(folder, name, columns, form)


def _write_table(folder: Path, name: str, columns: dict[str, Any], form: str) -> None:
    """Write one table; NaN and infinity become empty cells."""
    import polars as pl  # noqa: PLC0415 loads slowly, and only files need it

    frame = pl.DataFrame(columns).with_columns(
        pl.when(pl.selectors.float().is_finite()).then(pl.selectors.float()).otherwise(None)
    )
    if form == "csv":
        frame.write_csv(folder / f"{name}.csv")
    else:
        frame.write_parquet(folder / f"{name}.parquet")


def _tables_of(problem: PlanProblem) -> dict[str, dict[str, Any]]:
    """Return a problem's tables as columns."""
    nodes, w, c, prices = problem.nodes, problem.windows, problem.commitments, problem.prices
    names = np.array(nodes.node, dtype=object)
    count = problem.axis.count
    zones = np.array(prices.zone, dtype=object)
    tables = {
        "prices": {
            "zone": np.repeat(zones, count).tolist(),
            "step": np.tile(np.arange(count), len(zones)),
            "buy_per_kwh": prices.buy_per_kwh.ravel(),
            "sell_per_kwh": prices.sell_per_kwh.ravel(),
        },
        "nodes": {
            "node": list(nodes.node),
            "parent": ["" if above < 0 else nodes.node[above] for above in nodes.parent],
            "zone": zones[nodes.zone].tolist(),
            "metered": nodes.metered.astype(np.int64),
            "peak_charge_per_kw": nodes.peak_charge_per_kw,
        },
        "node_series": {
            "node": np.repeat(names, count).tolist(),
            "step": np.tile(np.arange(count), len(nodes)),
            **{name: getattr(nodes, name).ravel() for name in _NODE_SERIES},
        },
        "vehicles": {
            "vehicle": list(w.vehicle),
            "node": names[w.node].tolist(),
            "arrive_step": w.arrive_step,
            "depart_step": w.depart_step,
            "energy_arrival_kwh": w.energy_arrival_kwh,
            **{name: getattr(w, name) for name in (*_VEHICLE_NUMBERS, *_VEHICLE_OPTIONS)},
        },
    }
    if len(c):
        tables["commitments"] = {
            "node": names[c.node].tolist(),
            "step": c.step,
            "direction": ["up" if up else "down" for up in c.up],
            "power_kw": c.power_kw,
            "shortfall_per_kwh": c.shortfall_per_kwh,
        }
    return tables
