"""Seals: what stands beside a closed ledger file, so that any flipped byte is found.

The chain proves the rows. A seal proves the files, down to bytes that no row uses: it holds the SHA-256 of the
ledger and of the interval detail of every day beside it, the head of the chain and the number of transfers, signed
with HMAC-SHA256 if there is a key.
"""

import hashlib
import hmac
from pathlib import Path

import msgspec

from backfeed.core.problem import EnvironmentProblemError, Problem
from backfeed.store.ledger import Ledger, Verification
from backfeed.store.ledger_sqlite import NewerSchemaError, SqliteTables


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a seal; `signature` is empty where there is no key, seals of older versions know no `details`."""

    head: str
    transfers: int
    file_sha256: str
    signature: str = ""
    details: dict[str, str] = {}

    def signed_bytes(self) -> bytes:
        """Return what is signed."""
        details = "".join(f"{name} {digest}\n" for name, digest in sorted(self.details.items()))
        return f"{self.head}\n{self.transfers}\n{self.file_sha256}\n{details}".encode()


DETAIL_FOLDER = "days"
"""Where the interval detail of settled days lies, beside the ledger."""


def seal_path(path: Path) -> Path:
    """Return where the seal of a ledger file stands."""
    return path.with_name(path.name + ".seal")


def open_ledger(path: Path, *, durable: bool = True, readonly: bool = False) -> Ledger:
    """Open the ledger in a file, making it if it does not exist.

    Parameters
    ----------
    path
        The SQLite file.
    durable
        Wait for the disk at every commit. A simulated run, which can be repeated, need not.
    readonly
        Look and change nothing; the file has to exist.

    Raises
    ------
    EnvironmentProblemError
        If the file can not be opened, is no ledger or was written by a newer version.
    """
    return Ledger(SqliteTables(path, durable=durable, readonly=readonly))


def seal_ledger(path: Path, key: bytes = b"") -> Seal:
    """Seal the closed ledger in a file.

    Raises
    ------
    EnvironmentProblemError
        If the file can not be read or the seal not written.
    """
    tables = SqliteTables(path)
    with Ledger(tables) as ledger:
        tables.lie_alone()
        head, transfers = ledger.hash(), ledger.count()
    seal = Seal(head, transfers, _file_sha256(path), details=_details(path))
    if key:
        seal = msgspec.structs.replace(seal, signature=_sign(seal, key))
    try:
        seal_path(path).write_bytes(msgspec.json.encode(seal) + b"\n")
    except OSError as error:
        message = f"seal of {path} can not be written: {error}"
        raise EnvironmentProblemError(message) from error
    return seal


def verify_file(path: Path, key: bytes = b"") -> Verification:
    """Verify the ledger in a file: its seal if it has one, its chain, sums and promises.

    Reading changes no byte of a sealed file.

    Raises
    ------
    EnvironmentProblemError
        If there is no such file, or a newer version wrote it and nothing else is wrong with it.
    """
    if not path.is_file():
        message = f"there is no ledger {path}"
        raise EnvironmentProblemError(message)
    seal, problems = _read_seal(path, key)
    if seal is not None and seal.file_sha256 != _file_sha256(path):
        problems.append(Problem(str(path), "the file is not the one that was sealed"))
    problems += _changed_details(path, seal.details) if seal is not None else []
    try:
        with open_ledger(path, readonly=True) as ledger:
            found = ledger.verify()
    except EnvironmentProblemError as error:
        if isinstance(error, NewerSchemaError) and not problems:
            raise
        return Verification(0, "", {}, (*problems, Problem(str(path), str(error))))
    if seal is not None and (seal.head, seal.transfers) != (found.head, found.transfers):
        sealed = f"sealed with {seal.transfers} transfers and head {seal.head[:16]}"
        problems.append(Problem(str(path), f"{sealed}, found {found.transfers} and {found.head[:16]}"))
    return Verification(found.transfers, found.head, found.units, (*problems, *found.problems))


def _read_seal(path: Path, key: bytes) -> tuple[Seal | None, list[Problem]]:
    place = seal_path(path)
    if not place.is_file():
        return None, [Problem(str(place), "there is no seal, but a key was given")] if key else []
    try:
        seal = msgspec.json.decode(place.read_bytes(), type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, [Problem(str(place), f"can not be read: {error}")]
    if key and not hmac.compare_digest(seal.signature.encode(), _sign(seal, key).encode()):
        return seal, [Problem(str(place), "its signature is not by this key")]
    return seal, []


def _details(path: Path) -> dict[str, str]:
    """Return the SHA-256 of the interval detail beside a ledger, by file name."""
    found = sorted((path.parent / DETAIL_FOLDER).glob("*.parquet"))
    return {file.name: _file_sha256(file) for file in found}


def _changed_details(path: Path, sealed: dict[str, str]) -> list[Problem]:
    """Return which sealed detail is missing or has another byte; what came after the seal is not its business."""
    now = _details(path)
    return [
        Problem(str(path.parent / DETAIL_FOLDER / name), "is missing" if name not in now else "is not as it was sealed")
        for name, digest in sorted(sealed.items())
        if now.get(name) != digest
    ]


def _sign(seal: Seal, key: bytes) -> str:
    return hmac.new(key, seal.signed_bytes(), hashlib.sha256).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
