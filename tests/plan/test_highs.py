"""The HiGHS route against a linear program written naively from the definitions, variable by variable."""

import numpy as np
import pytest
from scipy.optimize import linprog

from backfeed.plan.highs import MIP_NODES_MAX, HighsSolver
from backfeed.plan.solve import solve


class NaiveProgram:
    """A linear program that grows by names; slow and plain on purpose."""

    def __init__(self):
        self.cost, self.bounds, self.equal, self.equal_to, self.less, self.less_than = [], [], [], [], [], []

    def variable(self, cost=0.0, low=0.0, high=None):
        self.cost.append(cost)
        self.bounds.append((low, high))
        return len(self.cost) - 1

    def equals(self, terms, right):
        self.equal.append(terms)
        self.equal_to.append(right)

    def at_most(self, terms, right):
        self.less.append(terms)
        self.less_than.append(right)

    def minimum(self):
        def matrix(rows):
            dense = np.zeros((len(rows), len(self.cost)))
            for i, terms in enumerate(rows):
                for variable, factor in terms:
                    dense[i, variable] += factor
            return dense

        answer = linprog(
            self.cost,
            A_eq=matrix(self.equal) if self.equal else None,
            b_eq=self.equal_to or None,
            A_ub=matrix(self.less) if self.less else None,
            b_ub=self.less_than or None,
            bounds=self.bounds,
            method="highs",
        )
        assert answer.status == 0, answer.message
        return answer.fun


def naive_optimum(problem):
    """Write the problem down as the reference page words it."""
    lp, w, nodes, prices = NaiveProgram(), problem.windows, problem.nodes, problem.prices
    dt, penalties = problem.axis.step_h, problem.penalties
    count = problem.axis.count
    vehicles = [[[] for _ in range(count)] for _ in range(len(nodes))]
    constant, ends = 0.0, {}
    hours = w.hours(dt)
    for i in range(len(w)):
        before, start = [], w.energy_arrival_kwh[i]
        if not np.isnan(w.drain_kwh[i]):
            before, start = [(ends[w.vehicle[i]], 1.0)], -w.drain_kwh[i]
        zone = nodes.zone[w.node[i]]
        own = nodes.meter[w.node[i]] < 0
        for t in range(w.arrive_step[i], w.depart_step[i]):
            h = hours[w.offsets[i] + t - w.arrive_step[i]]
            share = h / dt
            buy = prices.buy_per_kwh[zone, t] if own else 0.0
            sell = prices.sell_per_kwh[zone, t] if own else 0.0
            c_max, x_max = w.charge_max_kw[i] * share, w.discharge_max_kw[i] * share
            c = lp.variable(dt * buy, 0, c_max)
            x = lp.variable(dt * (w.wear_per_kwh[i] - sell), 0, x_max)
            if x_max > 0:
                lp.at_most([(c, 1 / c_max), (x, 1 / x_max)], 1.0)
            low = 0.0 if w.keeps_above_empty[i] else None
            e = lp.variable(w.hold_per_kwh_h[i] * h, low, w.energy_max_kwh[i])
            lp.equals(
                [
                    (e, 1.0),
                    *[(v, -f) for v, f in before],
                    (c, -dt * w.charge_efficiency[i]),
                    (x, dt / w.discharge_efficiency[i]),
                ],
                start,
            )
            reserve = lp.variable(penalties.reserve_per_kwh_h * h)
            lp.at_most([(e, -1.0), (reserve, -1.0)], -w.energy_min_kwh[i])
            before, start = [(e, 1.0)], 0.0
            vehicles[w.node[i]][t] += [(c, 1.0), (x, -1.0)]
        missing = lp.variable(penalties.departure_per_kwh)
        extra = lp.variable(-w.energy_value_per_kwh[i])
        target = w.energy_target_kwh[i]
        lp.equals([(e, 1.0), (missing, 1.0), (extra, -1.0)], target)
        ends[w.vehicle[i]] = e
    constant += naive_nodes(lp, problem, vehicles)
    return lp.minimum() + constant


def naive_nodes(lp, problem, vehicles):
    """Limits, meters, peaks and promises; meters that sell above buy get the hull between their limits."""
    nodes, prices, dt = problem.nodes, problem.prices, problem.axis.step_h
    count, limit = problem.axis.count, problem.penalties.limit_per_kwh * problem.axis.step_h
    below = [[j for j in range(len(nodes)) if k in path_up(nodes, j)] for k in range(len(nodes))]
    curtail = [
        [lp.variable(0.0, 0.0, nodes.pv_kw[k, t] * nodes.metered[k]) for t in range(count)] for k in range(len(nodes))
    ]
    for k in range(len(nodes)):
        peak = lp.variable(nodes.peak_charge_per_kw[k])
        for t in range(count):
            terms = [term for j in below[k] for term in [*vehicles[j][t], (curtail[j][t], 1.0)]]
            fixed = sum(nodes.base_load_kw[j, t] - nodes.pv_kw[j, t] for j in below[k])
            over, beyond = lp.variable(limit), lp.variable(limit)
            if np.isfinite(nodes.import_limit_kw[k, t]):
                lp.at_most([*terms, (over, -1.0)], nodes.import_limit_kw[k, t] - fixed)
            if np.isfinite(nodes.export_limit_kw[k, t]):
                lp.at_most([*[(v, -f) for v, f in terms], (beyond, -1.0)], nodes.export_limit_kw[k, t] + fixed)
            lp.at_most([*terms, (peak, -1.0)], -fixed)
            if nodes.metered[k]:
                buy, sell = dt * prices.buy_per_kwh[nodes.zone[k], t], dt * prices.sell_per_kwh[nodes.zone[k], t]
                high = fixed + sum(lp.bounds[v][1] for v, f in terms if f > 0)
                low = fixed - sum(lp.bounds[v][1] for v, f in terms if f < 0)
                outside = []
                right = min(max(nodes.import_limit_kw[k, t], low), high)
                left = min(max(-nodes.export_limit_kw[k, t], low), high)
                if buy < sell <= buy + limit and left < right:  # beyond the limits power is priced by itself
                    low, high, outside = left, right, [(over, 1.0), (beyond, -1.0)]
                    lp.cost[over], lp.cost[beyond] = limit + buy, limit - sell
                most, least = max(high, 0.0), max(-low, 0.0)
                bought, sold = lp.variable(buy, 0.0, most), lp.variable(-sell, 0.0, least)
                lp.equals([(bought, 1.0), (sold, -1.0), *outside, *[(v, -f) for v, f in terms]], fixed)
                if sell > buy and most > 0 and least > 0:
                    lp.at_most([(bought, 1 / most), (sold, 1 / least)], 1.0)
    for q in range(len(problem.commitments)):
        c = problem.commitments
        terms = [term for j in below[c.node[q]] for term in vehicles[j][c.step[q]]]
        sign = 1.0 if c.up[q] else -1.0
        short = lp.variable(dt * c.shortfall_per_kwh[q])
        lp.at_most([*[(v, sign * f) for v, f in terms], (short, -1.0)], -c.power_kw[q])
    return 0.0


def path_up(nodes, k):
    """Return a node and its ancestors."""
    path = [k]
    while nodes.parent[path[-1]] >= 0:
        path.append(int(nodes.parent[path[-1]]))
    return path


@pytest.mark.parametrize("seed", range(60))
def test_bound_is_the_optimum_of_the_naive_program(random_problem, seed):
    problem = random_problem(seed, count=[1, 6, 12][seed % 3], rows=[1, 4, 8][seed % 3])
    schedule = solve(problem, method="highs")
    optimum = naive_optimum(problem)
    assert schedule.lower_bound == pytest.approx(optimum, rel=1e-6, abs=1e-5)
    assert schedule.objective >= optimum - 1e-5 * max(1, abs(optimum))


@pytest.mark.parametrize("method", ["auto", "structured", "highs"])
def test_where_nothing_is_to_be_decided_the_plan_is_empty_and_proven(random_problem, method):
    schedule = solve(random_problem(1, rows=0, meters=False, promises=0, peak=0.0, base=False), method=method)
    assert (schedule.status, schedule.objective, schedule.lower_bound) == ("optimal", 0.0, 0.0)


def test_a_search_for_ways_that_is_cut_off_ends_in_a_plan(random_problem):
    problem = random_problem(8, rows=4, count=12, v2g=1.0, inverted=True, meters=False)
    cut, usual, whole = (solve(problem, 1e-6, method="highs", solver=HighsSolver(n)) for n in (0, MIP_NODES_MAX, 10**6))
    assert usual.objective == pytest.approx(whole.objective, rel=1e-6)
    assert cut.status == "optimal"
    assert cut.objective > usual.objective + 1.0


def test_statistics_tell_how_large_a_problem_is_and_what_is_missing(random_problem):
    schedule = solve(random_problem(2, rows=4, count=12, infeasible=True), method="highs")
    told = schedule.statistics
    assert (told["rows"], told["steps"], told["entries"]) == (4, 12, len(schedule.power_flat_kw))
    assert told["departure_kwh"] == pytest.approx(schedule.shortfall_kwh)
    assert schedule.shortfall_kwh > 1.0
