"""Registers: who may connect or ask, kept in a data folder as proofs of secrets, never as the secrets themselves.

A proof is HMAC-SHA-256 under a key that lies beside the registers: a generated secret has 128 bits or more, so
nothing slower is needed, and a storm of reconnecting chargers stays cheap. Another process may add entries while
a service reads.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from backfeed.core.problem import EnvironmentProblemError, InputError, Problem

KEY_FILE = "server.key"
SECRET_BYTES = 20

_KEY_BYTES = 32
_Entry = TypeVar("_Entry", bound=msgspec.Struct)


class Register(Generic[_Entry]):
    """One register of a data folder.

    Parameters
    ----------
    path
        Its file; the key lies beside it.
    kind
        What an entry says.
    what
        What the register holds, for messages.
    """

    def __init__(self, path: Path, kind: type[_Entry], what: str) -> None:
        """Keep the register in `path`."""
        self.path = path
        self._decoder = msgspec.json.Decoder(dict.__class_getitem__((str, kind)))
        self._what = what
        self._read_at = -1
        self._entries: dict[str, _Entry] = {}

    def entries(self) -> dict[str, _Entry]:
        """Return what is registered, by name.

        Raises
        ------
        InputError
            If the file is no such register.
        EnvironmentProblemError
            If it can not be read.
        """
        try:
            changed_at = self.path.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._entries = self._decoder.decode(self.path.read_bytes())
                self._read_at = changed_at
        except FileNotFoundError:
            return {}
        except OSError as error:
            message = f"{self.path}: the register can not be read: {error.strerror}"
            raise EnvironmentProblemError(message) from error
        except msgspec.MsgspecError as error:
            what = f"expected a register of {self._what}, found: {error}"
            raise InputError([Problem(str(self.path), what)]) from error
        return self._entries

    def put(self, name: str, entry: _Entry) -> None:
        """Register an entry, in place of one of the same name.

        Raises
        ------
        EnvironmentProblemError
            If the register can not be written.
        """
        entries = {**self.entries(), name: entry}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial = self.path.with_suffix(".part")
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(entries.items())))) + b"\n")
            partial.replace(self.path)
        except OSError as error:
            message = f"{self.path}: the register can not be written: {error.strerror}"
            raise EnvironmentProblemError(message) from error

    def proof(self, text: str) -> str:
        """Return what is kept of a secret.

        Raises
        ------
        EnvironmentProblemError
            If the folder's key can not be read or made.
        """
        try:
            return hmac.new(self._key(), text.encode(), hashlib.sha256).hexdigest()
        except OSError as error:
            message = f"{self.path}: the register can not be written: {error.strerror}"
            raise EnvironmentProblemError(message) from error

    def _key(self) -> bytes:
        """Return the folder's key, made whole at its first use and readable by nobody else."""
        path = self.path.parent / KEY_FILE
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part")
            partial.touch(mode=0o600)
            partial.write_bytes(secrets.token_bytes(_KEY_BYTES))
            partial.replace(path)
        return path.read_bytes()
