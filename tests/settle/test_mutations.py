"""Would the tests notice? Small faults are put into the rules of money, one at a time, and the tests have to fail.

A copy of the package is altered at one place (a comparison turned, a sum made a difference, an `and` made an `or`, a
constant moved by one) and the room's own tests run against it. What survives is told with file and line.
"""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "settle/waterfall.py": "tests/settle",
    "settle/energy.py": "tests/settle",
    "settle/owner_day.py": "tests/settle",
    "settle/daybook.py": "tests/settle",
    "settle/transfer.py": "tests/settle",
    "store/ledger.py": "tests/store/test_ledger.py",
    "market/price.py": "tests/market",
    "market/demand_response.py": "tests/market",
    "meter/interval.py": "tests/meter/test_interval.py",
}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
OPERATIONS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult}


class Mutator(ast.NodeTransformer):
    """Alters the `wanted`-th place that can be altered and notes its line."""

    def __init__(self, wanted=-1):
        self.wanted, self.seen, self.line = wanted, 0, 0

    def hit(self, node):
        self.seen += 1
        if self.seen - 1 == self.wanted:
            self.line = node.lineno
            return True
        return False

    def visit_Compare(self, node):
        self.generic_visit(node)
        if type(node.ops[0]) in COMPARISONS and self.hit(node):
            node.ops[0] = COMPARISONS[type(node.ops[0])]()
        return node

    def visit_BinOp(self, node):
        self.generic_visit(node)
        if type(node.op) in OPERATIONS and not isinstance(node.left, ast.Constant) and self.hit(node):
            node.op = OPERATIONS[type(node.op)]()
        return node

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        if self.hit(node):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return node

    def visit_Assert(self, node):
        return node  # an assertion that is off by one has no effect to be seen

    def visit_AnnAssign(self, node):
        node.value = self.visit(node.value) if node.value else None
        return node


def mutant(source, wanted):
    tree, mutator = ast.parse(source), Mutator(wanted)
    mutated = ast.unparse(ast.fix_missing_locations(mutator.visit(tree)))
    return mutated, mutator


@pytest.mark.nightly
@pytest.mark.parametrize("module", MODULES)
def test_the_tests_notice_small_faults(module, tmp_path):
    package = tmp_path / "src" / "backfeed"
    shutil.copytree(ROOT / "src" / "backfeed", package, ignore=shutil.ignore_patterns("__pycache__"))
    source = (package / module).read_text(encoding="utf-8")
    places = mutant(source, -1)[1].seen
    generator = np.random.Generator(np.random.PCG64(11))
    chosen = sorted(generator.choice(places, min(places, 12), replace=False).tolist())
    survivors = []
    for place in chosen:
        text, mutator = mutant(source, place)
        (package / module).write_text(text, encoding="utf-8")
        words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", MODULES[module]]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        outcome = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        if outcome.returncode == 0:
            survivors.append(f"{module}:{mutator.line}")
    assert len(survivors) <= len(chosen) // 6, survivors
