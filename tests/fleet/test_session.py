"""Session columns stay together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from backfeed.fleet.session import SessionTable


def table(count):
    numbers = np.arange(count, dtype=np.float64)
    names = tuple(f"s{i}" for i in range(count))
    whole = np.arange(count, dtype=np.int64)
    return SessionTable(whole, names, names, names, whole, whole + 1, *[numbers.copy() for _ in range(7)])


@given(st.lists(st.booleans(), max_size=12))
def test_selecting_rows_keeps_every_column_in_step(keep):
    chosen = table(len(keep)).select(np.array(keep, dtype=np.bool_))
    rows = [i for i, wanted in enumerate(keep) if wanted]
    assert len(chosen) == len(rows)
    for name, column in vars(chosen).items():
        values = [int(value[1:]) for value in column] if isinstance(column, tuple) else column.tolist()
        assert values == [row + (name == "departure_ms") for row in rows]
