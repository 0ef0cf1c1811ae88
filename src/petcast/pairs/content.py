"""The same image under two names: hashes of slices' content."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 8
"""64 bits: among a million slices, two different ones share a hash once in 37 million cohorts."""


def slice_hashes(stack: NDArray[Any], kind: np.dtype[Any], key: str = "") -> list[str | None]:
    """Hash each slice of a stack.

    Args:
        stack: (z, y, x).
        kind: The type that values are compared in.
        key: Makes the hashes useless to whoever does not know it.

    Returns:
        Hexadecimal digits for each z; None for a slice with one value everywhere, which is equal
        in everybody.

    Example:
        >>> stack = np.array([[[1, 2]], [[1, 2]], [[0, 0]]])
        >>> one, other, blank = slice_hashes(stack, np.dtype("u1"))
        >>> one == other, blank
        (True, None)
    """
    secret = hashlib.sha256(key.encode()).digest() if key else b""
    return [_hash(np.ascontiguousarray(plane, kind), secret) for plane in stack]


def _hash(plane: NDArray[Any], secret: bytes) -> str | None:
    if plane.min() == plane.max():
        return None
    return hashlib.blake2b(plane.tobytes(), digest_size=HASH_BYTES, key=secret).hexdigest()
