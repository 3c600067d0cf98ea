"""A simulated run: the worlds of a pilot side by side, judged, reported.

The V2G world speaks over real sockets unless told otherwise, the others over memory, two at a time.
Perfect foresight comes last, because its demand-response baselines are those of the V2G world.
The summary is written when everything else is there: a folder with a summary holds a whole run.
"""

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from pathlib import Path

from backfeed.app.assembly import DAYS_FOLDER, EVENTS_FILE, LEDGER_FILE
from backfeed.app.dispatching import Policy
from backfeed.app.judging import judge_run
from backfeed.app.project import PROJECT_FILE
from backfeed.app.reporting import REPORT_FILE, write_report
from backfeed.app.scene import load_scene
from backfeed.app.workers import worker_context
from backfeed.app.world import LinkKind, WorldRun, WorldSpec, run_world
from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.report.battery_file import BATTERY_FILE
from backfeed.report.battery_index import PAGES_FOLDER
from backfeed.report.run_report import RunReport
from backfeed.report.summary import SUMMARY_FILE, WORLD_NAMES, WorldName, write_summary

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""

WORLDS_FOLDER = "worlds"
UNINVITED = "v1g-uninvited"
POLL_S = 0.5
AT_ONCE = 2
"""Worlds at a time: a world is one process on one core."""


def run_pilot(
    pilot: Path,
    out: Path,
    *,
    seed: int | None = None,
    link: LinkKind = "socket",
    worlds: Sequence[WorldName] = WORLD_NAMES,
    progress: Progress = lambda _what, _share: None,
) -> RunReport:
    """Run a pilot's worlds and write a run folder.

    Parameters
    ----------
    pilot
        The pilot file.
    out
        The folder of the run. A run that stands there is replaced.
    seed
        Replaces the pilot's seed.
    link
        How the V2G world's chargers reach the platform.
    worlds
        Which worlds to run; foresight needs the V2G world where there are invitations.
    progress
        Told what is being done.

    Raises
    ------
    InputError
        If the pilot or a file it names can not be used.
    EnvironmentProblemError
        If the folder can not be written.
    """
    scene = load_scene(pilot, seed)
    _check_worlds(worlds, has_events=bool(scene.invitations))
    clear_run(out)
    specs = [
        WorldSpec(pilot, seed, policy, link if policy is Policy.V2G else "memory", _folder(out, policy))
        for policy in (Policy.V2G, Policy.V1G, Policy.UNMANAGED)
        if policy.value in worlds
    ]
    if scene.invitations and {"v1g", "v2g"} <= set(worlds):
        # What steered charging would have taken without the event: a counterfactual beside the programme's baseline.
        specs.append(WorldSpec(pilot, seed, Policy.V1G, "memory", out / WORLDS_FOLDER / UNINVITED, invited=False))
    # The shortest last, so that both cores are done at about the same time.
    specs.sort(key=lambda spec: spec.policy is Policy.UNMANAGED)
    done = _run_worlds(specs, progress)
    runs = {run.policy: run for spec, run in zip(specs, done, strict=True) if spec.invited}
    uninvited = next((run for spec, run in zip(specs, done, strict=True) if not spec.invited), None)
    progress("foresight", 0.0)
    judgement = judge_run(scene, runs, uninvited, foresight="foresight" in worlds)
    progress("report", 0.0)
    report = write_report(scene, judgement, out)
    write_summary(judgement.summary, out / SUMMARY_FILE)
    progress("report", 1.0)
    return report


def clear_run(out: Path) -> None:
    """Make a run folder, without what an earlier run has left in it; anything else in it stays."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The summary goes first: a folder without one holds no whole run.
        for name in (SUMMARY_FILE, REPORT_FILE, BATTERY_FILE, PROJECT_FILE):
            (out / name).unlink(missing_ok=True)
        for name in (EVENTS_FILE, LEDGER_FILE):
            for file in out.glob(f"{name}*"):
                file.unlink()
        for name in (DAYS_FOLDER, WORLDS_FOLDER, PAGES_FOLDER):
            if (out / name).is_dir():
                shutil.rmtree(out / name)
    except OSError as error:
        message = f"{out}: the run folder can not be written: {error.strerror}"
        raise EnvironmentProblemError(message) from error


def _check_worlds(worlds: Sequence[WorldName], *, has_events: bool) -> None:
    unknown = [name for name in worlds if name not in WORLD_NAMES]
    if unknown or not worlds:
        what = f"expected some of {', '.join(WORLD_NAMES)}, found {', '.join(unknown) or 'none'}"
        raise InputError([Problem("--worlds", what)])
    if list(worlds) == ["foresight"]:
        raise InputError([Problem("--worlds", "foresight is compared with other worlds: ask for one of them too")])
    if "foresight" in worlds and has_events and "v2g" not in worlds:
        what = "foresight takes its demand-response baselines from the v2g world: ask for both"
        raise InputError([Problem("--worlds", what)])


def _folder(out: Path, policy: Policy) -> Path:
    """Return a world's folder: the V2G world is the run itself, the worlds it is compared with lie below it."""
    return out if policy is Policy.V2G else out / WORLDS_FOLDER / policy.value


def _run_worlds(specs: Sequence[WorldSpec], progress: Progress) -> list[WorldRun]:
    """Run worlds in processes of their own, showing how far each is."""
    context = worker_context()
    shares = context.Array("d", max(len(specs), 1))
    with ProcessPoolExecutor(AT_ONCE, context, _take_shares, (shares,)) as pool:
        futures: list[Future[WorldRun]] = [pool.submit(_run_one, spec, number) for number, spec in enumerate(specs)]
        left = set(futures)
        try:
            while left:
                done, left = wait(left, timeout=POLL_S)
                for number, spec in enumerate(specs):
                    progress(spec.name, shares[number])
                if any(future.exception() is not None for future in done):
                    for future in left:
                        future.cancel()
        except BaseException:
            # Interrupted: a world takes minutes, and nobody waits for it any more.
            for process in multiprocessing.active_children():
                process.kill()
            raise
        return [future.result() for future in futures]


_shares: "multiprocessing.sharedctypes.SynchronizedArray[float] | None" = None


def _take_shares(shares: "multiprocessing.sharedctypes.SynchronizedArray[float]") -> None:
    """Keep the array through which a world's process tells how far it is."""
    global _shares  # noqa: PLW0603 - a process pool has no other place for what all its jobs share
    _shares = shares


def _run_one(spec: WorldSpec, number: int) -> WorldRun:
    def tell(share: float) -> None:
        if _shares is not None:
            _shares[number] = share

    return run_world(spec, tell)
