"""The register of stations from outside: which site each belongs to, and proof of who it is.

Secrets are kept as HMAC-SHA-256 under a key that lies beside them: a generated secret has 128 bits or
more, so nothing slower is needed, and a storm of reconnecting chargers stays cheap. A wrong password
and an unknown identity take the same time and get the same answer.
"""

import hashlib
import hmac
import secrets
from collections.abc import Container
from pathlib import Path

import msgspec

from backfeed.core.problem import EnvironmentProblemError, InputError, Problem
from backfeed.gateway.socket import is_identity

REGISTER_FILE = "stations.json"
KEY_FILE = "server.key"
PASSWORD_MIN, PASSWORD_MAX = 16, 40
"""Length of a station's password (OCPP 2.1 Part 2, A00.FR.205)."""

_KEY_BYTES = 32
_SECRET_BYTES = 20
_IDENTITY_MAX = 48


class RegisteredStation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A station as registered."""

    site: str
    profile: int
    proof: str


class StationRegister:
    """The stations of a data folder; another process may add some while a service reads."""

    def __init__(self, folder: Path) -> None:
        """Keep the register in `folder`."""
        self._folder = folder
        self._path = folder / REGISTER_FILE
        self._read_at = -1
        self._stations: dict[str, RegisteredStation] = {}

    def add(self, station: str, site: str, profile: int, password: str | None) -> str:
        """Register a station and return its password, a generated one if none is given.

        Raises
        ------
        InputError
            If the identity, the profile or the password is not one that OCPP allows.
        EnvironmentProblemError
            If the register can not be written.
        """
        problems = _problems(station, profile, password)
        if problems:
            raise InputError(problems)
        secret = password or secrets.token_hex(_SECRET_BYTES)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            entry = RegisteredStation(site=site, profile=profile, proof=self._proof(station, secret))
            stations = {**self._current(), station: entry}
            partial = self._path.with_suffix(".part")
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(stations.items())))) + b"\n")
            partial.replace(self._path)
        except OSError as error:
            message = f"{self._path}: the register can not be written: {error.strerror}"
            raise EnvironmentProblemError(message) from error
        return secret

    def site_of(self, station: str) -> str | None:
        """Return the site of a registered station, None for any other."""
        entry = self._current().get(station)
        return entry.site if entry is not None else None

    def proves(self, station: str, password: str | None) -> bool:
        """Return whether a password is that of a registered station."""
        entry = self._current().get(station)
        proof = entry.proof if entry is not None else "0" * hashlib.sha256().digest_size * 2
        return hmac.compare_digest(self._proof(station, password or ""), proof)

    def strangers(self, sites: Container[str]) -> tuple[Problem, ...]:
        """Return a problem for every station that is registered for a site which is not one of `sites`."""
        return tuple(
            Problem(str(self._path), f"station {name}: site {entry.site!r} is not one of the pilot's")
            for name, entry in self._current().items()
            if entry.site not in sites
        )

    def _current(self) -> dict[str, RegisteredStation]:
        try:
            changed_at = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        except OSError as error:
            message = f"{self._path}: the register can not be read: {error.strerror}"
            raise EnvironmentProblemError(message) from error
        if changed_at != self._read_at:
            try:
                self._stations = msgspec.json.decode(self._path.read_bytes(), type=dict[str, RegisteredStation])
            except msgspec.MsgspecError as error:
                raise InputError(
                    [Problem(str(self._path), f"expected a register of stations, found: {error}")]
                ) from error
            self._read_at = changed_at
        return self._stations

    def _proof(self, station: str, password: str) -> str:
        return hmac.new(self._key(), f"{station}\0{password}".encode(), hashlib.sha256).hexdigest()

    def _key(self) -> bytes:
        """Return the folder's key, made at its first use and readable by nobody else."""
        path = self._folder / KEY_FILE
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(_KEY_BYTES))
        return path.read_bytes()


def _problems(station: str, profile: int, password: str | None) -> list[Problem]:
    found = []
    if not is_identity(station):
        what = f"expected 1 to {_IDENTITY_MAX} of the characters A-Z a-z 0-9 * + = : | @ . _ -, found {station!r}"
        found.append(Problem("station", what))
    if profile != 1:
        found.append(
            Problem("--profile", f"expected 1 (Basic authentication; 2 and 3 are not served yet), found {profile}")
        )
    if password is not None and not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        what = f"expected {PASSWORD_MIN} to {PASSWORD_MAX} characters, found {len(password)}"
        found.append(Problem("--password", what))
    return found
