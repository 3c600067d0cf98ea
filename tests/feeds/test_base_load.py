"""Building loads: a whole day in order, or every problem told."""

from pathlib import Path

import pytest

from backfeed.core.problem import InputError
from backfeed.feeds.base_load import read_base_load

EXAMPLE = Path(__file__).parents[2] / "examples" / "guangdong-homes"


def test_the_shipped_loads_are_whole_days() -> None:
    for name in ("base-load-large.csv", "base-load-small.csv"):
        loads = read_base_load(EXAMPLE / name)
        assert len(loads) == 96
        assert min(loads) > 0


def test_every_problem_of_a_load_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("time,base_load_kw\n00:00,1\n00:30,2\n00:30,-1\n00:45,nan\n01:00,x\n")
    with pytest.raises(InputError) as caught:
        read_base_load(path)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == 5
    assert "expected 96 rows, found 5" in told[0]
    assert "row 3, time" in told[1]
    assert ["base_load_kw" in line for line in told[2:]] == [True, True, True]


def test_a_load_without_its_columns_names_them(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("hour,kw\n0,1\n")
    with pytest.raises(InputError) as caught:
        read_base_load(path)
    assert len(caught.value.problems) == 2
