"""Dice: one generator per named purpose, so that no draw shifts another.

A stream is keyed by the run's seed, a purpose and the thing it is for (a user, a session). Adding,
removing or altering one row of input therefore changes no other row's draws: what a simulated
world does today can not depend on what its file says about tomorrow.
"""

import hashlib

import numpy as np


class Streams:
    """A family of independent random generators that share one seed.

    >>> a, b = Streams(7), Streams(7)
    >>> a.generator("car", "user-1").random() == b.generator("car", "user-1").random()
    True
    """

    def __init__(self, seed: int) -> None:
        """Start a family from a run's seed, which the run prints."""
        self.seed = seed

    def generator(self, purpose: str, *keys: str | int) -> np.random.Generator:
        """Return a fresh generator for a purpose and the thing it is for."""
        text = "\x1f".join([str(self.seed), purpose, *map(str, keys)])
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
