"""The structured solver against HiGHS on random problems: how many agree, which do not.

    python benchmarks/plan_agreement.py --seeds 50000 50360 [LOW HIGH ...] [--free | --family NAME]

Problems are those of the nightly tests (`tests/plan`), seed by seed from the families in turn, from one of them, or
with everything drawn (`--free`). A problem agrees if bounds are equal to 2e-5, the judge finds the plan as good as it
says and proves the gap where nothing runs both ways. Prints what broke in the others, and how many agree.
"""

import argparse
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "plan"))

from test_structured import FAMILIES, compare  # noqa: E402

from conftest import draw_problem  # noqa: E402 the tests' own problems


def verdict(seed: int, wanted: dict[str, object]) -> str:
    """Solve one problem both ways; return "agrees" or what was found instead."""
    try:
        compare(draw_problem(seed, **wanted))
    except AssertionError as found:
        return traceback.extract_tb(found.__traceback__)[-1].line or "does not agree"
    return "agrees"


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[70_000, 70_100])
    parser.add_argument("--free", action="store_true")
    parser.add_argument("--family", choices=sorted(FAMILIES))
    asked = parser.parse_args()
    names = [asked.family] if asked.family else list(FAMILIES)
    agree = many = 0
    for low, high in zip(asked.seeds[::2], asked.seeds[1::2], strict=True):
        for seed in range(low, high):
            name = "free" if asked.free else names[seed % len(names)]
            found = verdict(seed, {} if asked.free else FAMILIES[name])
            many, agree = many + 1, agree + (found == "agrees")
            if found != "agrees":
                print(f"{seed} {name}: {found}", flush=True)
    print(f"{agree} of {many} agree")


if __name__ == "__main__":
    main()
