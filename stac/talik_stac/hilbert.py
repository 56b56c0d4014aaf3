"""Places along the Hilbert curve over the whole world, so that neighbours in a file are neighbours on the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ORDER = 32
"""Bits of each axis: 0.01 m."""


def hilbert_codes(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Give each place its distance along the curve: degrees -> uint64, 0 at the south-western corner.

    Lam and Shapiro 1994, A class of fast algorithms for the Peano-Hilbert space-filling curve, ICIP, 638-641.
    """
    side = float(2**ORDER)
    x = np.clip((np.asarray(lon) + 180) / 360 * side, 0, side - 1).astype(np.uint64)
    y = np.clip((np.asarray(lat) + 90) / 180 * side, 0, side - 1).astype(np.uint64)
    code = np.zeros(len(x), np.uint64)
    one = np.uint64(1)
    for bit in reversed(range(ORDER)):
        shift = np.uint64(bit)
        east, north = (x >> shift) & one, (y >> shift) & one
        code = (code << np.uint64(2)) | ((np.uint64(3) * east) ^ north)
        x, y = _turned(x, y, east, north)
    return code


def _turned(
    x: NDArray[np.uint64], y: NDArray[np.uint64], east: NDArray[np.uint64], north: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Turn the frame as the curve does in the southern quadrants."""
    south, flip = north == 0, (north == 0) & (east == 1)
    full = np.uint64(2**ORDER - 1)
    x, y = np.where(flip, full - x, x), np.where(flip, full - y, y)
    return np.where(south, y, x), np.where(south, x, y)
