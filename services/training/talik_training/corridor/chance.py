"""Random numbers that belong to a place, not to an order of drawing: a hash of (seed, name, integers)."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)


def hashes(seed: int, name: str, *where: ArrayLike) -> NDArray[np.uint64]:
    """64 random bits for each place; `where` are integer arrays that broadcast. The same place gives the same bits."""
    state: NDArray[Any] = _mixed(np.array([seed % 2**63], np.uint64) * _STEP + np.uint64(zlib.crc32(name.encode())))
    shape = np.broadcast_shapes(*(np.shape(part) for part in where))
    for part in where:
        state = _mixed((state ^ np.asarray(part, np.int64).astype(np.uint64)) * _STEP + _STEP)
    return state.reshape(shape)


def uniform(seed: int, name: str, *where: ArrayLike) -> NDArray[np.float64]:
    """A number of [0, 1) for each place."""
    return (hashes(seed, name, *where) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def nearly_normal(seed: int, name: str, *where: ArrayLike) -> NDArray[np.float32]:
    """A number of mean 0 and variance 1 for each place: the sum of four uniform ones, never beyond 3.5."""
    bits = hashes(seed, name, *where)
    total = sum(((bits >> np.uint64(16 * part)) & np.uint64(0xFFFF)).astype(np.float32) for part in range(4))
    # The sum of four uniform numbers of [0, 1) has mean 2 and variance 1/3.
    return ((np.asarray(total, np.float32) / np.float32(65_535.0)) - np.float32(2)) * np.float32(3**0.5)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finisher of splitmix64 (Steele, Lea and Flood 2014, OOPSLA)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
