"""Rings: cycles of directed pixel edges, landform always on the right hand, as arrays of corners.

Coordinates are lattice integers, x to the east and y to the south; seen on a map, shells run clockwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Rings:
    """Simple closed rings."""

    x: NDArray[np.int32]
    y: NDArray[np.int32]
    """(corner,) ring after ring, each from its first corner (smallest y, then x), not closed."""
    offsets: Ints
    """(ring + 1,) into x and y; rings sorted by their first corner."""
    ring_of: Ints
    """(node,) the ring of each node that was given."""

    @property
    def double_area(self) -> Ints:
        """(ring,) twice the signed area in pixels: shells positive, holes negative."""
        if len(self.offsets) == 1:
            return np.empty(0, np.int64)
        x, y = self.x.astype(np.int64), self.y.astype(np.int64)
        after = np.arange(1, len(x) + 1)
        after[self.offsets[1:] - 1] = self.offsets[:-1]
        return np.add.reduceat(x * y[after] - x[after] * y, self.offsets[:-1])


def trace(x: NDArray[np.int32], y: NDArray[np.int32], follows: Ints, twins: NDArray[np.int64]) -> Rings:
    """Order the corners of all rings.

    `x`, `y` (node,): corners; nodes are sorted by (y, x). `follows` (node,): the next node, a permutation.
    `twins` (pair, 2): the two nodes at each vertex where four edges meet. A ring that passes such a vertex twice
    is parted there, so that it never touches itself: a shell then touches its hole in a point (OGC 06-103r4,
    6.1.11.1). The passes of one ring do not cross and lie on one side of it, so each parting stands by itself.
    """
    ring = _cycles(follows)
    if len(twins):
        a, b = twins[ring[twins[:, 0]] == ring[twins[:, 1]]].T
        if len(a):
            follows = follows.copy()
            follows[a], follows[b] = follows[b], follows[a]
            ring = _cycles(follows)
    return _ordered(x, y, follows, ring)


def components(count: int, a: Ints, b: Ints) -> Ints:
    """Number the connected components of `count` things that are linked pairwise, by their first member."""
    graph = coo_matrix((np.ones(len(a), np.bool_), (a, b)), shape=(count, count))
    labels = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbered: Ints = rank[inverse]
    return numbered


def _cycles(follows: Ints) -> Ints:
    """Number the cycles of a permutation by their smallest member: (node,)."""
    count = len(follows)
    return components(count, np.arange(count), follows) if count else np.empty(0, np.int64)


def _ordered(x: NDArray[np.int32], y: NDArray[np.int32], follows: Ints, ring: Ints) -> Rings:
    """Put each cycle's nodes in order, starting at its smallest member (list ranking by pointer doubling)."""
    count = len(follows)
    rings = int(ring.max()) + 1 if count else 0
    length = np.bincount(ring, minlength=rings)
    offsets = np.concatenate([[0], np.cumsum(length)])
    root = np.full(rings, count, np.int64)
    np.minimum.at(root, ring, np.arange(count))
    is_root = np.zeros(count, bool)
    is_root[root] = True
    ahead, steps = follows.copy(), np.ones(count, np.int64)
    ahead[root] = root
    steps[root] = 0
    moving = np.flatnonzero(~is_root)
    while len(moving):
        steps[moving] += steps[ahead[moving]]
        ahead[moving] = ahead[ahead[moving]]
        moving = moving[~is_root[ahead[moving]]]
    # steps: how many nodes before the root comes again
    place = np.where(is_root, 0, length[ring] - steps)
    order = np.empty(count, np.int64)
    order[offsets[ring] + place] = np.arange(count)
    return Rings(x=x[order], y=y[order], offsets=offsets, ring_of=ring)
