"""A node's own terms in the Newton system: pieces of net power, the peak, curtailed PV.

    n[t] = low[t] + sum_j piece_j[t],   0 <= piece_j <= width_j         slope_j, duals zl, zu
    s[t] = peak - n[t] >= 0,  peak >= 0                                 duals share[t], zp; charge = sum share + zp
    n[t] = vehicles + children + fixed + q[t],   0 <= q <= curtail      duals ql, qu; the price of the node is its dual

With i = sum_j 1 / (zl/x + zu/(w - x)) and theta = share / s, the Hessian of n is `diag(1/i + theta)` less
`theta theta' / Omega`, Omega = sum theta + zp / peak, so that its inverse is

    H^-1 = diag(hd) + coef th th',   hd = i / (1 + theta i),   th = theta hd,   coef = 1 / (zp/peak + sum theta hd / i)

All arrays are `(node, step)` or `(node, step, piece)`; nodes are few against vehicles, so plain numpy does.
"""

from dataclasses import dataclass

import numpy as np

from backfeed.plan.layout import Forest, Layout
from backfeed.plan.problem import Floats

WIDTH_MIN_KW = 1e-9
"""A piece narrower than this is held at 0."""


@dataclass
class Box:
    """Variables between 0 and a width, their complements and duals; `there` marks those that are wide enough."""

    x: Floats
    rest: Floats
    zl: Floats
    zu: Floats
    there: Floats
    step: Floats
    predictor: Floats
    dl: Floats
    du: Floats

    @classmethod
    def between(cls, width: Floats, wanted: Floats, reduced: Floats, product: float) -> "Box":
        """Start boxes near `wanted`, but not farther from the centre of their reduced costs than they must be.

        Duals differ by the reduced cost, and their products with the slacks are at least `product`.
        """
        there = (width > WIDTH_MIN_KW).astype(np.float64)
        safe = np.where(there > 0, width, 1.0)
        centre = central(safe, reduced, product)
        x = np.clip(wanted, np.minimum(0.1 * safe, centre), np.maximum(0.9 * safe, centre))
        x = np.where(there > 0, x, 0.5)
        zl, zu = product / x, product / (safe - x)
        lift = np.where(there > 0, reduced - (zl - zu), 0.0)
        zero = np.zeros_like(width)
        return cls(
            x,
            safe - x,
            zl + np.maximum(lift, 0.0),
            zu + np.maximum(-lift, 0.0),
            there,
            zero,
            zero.copy(),
            zero.copy(),
            zero.copy(),
        )

    def eliminate(self, tau: float, second: float) -> tuple[Floats, Floats]:
        """Return the inverse Hessian and the barrier's part of the gradient."""
        tl, tu = self.zl / self.x, self.zu / self.rest
        p = self.predictor
        self.dl = (tau + second * p * (self.zl + tl * p)) / self.x
        self.du = (tau - second * p * (self.zu - tu * p)) / self.rest
        return self.there / (tl + tu), self.there * (self.du - self.dl)

    def set_step(self, step: Floats, second: float) -> tuple[Floats, Floats]:
        """Keep a step; return the steps of both duals. `eliminate` must have been called for the same step."""
        self.step = step * self.there
        if second == 0:
            self.predictor = self.step
        self.dl = self.there * (self.dl - self.zl - self.zl / self.x * self.step)
        self.du = self.there * (self.du - self.zu + self.zu / self.rest * self.step)
        return self.dl, self.du

    def advance(self, primal: float, dual: float) -> None:
        """Move along the step."""
        self.x = self.x + primal * self.step
        self.rest = self.rest - primal * self.step
        self.zl = self.zl + dual * self.dl
        self.zu = self.zu + dual * self.du

    def pairs(self) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """Return `(slack, its step, dual, its step)` of both bounds, of boxes that are there."""
        at = self.there > 0
        return [
            (self.x[at], self.step[at], self.zl[at], self.dl[at]),
            (self.rest[at], -self.step[at], self.zu[at], self.du[at]),
        ]


def central(width: Floats, reduced: Floats, product: float) -> Floats:
    """Return where in `[0, width]` duals that differ by the reduced cost both have a product with their slack.

    Solves `product / x - product / (width - x) = reduced`, without subtracting what is alike.
    """
    size = 2.0 * product / np.maximum(np.abs(reduced) * width, 1e-6 * product)
    near = width * size / (1.0 + size + np.sqrt(1.0 + size * size))
    return np.where(reduced >= 0, near, width - near)


class NodeTerms:
    """The nodes' iterates.

    Parameters
    ----------
    layout
        The problem.
    power
        The vehicles' power of every node at the start, `(node, step)`.
    product
        What slack times dual is to be at the start [currency].
    """

    def __init__(self, layout: Layout, power: Floats, product: float) -> None:
        pieces, self.forest = layout.pieces, layout.forest
        self.low, self.slope, self.fixed = pieces.low_kw, pieces.slope, pieces.fixed_kw
        self.low_cost = float(pieces.low_cost.sum())
        self.price = np.zeros_like(self.low)
        self.curtailed = Box.between(pieces.curtail_kw, 0.1 * pieces.curtail_kw, np.zeros_like(self.low), product)
        wanted = _sum_up(self.forest, power + self.fixed + self.curtailed.x * self.curtailed.there)
        inside = np.cumsum(pieces.width_kw, axis=-1) - pieces.width_kw
        filled = np.clip((wanted - self.low)[..., None] - inside, 0.0, pieces.width_kw)
        self.pieces = Box.between(pieces.width_kw, filled, self.slope, product)
        self.charged = pieces.peak_charge > 0
        self.charge = pieces.peak_charge[self.charged]
        count = self.low.shape[1]
        net = self.net_kw()[self.charged]
        self.peak = np.maximum(net.max(axis=1, initial=0.0), 0.0) * 1.1 + 1.0
        self.peak_dual = self.charge * 0.1
        self.head = self.peak[:, None] - net
        self.share = np.repeat(self.charge[:, None] * 0.9 / count, count, axis=1)
        self.head_step = np.zeros_like(net)
        self.head_predictor = np.zeros_like(net)
        self.peak_step = np.zeros_like(self.peak)
        self.peak_predictor = np.zeros_like(self.peak)
        self.share_step = np.zeros_like(net)
        self.peak_dual_step = np.zeros_like(self.peak)

    def net_kw(self) -> Floats:
        """Return the net power that the pieces stand for."""
        net: Floats = self.low + (self.pieces.x * self.pieces.there).sum(axis=-1)
        return net

    def above(self, value: Floats) -> Floats:
        """Return every node's parent's value, 0 for roots."""
        parent = self.forest.parent
        return np.where(parent[:, None] >= 0, value[parent], 0.0)

    def residual(self, power: Floats) -> Floats:
        """Return what enters each node beyond its net power."""
        net = self.net_kw()
        entering = power + self.fixed + self.curtailed.x * self.curtailed.there
        inner = np.flatnonzero(self.forest.parent >= 0)
        np.add.at(entering, self.forest.parent[inner], net[inner])
        return entering - net

    def eliminate(self, tau: float, second: float) -> None:
        """Prepare `hd`, `th`, `coef`, `own`, `spread` and `pull` for targets `tau`."""
        i, barrier = self.pieces.eliminate(tau, second)
        self.gradient = self.slope + (self.above(self.price) - self.price)[..., None] + barrier
        self.inverse = i
        total = i.sum(axis=-1)
        own = (i * self.gradient).sum(axis=-1) / total
        self.hd, self.th, self.coef = total.copy(), np.zeros_like(total), np.zeros(len(total))
        if self.charged.any():
            p = self.head_predictor
            self.theta = self.share / self.head
            self.share_target = (tau + second * p * (self.share + self.theta * p)) / self.head
            pp = self.peak_predictor
            theta_p = self.peak_dual / self.peak
            self.peak_target = (tau + second * pp * (self.peak_dual + theta_p * pp)) / self.peak
            self.omega = self.theta.sum(axis=1) + theta_p
            self.peak_gradient = self.charge - self.share_target.sum(axis=1) - self.peak_target
            free = total[self.charged]
            hd = free / (1.0 + self.theta * free)
            self.hd[self.charged] = hd
            self.th[self.charged] = self.theta * hd
            self.coef[self.charged] = 1.0 / (theta_p + (self.theta * hd / free).sum(axis=1))
            own[self.charged] += self.share_target + self.theta * (self.peak_gradient / self.omega)[:, None]
        self.own = own
        self.spread, q_barrier = self.curtailed.eliminate(tau, second)
        self.q_gradient = self.price + q_barrier
        self.pull = -self.spread * self.q_gradient

    def set_step(self, price_step: Floats, power: Floats, power_step: Floats, second: float) -> None:
        """Find the steps of all of the nodes' variables.

        The step of the net power is taken from the balance, not from the prices, whose differences lose their digits
        where nothing binds; its pieces share it by their inverse Hessians. So a balance once kept stays kept.
        """
        self.price_step = price_step
        self.curtailed.set_step(-self.spread * (price_step + self.q_gradient), second)
        entering = power_step + self.curtailed.step + self.residual(power)
        net_step = _sum_up(self.forest, entering)
        if self.charged.any():
            dn = net_step[self.charged]
            self.peak_step = ((self.theta * dn).sum(axis=1) - self.peak_gradient) / self.omega
            self.head_step = self.peak_step[:, None] - dn
            self.share_step = self.share_target - self.share - self.theta * self.head_step
            self.peak_dual_step = self.peak_target - self.peak_dual - self.peak_dual / self.peak * self.peak_step
            if second == 0:
                self.head_predictor, self.peak_predictor = self.head_step, self.peak_step
        pulled = self.inverse * self.gradient
        share = self.inverse / self.inverse.sum(axis=-1, keepdims=True)
        self.pieces.set_step(share * (net_step + pulled.sum(axis=-1))[..., None] - pulled, second)

    def advance(self, primal: float, dual: float) -> None:
        """Move along the step."""
        self.pieces.advance(primal, dual)
        self.curtailed.advance(primal, dual)
        self.price = self.price + dual * self.price_step
        self.peak = self.peak + primal * self.peak_step
        self.head = self.head + primal * self.head_step
        self.share = self.share + dual * self.share_step
        self.peak_dual = self.peak_dual + dual * self.peak_dual_step

    def pairs(self) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """Return `(slack, its step, dual, its step)` of every barrier."""
        return [
            *self.pieces.pairs(),
            *self.curtailed.pairs(),
            (self.head.ravel(), self.head_step.ravel(), self.share.ravel(), self.share_step.ravel()),
            (self.peak, self.peak_step, self.peak_dual, self.peak_dual_step),
        ]

    def cost(self) -> float:
        """Return what the nodes' iterates cost."""
        return self.low_cost + float(
            (self.slope * self.pieces.x * self.pieces.there).sum() + (self.charge * self.peak).sum()
        )


def _sum_up(forest: Forest, own: Floats) -> Floats:
    """Add every kept node's values to all of its ancestors."""
    total = own.copy()
    for level in reversed(forest.levels[1:]):
        np.add.at(total, forest.parent[level], total[level])
    return total
