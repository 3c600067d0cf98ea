"""What the wear price in the plan is worth: the shipped pilot with none, with a constant, with the true law's prices.

    python benchmarks/wear_effect.py [DAYS] [CONSTANT ...]

The V2G world of the shipped pilot runs its first days (5 unless told otherwise, without its invitations) once for
every way to price wear in the plan: not at all, by each constant (0.03, 0.08 and 0.2 per kWh unless told otherwise),
and by the law at every car's own plan. The same judge then charges each of them the wear that its cars truly had.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from backfeed.app.dispatching import Policy
from backfeed.app.judging import judge_run
from backfeed.app.scene import load_scene
from backfeed.app.world import WorldSpec, run_world

SHIPPED = Path(__file__).resolve().parent.parent / "examples" / "guangdong-homes"
CONSTANTS = ("0.03", "0.08", "0.2")


def pilot_text(days: int, wear: str) -> str:
    """Return the shipped pilot with another length, without invitations, with other words on wear in `[plan]`."""
    text = (SHIPPED / "pilot.toml").read_text(encoding="utf-8")
    head, _, rest = text.partition("[[events]]")
    plan = rest[rest.index("[plan]") :]
    return re.sub(r"(?m)^days = \d+", f"days = {days}", head) + plan.replace("[plan]", f"[plan]\n{wear}")


def main() -> None:
    """Run every way, print a row each."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ways = {"none": 'wear = "none"', **{c: f'wear = "constant"\nwear_per_kwh = {c}' for c in sys.argv[2:] or CONSTANTS}}
    ways["true"] = 'wear = "true"'
    print(f"{'wear in the plan':18}{'net value':>11}{'wear':>9}{'discharged':>12}{'short':>7}{'CPU-s':>8}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pilot"
        shutil.copytree(SHIPPED, folder)
        for name, wear in ways.items():
            path = folder / f"{name}.toml"
            path.write_text(pilot_text(days, wear), encoding="utf-8")
            run = run_world(WorldSpec(path, None, Policy.V2G, "memory", Path(temporary) / name), lambda _share: None)
            found = judge_run(load_scene(path), {Policy.V2G: run}, foresight=False).summary.worlds["v2g"]
            print(
                f"{name:18}{found.net_value:11.2f}{found.wear_cost:9.2f}{found.discharged_kwh:10.0f} kWh"
                f"{found.departures.short:7}{run.cpu_s:8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
