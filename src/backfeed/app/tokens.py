"""Tokens: what a program shows that may do more than look, and for what it was given."""

import secrets
from enum import StrEnum
from pathlib import Path

import msgspec

from backfeed.app.register import SECRET_BYTES, Register

TOKENS_FILE = "tokens.json"


class TokenRole(StrEnum):
    """What a token allows."""

    DRIVER_APP = "driver-app"
    """Read the questions to drivers, and hand in their answers."""


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token as registered, by its proof."""

    role: TokenRole


class TokenRegister:
    """The tokens of a data folder; another process may issue some while a service reads."""

    def __init__(self, folder: Path) -> None:
        """Keep the register in `folder`."""
        self._register = Register(folder / TOKENS_FILE, IssuedToken, "tokens")

    def add(self, role: TokenRole) -> str:
        """Issue a token and return it; only its proof is kept.

        Raises
        ------
        EnvironmentProblemError
            If the register can not be written.
        """
        token = secrets.token_hex(SECRET_BYTES)
        self._register.put(self._register.proof(token), IssuedToken(role=role))
        return token

    def role_of(self, token: str) -> TokenRole | None:
        """Return what a token allows, None for one that was never issued."""
        entry = self._register.entries().get(self._register.proof(token))
        return entry.role if entry is not None else None
