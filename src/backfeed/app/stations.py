"""The register of stations from outside: which site each belongs to, and proof of who it is.

A wrong password and an unknown identity take the same time and get the same answer.
"""

import hashlib
import hmac
import secrets
from collections.abc import Container
from pathlib import Path

import msgspec

from backfeed.app.register import SECRET_BYTES, Register
from backfeed.core.problem import InputError, Problem
from backfeed.gateway.socket import is_identity

REGISTER_FILE = "stations.json"
PASSWORD_MIN, PASSWORD_MAX = 16, 40
"""Length of a station's password (OCPP 2.1 Part 2, A00.FR.205)."""

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
        self._register = Register(folder / REGISTER_FILE, RegisteredStation, "stations")

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
        secret = password or secrets.token_hex(SECRET_BYTES)
        proof = self._proof(station, secret)
        self._register.put(station, RegisteredStation(site=site, profile=profile, proof=proof))
        return secret

    def site_of(self, station: str) -> str | None:
        """Return the site of a registered station, None for any other."""
        entry = self._register.entries().get(station)
        return entry.site if entry is not None else None

    def proves(self, station: str, password: str | None) -> bool:
        """Return whether a password is that of a registered station; a stranger takes the same time."""
        entry = self._register.entries().get(station)
        proof = entry.proof if entry is not None else "0" * hashlib.sha256().digest_size * 2
        return hmac.compare_digest(self._proof(station, password or ""), proof)

    def strangers(self, sites: Container[str]) -> tuple[Problem, ...]:
        """Return a problem for every station that is registered for a site which is not one of `sites`."""
        return tuple(
            Problem(str(self._register.path), f"station {name}: site {entry.site!r} is not one of the pilot's")
            for name, entry in self._register.entries().items()
            if entry.site not in sites
        )

    def _proof(self, station: str, password: str) -> str:
        return self._register.proof(f"{station}\0{password}")


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
