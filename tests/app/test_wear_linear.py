"""Linear wear prices, taken at a night's plan inside the trust region, foretell another night's wear."""

import importlib.util
from pathlib import Path

import pytest

from backfeed.battery.law import WEAR_LAWS

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "wear_linear.py"


@pytest.fixture(scope="module")
def pairs():
    spec = importlib.util.spec_from_file_location("wear_linear", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("chemistry", "most"), [("lfp", 0.1), ("nmc-a", 0.1), ("nca", 0.1), ("nmc-b1", 0.2)])
def test_prices_at_the_plan_foretell_held_out_nights(pairs, chemistry, most):
    law = next(law for law in WEAR_LAWS.values() if law.chemistry.value == chemistry)
    at_the_plan, _, plain = pairs.errors(law, 40)
    assert at_the_plan <= most
    assert at_the_plan < plain, "a plain day's prices are worse"
