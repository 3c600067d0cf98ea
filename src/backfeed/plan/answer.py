"""The answer's files: schedule, prices and summary in a folder, written and read back.

- `schedule.parquet`: `vehicle, row, step, power_kw, energy_kwh, energy_price_per_kwh`, every step of every row
- `prices.parquet`: `node, step, price, balance_price`; `price` is what a kWh more taken by a vehicle there costs
  beyond the price that it pays itself, `balance_price` the part of it that does not come from promises
- `curtailment.parquet`: `node, step, power_kw`, where a metered node has PV
- `commitment_prices.parquet`: `commitment, price`, row counted from 0, where there are commitments
- `summary.json`
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from backfeed.core.problem import InputError, Problem
from backfeed.plan.check import Proposal, Verdict, energies_of, lagrangian
from backfeed.plan.problem import Floats, PlanProblem, Windows
from backfeed.plan.schedule import Duals, Schedule, price_plan


def write_answer(problem: PlanProblem, schedule: Schedule, folder: Path, summary: dict[str, Any]) -> None:
    """Write a schedule's files and its summary into a folder, which is made if it is not there."""
    import polars as pl  # noqa: PLC0415 loads slowly, and only files need it

    folder.mkdir(parents=True, exist_ok=True)
    w, nodes, count = problem.windows, problem.nodes, problem.axis.count
    length = np.diff(w.offsets)
    schedule_frame = pl.DataFrame(
        {
            "vehicle": pl.Series(list(w.vehicle), dtype=pl.String).gather(np.repeat(np.arange(len(w)), length)),
            "row": w.row_of,
            "step": w.step_of,
            "power_kw": schedule.power_flat_kw,
            "energy_kwh": schedule.energy_flat_kwh,
            "energy_price_per_kwh": schedule.duals.energy_per_kwh,
        }
    )
    schedule_frame.write_parquet(folder / "schedule.parquet")
    node = pl.Series(list(nodes.node), dtype=pl.String).gather(np.repeat(np.arange(len(nodes)), count))
    step = np.tile(np.arange(count), len(nodes))
    duals = schedule.duals
    pl.DataFrame(
        {
            "node": node,
            "step": step,
            "price": schedule.price_per_kwh.ravel(),
            "balance_price": duals.balance_per_kwh.ravel(),
        }
    ).write_parquet(folder / "prices.parquet")
    optional: dict[str, tuple[bool, dict[str, Any]]] = {
        "curtailment": (
            bool((nodes.pv_kw[nodes.metered] > 0).any()),
            {"node": node, "step": step, "power_kw": schedule.curtailed_kw.ravel()},
        ),
        "commitment_prices": (
            len(problem.commitments) > 0,
            {"commitment": np.arange(len(problem.commitments)), "price": duals.commitment_per_kwh},
        ),
    }
    for name, (wanted, columns) in optional.items():
        file = folder / f"{name}.parquet"
        file.unlink(missing_ok=True)
        if wanted:
            pl.DataFrame(columns).write_parquet(file)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")


def read_proposal(problem: PlanProblem, folder: Path) -> Proposal:
    """Read a proposed plan.

    Prices that are not there are 0: the bound is then weak, but it holds.

    Raises
    ------
    InputError
        If the schedule is missing, can not be read or does not hold every step of every row once, or if a
        file of prices can not be read.
    """
    w, nodes = problem.windows, problem.nodes
    file = folder / "schedule.parquet"
    if not file.exists():
        raise InputError([Problem(str(file), "the file is missing")])
    frame = _read(file, ("row", "step", "power_kw")).sort("row", "step")
    same = len(frame) == len(w.row_of) and bool(
        np.all(frame["row"].to_numpy() == w.row_of) and np.all(frame["step"].to_numpy() == w.step_of)
    )
    if not same or not bool(frame["power_kw"].is_finite().all()):
        raise InputError([Problem(str(file), f"must hold a power for each of the {len(w.row_of)} steps of all rows")])
    if "vehicle" in frame.columns:
        _require_vehicles(file, frame["vehicle"], w)
    shape = nodes.base_load_kw.shape
    balance, curtailed = np.zeros(shape), np.zeros(shape)
    promise = np.zeros(len(problem.commitments))
    _fill(folder / "prices.parquet", "balance_price", balance, nodes.node)
    _fill(folder / "curtailment.parquet", "power_kw", curtailed, nodes.node)
    promises = folder / "commitment_prices.parquet"
    if promises.exists() and len(promise):
        prices = _read(promises, ("commitment", "price")).sort("commitment")
        if prices["commitment"].to_list() != list(range(len(promise))):
            raise InputError([Problem(str(promises), f"must hold a price for each of {len(promise)} commitments")])
        promise[:] = _finite(prices["price"].to_numpy())
    energy = np.zeros(len(w.row_of))
    if "energy_price_per_kwh" in frame.columns:
        energy = _finite(frame["energy_price_per_kwh"].to_numpy())
    return Proposal(frame["power_kw"].to_numpy(), curtailed, energy, balance, promise)


def _require_vehicles(file: Path, said: Any, w: Windows) -> None:  # noqa: ANN401 a polars series
    """Refuse a schedule whose rows bear other vehicles' names than the instance's."""
    import polars as pl  # noqa: PLC0415 loads slowly, and only files need it

    expected = pl.Series(list(w.vehicle), dtype=pl.String).gather(w.row_of)
    other = np.flatnonzero(said.ne_missing(expected).to_numpy())
    if len(other):
        row, found = int(w.row_of[other[0]]), said[int(other[0])]
        what = f"row {row} is the vehicle {w.vehicle[row]!r}, found {found!r}"
        raise InputError([Problem(f"{file}, column vehicle", what)])


def read_schedule(problem: PlanProblem, folder: Path) -> Schedule:
    """Read a written plan back, priced anew; raises as `read_proposal` does."""
    proposal = read_proposal(problem, folder)
    energy, _ = energies_of(problem, proposal.power_kw)
    duals = Duals(proposal.energy_price, proposal.balance_price, proposal.commitment_price)
    return price_plan(problem, energy, proposal.curtailed_kw, duals, lagrangian(problem, proposal), "read")


def _fill(file: Path, column: str, matrix: Floats, names: tuple[str, ...]) -> None:
    """Read a `(node, step)` column of a file into a matrix, if the file has it."""
    if not file.exists():
        return
    frame = _read(file, ("node", "step"))
    if column not in frame.columns:
        return
    index = {name: k for k, name in enumerate(names)}
    node = np.array([index.get(name, -1) for name in frame["node"]], dtype=np.int64)
    step = frame["step"].to_numpy()
    if bool((node < 0).any()) or bool(((step < 0) | (step >= matrix.shape[1])).any()):
        raise InputError([Problem(str(file), "must name nodes and steps of the instance")])
    matrix[node, step] = _finite(frame[column].to_numpy())


def _finite(prices: Floats) -> Floats:
    """Return prices, 0 where there is none: the bound that they prove is then weaker, and holds."""
    return np.where(np.isfinite(prices), prices, 0.0)


_WHOLE = ("row", "step", "commitment")
_TEXT = ("vehicle", "node")


def _read(file: Path, required: tuple[str, ...]) -> Any:  # noqa: ANN401 a polars frame, whose library loads slowly
    """Read a table of an answer: whole numbers and names as such, numbers for the rest, NaN where there is none.

    Raises
    ------
    InputError
        If the file is no such table, or lacks a column.
    """
    import polars as pl  # noqa: PLC0415 loads slowly, and only files need it

    try:
        frame = pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as failure:
        what = f"can not be read: {str(failure).splitlines()[0]}"
        raise InputError([Problem(str(file), what)]) from failure
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise InputError([Problem(str(file), f"the column {name} is missing") for name in missing])
    kinds: Any = {name: pl.Int64 if name in _WHOLE else pl.Float64 for name in frame.columns if name not in _TEXT}
    try:
        frame = frame.cast(kinds, strict=False).cast({name: pl.String for name in _TEXT if name in frame.columns})
    except pl.exceptions.PolarsError as failure:
        what = f"can not be read: {str(failure).splitlines()[0]}"
        raise InputError([Problem(str(file), what)]) from failure
    return frame.with_columns(
        [pl.col(name).fill_null(-1 if kind == pl.Int64 else float("nan")) for name, kind in kinds.items()]
    )


def summarise(schedule: Schedule, verdict: Verdict, run: dict[str, float]) -> dict[str, Any]:
    """Return `summary.json`: what the judge found, beside what the run took (`cpu_s, wall_s, peak_mb`)."""
    return {
        "objective": verdict.objective,
        "lower_bound": verdict.lower_bound,
        "gap": verdict.gap,
        **run,
        "iterations": schedule.iterations,
        "method": schedule.method,
        "status": schedule.status,
        "max_violation_kw": verdict.max_violation_kw,
        "max_violation_kwh": verdict.max_violation_kwh,
        "terms": verdict.terms,
        "slacks": [
            {
                "kind": slack.kind,
                "where": slack.where,
                "step": slack.step,
                "amount_kwh": slack.amount_kwh,
                "cost": slack.cost,
            }
            for slack in schedule.slacks
        ],
    }
