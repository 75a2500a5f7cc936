"""Seeded random choices that depend on a name alone, not on the order or the number of the other names.

Adding or removing items never changes the choice between those that stay, on any machine and in any process.
"""

import hashlib


def priority(name: str, seed: int | None = None, size: int = 8) -> bytes:
    """Return the position of `name` in a seeded random order: sort by this value.

    Args:
        name: What is ordered: a clip's key, or several names joined with a NUL byte.
        seed: Another seed gives another order; None gives the one order that takes no seed.
        size: Length of the value in bytes. Values of different lengths are unrelated, so a written order depends on
            this number.
    """
    text = name if seed is None else f"{seed}:{name}"
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def is_drawn(name: str, seed: int, share: float) -> bool:
    """Return whether `name` belongs to a seeded random sample that holds this share of all names.

    A larger share of the same seed draws the same names and more.
    """
    if share in (0, 1):
        return share == 1
    # An integer compared with a float is exact in Python; a division would round.
    return int.from_bytes(priority(name, seed), "big") < share * 2**64
