"""Instances: what is written is read back, and everything that is wrong is told at once."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from backfeed.core.problem import InputError
from backfeed.plan.instance import read_instance, write_instance
from backfeed.plan.solve import solve


def same(one, other):
    """Whether two dataclasses of columns hold the same."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            assert same(a, b), field.name
        elif isinstance(a, np.ndarray):
            assert np.array_equal(a, b, equal_nan=a.dtype.kind == "f"), field.name
        else:
            assert a == b, field.name
    return True


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("seed", range(6))
def test_a_problem_survives_its_files(random_problem, tmp_path, seed, form):
    problem = random_problem(seed, minutes=15)
    write_instance(problem, tmp_path, form)
    assert same(read_instance(tmp_path), problem)


GOOD = {
    "axis.json": json.dumps({"start": "2026-07-06T00:00:00Z", "step_minutes": 15, "count": 2}),
    "prices.csv": "step,buy_per_kwh,sell_per_kwh\n0,0.2,0.1\n1,0.3,0.2\n",
    "nodes.csv": "node,parent,import_limit_kw,export_limit_kw,peak_charge_per_kw\nroot,,,,\nsite,root,20,0,\n",
    "vehicles.csv": "vehicle,node,arrive_step,depart_step,charge_max_kw,discharge_max_kw,charge_efficiency,"
    "discharge_efficiency,energy_arrival_kwh,energy_target_kwh,energy_min_kwh,energy_max_kwh,wear_per_kwh,"
    "hold_per_kwh_h\nv1,site,0,2,11,11,0.95,0.95,20,22,10,60,0.02,0\n",
}


def write(folder, **changed):
    """Write the good instance with some files changed; None leaves a file out."""
    for name, content in GOOD.items():
        wanted = changed.get(name.split(".", maxsplit=1)[0], content)
        if wanted is not None:
            (folder / name).write_text(wanted)
    for name in ("node_series", "commitments"):
        if name in changed:
            (folder / f"{name}.csv").write_text(changed[name])


def problems_of(folder):
    """Return what is told about a folder."""
    with pytest.raises(InputError) as told:
        read_instance(folder)
    return [str(problem) for problem in told.value.problems]


def test_the_instance_of_the_documentation_is_solved():
    problem = read_instance(Path(__file__).parents[2] / "examples" / "instance")
    exact, structured = solve(problem, method="highs"), solve(problem, 1e-6, method="structured")
    assert exact.objective == pytest.approx(20.703, abs=1e-3)
    assert structured.objective == pytest.approx(exact.objective, rel=2e-6)


def test_the_good_instance_is_good(tmp_path):
    write(tmp_path)
    problem = read_instance(tmp_path)
    assert problem.nodes.export_limit_kw[1].tolist() == [0, 0]
    assert np.isinf(problem.nodes.import_limit_kw[0]).all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"axis": None}, "axis.json: the file is missing"),
        ({"axis": "[]"}, "axis.json: can not be read: must be an object, found list"),
        ({"axis": "[" * 100_000}, "axis.json: can not be read"),
        (
            {"axis": '{"start": "2026-01-01T00:00:00Z", "step_minutes": 15, "count": 1.5}'},
            "count must be a whole number",
        ),
        ({"nodes": "node,parent\n"}, "nodes.csv: no root"),
        (
            {"prices": "step,buy_per_kwh,sell_per_kwh\n0,0.2,0.1\n0,0.3,0.2\n"},
            "prices.csv, row 3, column step: the step",
        ),
        ({"prices": "step,buy_per_kwh,sell_per_kwh\n0,0.2,0.1\n"}, "has no price at step 1"),
        ({"prices": "step,buy_per_kwh,sell_per_kwh\n"}, "prices.csv: zone '' has no price at step 0 and 1 others"),
        (
            {"prices": "step,buy_per_kwh,sell_per_kwh\n0,0.2,0.1\n1,0.2,0.1,7\n"},
            "prices.csv, row 3: has 4 cells, expected the 3 of the header",
        ),
        ({"prices": "step,buy_per_kwh,sell_per_kwh\n0,x,0.1\n1,1,1\n"}, "prices.csv, row 2, column buy_per_kwh: not a"),
        ({"prices": "step,buy_per_kwh\n0,0.2\n1,1\n"}, "prices.csv: the column sell_per_kwh is missing"),
        ({"nodes": "node,parent\na,b\nb,a\nsite,\n"}, "nodes.csv, row 2, column parent: 'a' hangs on a cycle"),
        ({"nodes": "node,parent\nroot,\nsite,\n"}, "nodes.csv, row 3, column parent: a second root"),
        ({"nodes": "node,parent\nroot,\nsite,lost\n"}, "nodes.csv, row 3, column parent: the parent 'lost' is unknown"),
        ({"nodes": "node,parent\nroot,\nroot,root\n"}, "nodes.csv, row 3, column node: the node 'root' is there twice"),
        ({"nodes": "node,parent,metered\nroot,,1\nsite,root,1\n"}, "a metered node below a metered node"),
        ({"nodes": "node,parent,import_limit_kw\nroot,,\nsite,root,-4\n"}, "row 3, column import_limit_kw: must be"),
        ({"node_series": "node,step,pv_kw\nsite,0,1\nsite,0,2\n"}, "node_series.csv, row 3, column step: the node has"),
        ({"node_series": "node,step,pv_kw\nsite,7,1\n"}, "node_series.csv, row 2, column step: outside the horizon"),
        ({"commitments": "node,step,direction,power_kw,shortfall_per_kwh\nsite,0,sideways,1,1\n"}, "up or down"),
    ],
)
def test_a_mistake_is_told_by_file_row_and_column(tmp_path, changed, told):
    write(tmp_path, **changed)
    assert any(told in line for line in problems_of(tmp_path)), problems_of(tmp_path)


def test_a_wrong_penalty_is_told_once_and_not_of_every_row(tmp_path):
    axis = {"start": "2026-07-06T00:00:00Z", "step_minutes": 15, "count": 2, "penalties": {"departure_per_kwh": -3}}
    write(tmp_path, axis=json.dumps(axis))
    assert problems_of(tmp_path) == ["axis.json, penalties.departure_per_kwh: must be a number >= 0, found -3.0"]


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path):
    head = GOOD["vehicles.csv"].splitlines()[0]
    rows = [
        "v1,nowhere,0,2,11,11,0.95,0.95,20,22,10,60,0.02,0",
        "v2,site,1,1,11,11,0.95,0.95,20,22,10,60,0.02,0",
        "v3,site,0,2,11,11,0.95,0.95,20,22,70,60,0.02,0",
        "v4,site,0,2,11,11,0.95,0.95,20,22,10,NaN,0.02,0",
        "v5,site,0,9,11,11,0.95,0.95,80,22,10,60,0.02,0",
    ]
    write(
        tmp_path,
        vehicles="\n".join([head, *rows, ""]),
        prices="step,buy_per_kwh,sell_per_kwh\n0,0.2,\n1,1,1\n",
        nodes="node,parent\nroot,\nsite,root\nother,\n",
    )
    told = "\n".join(problems_of(tmp_path))
    for part in (
        "vehicles.csv, row 2, column node: the node 'nowhere' is unknown",
        "vehicles.csv, row 3, column depart_step: departure is not after arrival, found 1",
        "vehicles.csv, row 4, column energy_min_kwh: the floor is above the capacity",
        "vehicles.csv, row 5, column energy_max_kwh: not a number",
        "vehicles.csv, row 6, column depart_step: beyond the horizon of 2 steps, found 9",
        "vehicles.csv, row 6, column energy_arrival_kwh: above the capacity, found 80",
        "prices.csv, row 2, column sell_per_kwh: the cell is empty",
        "nodes.csv, row 4, column parent: a second root",
    ):
        assert part in told, told
