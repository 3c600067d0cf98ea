"""A node's own steps answer to its price, and columns that are only padding stay as they are."""

import numpy as np
import pytest

from backfeed.plan.columns import PRICE_STEP
from backfeed.plan.interior import InteriorPoint
from backfeed.plan.layout import lay_out
from backfeed.plan.node import PREDICTED, REST, SLOPE, STEP, WIDTH, ZL, ZU, Aim, X

KINKED = {"count": 12, "meters": True, "base": True, "drained": False, "tight": 0.5}
"""Nodes with kinks, over steps that are no whole number of vectors."""


EPSILON = np.finfo(np.float64).eps


def point_of(problem, iterations=4):
    """Return the interior point after some iterations, every limit a piece of its own."""
    point = InteriorPoint(lay_out(problem, held=np.ones(len(problem.nodes), np.bool_)))
    for _ in range(iterations):
        point._advance(point._find_step())
    return point


def pieces_of(nodes, k):
    """Return the boxes of a node's pieces."""
    return nodes.boxes[nodes.piece_ptr[k] : nodes.piece_ptr[k + 1]]


def missed(box, price):
    """Return by how much a box's predicted step misses `(zl / x + zu / rest) d + slope + price = 0`, of its terms."""
    there = box[WIDTH] > 0
    (x, rest, zl, zu, slope, d), price = box[[X, REST, ZL, ZU, SLOPE, PREDICTED]][:, there], price[there]
    stiffness = zl / x + zu / rest
    return np.abs(stiffness * d + slope + price) / (stiffness + np.abs(slope) + 1.0)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_step_as_prices_ask(random_problem, seed):
    problem = random_problem(seed, **KINKED, tree=("flat", "random")[seed % 2], pv=0.5, peak=0.0, promises=seed % 2)
    point = point_of(problem)
    nodes = point.nodes
    point._descend(Aim(0.0, 0.0))
    price = nodes.price + point.work.columns[:, PRICE_STEP]
    for k, parent in enumerate(nodes.parent):
        above = price[parent] if parent >= 0 else 0.0
        for box in pieces_of(nodes, k):
            assert missed(box, above - price[k]) == pytest.approx(0.0, abs=1e-6)
        if nodes.curtail[k] >= 0:
            assert missed(nodes.boxes[nodes.curtail[k]], price[k]) == pytest.approx(0.0, abs=1e-9)
    assert (nodes.curtail >= 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_pieces_make_up_the_net_power_to_its_last_digits(random_problem, seed):
    """Late in the run, pieces move so freely where nothing binds that the last digits of prices would show."""
    point = point_of(random_problem(seed, **KINKED, tree="flat", pv=0.5, peak=0.0, promises=0), iterations=18)
    nodes = point.nodes
    point._descend(Aim(0.0, 0.0))
    for k in np.flatnonzero(np.diff(nodes.piece_ptr)):
        boxes, within = pieces_of(nodes, k), slice(*nodes.span[k])
        steps = np.where(boxes[:, WIDTH] > 0, boxes[:, PREDICTED], 0.0)
        size = np.abs(steps).max(initial=1e-9)
        assert steps.sum(axis=0)[within] == pytest.approx(nodes.net_step[k, within], rel=0, abs=4 * EPSILON * size)


@pytest.mark.parametrize("seed", range(4))
def test_padding_stays_as_it_began(random_problem, seed):
    point = point_of(random_problem(seed, **KINKED, tree="random", pv=0.5, peak=0.5, promises=3))
    nodes, columns = point.nodes, point.columns
    assert nodes.price.shape[1] > columns
    for rows in (nodes.low, nodes.fixed, nodes.price, nodes.net, nodes.net_step, point.work.columns[:, PRICE_STEP]):
        assert not rows[:, columns:].any()
    padding = nodes.boxes[:, :, columns:]
    assert not padding[:, [WIDTH, SLOPE, STEP, PREDICTED]].any()
    assert (padding[:, [X, REST, ZL, ZU]] == 1.0).all()
