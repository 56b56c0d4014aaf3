"""Outlines of *simulated* objects: polygons around a point, of exactly the area that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from talik_training.corridor.law import Kind

Points = NDArray[np.float64]

REACH_PER_ROOT_SIZE = 0.8
"""No point of an object lies further from its middle than this times the root of the size that the law drew for it."""
_CORNERS = 72


def outline(kind: Kind, shares: NDArray[np.float64]) -> Points:
    """Closed ring (point, [along, across]) of area 1; `along` points upslope, shares are 16 of [0, 1) that shape it.

    A slump's toe lies on the axis, at the lowest `along`; see `toe`.
    """
    ring: Points = _RINGS[kind](shares)
    ring = ring * (1 + _waves(ring, shares, _ROUGHNESS[kind]))[:, None]
    ring = ring - [(ring[:, 0].max() + ring[:, 0].min()) / 2, (ring[:, 1].max() + ring[:, 1].min()) / 2]
    return np.asarray(ring / np.sqrt(abs(_signed_area(ring))))


def toe(ring: Points) -> NDArray[np.float64]:
    """The lowest point (along, across) of a ring: where a slump's mud leaves it, fixed while the headwall retreats."""
    lowest: NDArray[np.float64] = ring[np.argmin(ring[:, 0])]
    return lowest


def _signed_area(ring: Points) -> float:
    along, across = ring.T
    return float(np.dot(along, np.roll(across, -1)) - np.dot(across, np.roll(along, -1))) / 2


def _waves(ring: Points, shares: NDArray[np.float64], roughness: float) -> NDArray[np.float64]:
    """Relative change of each point's distance from the origin."""
    angle = np.arctan2(ring[:, 1], ring[:, 0])
    total = np.zeros(len(ring))
    for number, (size, phase) in enumerate(shares[4:14].reshape(5, 2), start=2):
        total += roughness * (0.4 + 0.6 * size) / number * np.cos(number * angle + 2 * np.pi * phase)
    return total


def _horseshoe(shares: NDArray[np.float64]) -> Points:
    """A half circle of radius 1 upslope (the headwall), and a body that narrows to a rounded toe downslope."""
    length, toe_width = 0.5 + 0.9 * shares[0], 0.35 + 0.3 * shares[1]
    head = np.linspace(-np.pi / 2, np.pi / 2, _CORNERS // 2)
    side = np.linspace(0, 1, _CORNERS // 8)[1:]
    end = np.linspace(np.pi / 2, 3 * np.pi / 2, _CORNERS // 4)[1:-1]
    width = 1 + (toe_width - 1) * side**0.8
    parts = [
        np.column_stack([np.cos(head), np.sin(head)]),
        np.column_stack([-length * side, width]),
        np.column_stack([-length + toe_width * np.cos(end), toe_width * np.sin(end)]),
        np.column_stack([-length * side, -width])[::-1],
    ]
    return np.concatenate(parts)


def _ellipse(shares: NDArray[np.float64], longest: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    stretch = 1 + (longest - 1) * shares[0]
    return np.column_stack([np.cos(angle) / np.sqrt(stretch), np.sin(angle) * np.sqrt(stretch)])


def _rectangle(shares: NDArray[np.float64]) -> Points:
    stretch = np.sqrt(1 + 0.6 * shares[0])
    step = np.linspace(-1, 1, _CORNERS // 4, endpoint=False)
    side = np.ones_like(step)
    along = np.concatenate([step, side, -step, -side]) / stretch
    across = np.concatenate([-side, step, side, -step]) * stretch
    turn = np.pi * shares[1]
    return np.column_stack([along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)])


_RINGS: dict[Kind, Callable[[NDArray[np.float64]], Points]] = {
    Kind.SLUMP: _horseshoe,
    Kind.DRAINED_POND: lambda shares: _ellipse(shares, 1.5),
    Kind.GRAVEL_PIT: _rectangle,
    Kind.GRAVEL_BAR: lambda shares: _ellipse(shares, 5.0),
    Kind.BARE_PATCH: lambda shares: _ellipse(shares, 1.8),
    Kind.LAKE: lambda shares: _ellipse(shares, 1.6),
}
_ROUGHNESS = {
    Kind.SLUMP: 0.12,
    Kind.DRAINED_POND: 0.10,
    Kind.GRAVEL_PIT: 0.03,
    Kind.GRAVEL_BAR: 0.12,
    Kind.BARE_PATCH: 0.30,
    Kind.LAKE: 0.12,
}
