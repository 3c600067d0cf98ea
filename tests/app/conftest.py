"""A small pilot, and worlds of it that several tests look at."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backfeed.app.dispatching import Policy
from backfeed.app.world import LinkKind, WorldRun, WorldSpec, run_world

SMALL = Path(__file__).parent / "small"


@dataclass(frozen=True)
class SmallPilot:
    """The small pilot's text and rows, to be changed and written somewhere."""

    text: str
    rows: tuple[dict[str, str], ...]

    def with_text(self, before: str, after: str) -> "SmallPilot":
        assert before in self.text
        return SmallPilot(self.text.replace(before, after), self.rows)

    def with_rows(self, change: Callable[[list[dict[str, str]]], None]) -> "SmallPilot":
        rows = [dict(row) for row in self.rows]
        change(rows)
        return SmallPilot(self.text, tuple(rows))

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "sessions.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        path = folder / "pilot.toml"
        path.write_text(self.text)
        return path


def _read() -> SmallPilot:
    with (SMALL / "sessions.csv").open(newline="") as file:
        return SmallPilot((SMALL / "pilot.toml").read_text(), tuple(csv.DictReader(file)))


@pytest.fixture(scope="session")
def small_pilot() -> SmallPilot:
    """Two days of 28 sessions at five locations behind two tight connections, and one event."""
    return _read()


@pytest.fixture(scope="session")
def small_day(small_pilot: SmallPilot) -> SmallPilot:
    """Its first day, without the event."""
    head, _, _ = small_pilot.text.partition("[[events]]")
    return SmallPilot(head.replace("days = 2", "days = 1"), small_pilot.rows)


@pytest.fixture(scope="session")
def play() -> Callable[..., WorldRun]:
    """Run a world of a pilot file: `play(path, folder, policy, link)`."""

    def run(path: Path, folder: Path, policy: Policy = Policy.V2G, link: LinkKind = "memory") -> WorldRun:
        return run_world(WorldSpec(path, None, policy, link, folder), lambda _share: None)

    return run


@pytest.fixture(scope="session")
def worlds(
    small_pilot: SmallPilot, play: Callable[..., WorldRun], tmp_path_factory: pytest.TempPathFactory
) -> dict[Any, WorldRun]:
    """The small pilot under every policy, in memory."""
    folder = tmp_path_factory.mktemp("worlds")
    path = small_pilot.write(folder)
    return {policy: play(path, folder / policy.value, policy) for policy in Policy}


@pytest.fixture(scope="session")
def small_path(worlds: dict[Any, WorldRun]) -> Path:
    """The file of the pilot that `worlds` ran."""
    return worlds[Policy.UNMANAGED].folder.parent / "pilot.toml"
