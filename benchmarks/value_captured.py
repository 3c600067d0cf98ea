"""How much of the value of perfect foresight the rolling platform captures, over several draws of what drivers say.

Run it with `python benchmarks/value_captured.py [--pilot FILE] [--seeds 2 3 4 5 6] [--share S] [--sd MIN] [--wrong S]
[--days N] [--prompts [BONUS [CHARGE_BONUS]]]`. One V2G world a statement seed, over links in memory; charging at once
is the same for all of them. A row is one seed: the captured share of all, of sessions with a kept, a broken and no
statement; departures short by more than 1 kWh, of all and of those with a kept statement; cars discharged below their
true reserve by more than half a kWh; broken limits; what is gained over charging at once and what drivers were paid for
answers; questions, answers and what proved right; CPU time.
"""

import argparse
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backfeed.app.dispatching import Policy
from backfeed.app.judge import statement_masks
from backfeed.app.judging import Judgement, judge_run
from backfeed.app.scene import Scene, load_scene
from backfeed.app.world import WorldRun, WorldSpec, run_world

SHIPPED = Path(__file__).parents[1] / "examples" / "guangdong-homes" / "pilot.toml"
BELOW_KWH = 0.5


@dataclass(frozen=True)
class Row:
    """What one seed came to; shares in percent."""

    captured: float
    kept: float
    broken: float
    silent: float
    short: float
    short_kept: float
    below_reserve: float
    violations: float
    gained: float
    paid: float
    asked: float
    answered: float
    right: float
    cpu_s: float


def main() -> int:
    """Run the worlds and print the table."""
    asked = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        unmanaged: WorldRun | None = None
        rows = []
        print(_HEAD)
        for seed in asked.seeds:
            pilot = _pilot(asked, seed, Path(folder) / f"pilot-{seed}")
            unmanaged = unmanaged or _run(pilot, Policy.UNMANAGED, Path(folder) / "unmanaged")
            v2g = _run(pilot, Policy.V2G, Path(folder) / f"v2g-{seed}")
            scene = load_scene(pilot)
            judgement = judge_run(scene, {Policy.UNMANAGED: unmanaged, Policy.V2G: v2g}, foresight=True)
            rows.append(_row(scene, judgement, v2g))
            _print_row(str(seed), rows[-1])
        _print_row("mean", Row(*np.mean([list(vars(row).values()) for row in rows], axis=0)))
    return 0


_HEAD = (
    f"{'seed':>5}{'captured':>10}{'kept':>8}{'broken':>8}{'silent':>8}{'short':>8}{'kept':>7}"
    f"{'reserve':>9}{'limits':>8}{'gained':>9}{'paid':>7}{'asked':>7}{'told':>6}{'right':>7}{'cpu s':>7}"
)


def _print_row(name: str, row: Row) -> None:
    print(
        f"{name:>5}{row.captured:>9.1f}%{row.kept:>7.1f}%{row.broken:>7.1f}%{row.silent:>7.1f}%{row.short:>7.2f}%"
        f"{row.short_kept:>6.2f}%{row.below_reserve:>9.1f}{row.violations:>8.0f}{row.gained:>9.0f}{row.paid:>7.1f}"
        f"{row.asked:>7.0f}{row.answered:>6.0f}{row.right:>7.0f}{row.cpu_s:>7.0f}",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pilot", type=Path, default=SHIPPED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4, 5, 6], help="statement seeds")
    parser.add_argument("--share", type=float, help="share of drivers who state a departure")
    parser.add_argument("--sd", type=float, help="spread of statements [min]")
    parser.add_argument("--wrong", type=float, help="share of statements that are hours off")
    parser.add_argument("--days", type=int, help="length of the window")
    parser.add_argument(
        "--prompts",
        type=float,
        nargs="*",
        metavar="BONUS",
        help="ask drivers, for a bonus on a kept departure and one on a right charge level; without numbers ask nobody",
    )
    return parser.parse_args()


def _pilot(asked: argparse.Namespace, seed: int, folder: Path) -> Path:
    """Copy the pilot with the drivers that are asked for."""
    shutil.copytree(asked.pilot.parent, folder)
    keys = {
        "statement_share": asked.share,
        "statement_sd_min": asked.sd,
        "statement_wrong_share": asked.wrong,
        "statement_seed": seed,
        "days": asked.days,
    }
    text = asked.pilot.read_text(encoding="utf-8")
    for key, value in keys.items():
        if value is not None:
            text, found = re.subn(rf"(?m)^{key} *=.*$", f"{key} = {value}", text)
            if not found and key != "days":  # a draft leaves out what has a default
                text, found = re.subn(r"(?m)^\[drivers\].*$", rf"\g<0>\n{key} = {value}", text)
            if found != 1:
                sys.exit(f"{asked.pilot}: expected one line {key} = ..., found {found}")
    if asked.prompts is not None:
        text = re.sub(r"(?ms)^\[prompts\].*?(?=^\[|\Z)", "", text)
        terms = zip(("bonus", "charge_bonus"), asked.prompts, strict=False)
        text += "\n[prompts]\n" + "".join(f"{key} = {bonus}\n" for key, bonus in terms) if asked.prompts else ""
    path = folder / asked.pilot.name
    path.write_text(text, encoding="utf-8")
    return path


def _run(pilot: Path, policy: Policy, folder: Path) -> WorldRun:
    return run_world(WorldSpec(pilot, None, policy, "memory", folder), lambda _share: None)


def _row(scene: Scene, judgement: Judgement, v2g: WorldRun) -> Row:
    detail = judgement.summary.captured_detail.captured_share
    result = judgement.worlds["v2g"]
    accounts, kept = result.sessions, statement_masks(scene.sessions)["kept"]
    prompts, worlds = judgement.summary.prompts, judgement.summary.worlds
    shares = {kind: 100 * (split.share or np.nan) for kind, split in detail.by_statement.items()}
    return Row(
        captured=100 * (np.nan if detail.share is None else detail.share),
        kept=shares.get("kept", np.nan),
        broken=shares.get("broken", np.nan),
        silent=shares.get("none", np.nan),
        short=100 * accounts.short.sum() / max(accounts.feasible.sum(), 1),
        short_kept=100 * (accounts.short & kept).sum() / max((accounts.feasible & kept).sum(), 1),
        below_reserve=float(_below_reserve(scene, v2g)),
        violations=sum(site.violations for site in result.result.sites.values()),
        gained=worlds["v2g"].net_value - worlds["unmanaged"].net_value,
        paid=prompts.bonus_cost if prompts is not None else 0.0,
        asked=prompts.sent if prompts is not None else 0,
        answered=prompts.answered if prompts is not None else 0,
        right=prompts.kept if prompts is not None else 0,
        cpu_s=v2g.cpu_s,
    )


def _below_reserve(scene: Scene, v2g: WorldRun) -> int:
    """Count the cars that were discharged below the reserve of their true battery."""
    sessions, segments = scene.sessions, v2g.truth.segments
    given = segments.energy_kwh < 0
    lowest = np.full(len(sessions), np.inf)
    np.minimum.at(lowest, segments.session[given], segments.energy_end_kwh[given])
    reserve = scene.pilot.owner_defaults.reserve_soc * sessions.capacity_kwh
    return int(np.count_nonzero(lowest < reserve - BELOW_KWH))


if __name__ == "__main__":
    sys.exit(main())
