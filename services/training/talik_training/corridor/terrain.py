"""The *simulated* relief and texture: smooth noise as a function of place, so that any window can be made alone.

Places are pixels of one endless grid: row grows to the south, column to the east, pixel i spans i to i + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talik_training.corridor.chance import uniform

PIXEL_M = 10.0
RELIEF = ((512, 580.0), (256, 200.0), (128, 65.0), (64, 16.0), (32, 4.5))
"""Octaves of the elevation: pixels between knots, metres."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of the endless grid, ends excluded."""

    row: int
    col: int
    row_end: int
    col_end: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row_end - self.row, self.col_end - self.col

    def grown(self, pixels: int) -> Window:
        """The window with a margin."""
        return Window(
            row=self.row - pixels, col=self.col - pixels, row_end=self.row_end + pixels, col_end=self.col_end + pixels
        )


def noise(seed: int, name: str, knot_px: int, window: Window) -> NDArray[np.float32]:
    """Smooth noise (y, x) of mean 0 and standard deviation about 0.28: uniform B-spline over random knots.

    Each pixel is worked out by itself, elementwise: windows that overlap agree to the byte.
    """
    row_knots, row_weights = _taps(np.arange(window.row, window.row_end) + 0.5, knot_px)
    col_knots, col_weights = _taps(np.arange(window.col, window.col_end) + 0.5, knot_px)
    first_row, first_col = int(row_knots[0]), int(col_knots[0])
    rows = np.arange(first_row, int(row_knots[-1]) + 4)
    cols = np.arange(first_col, int(col_knots[-1]) + 4)
    knots = (2 * uniform(seed, f"{name}/{knot_px}", rows[:, None], cols[None, :]) - 1).astype(np.float32)
    down = sum(knots[row_knots - first_row + tap] * row_weights[tap][:, None] for tap in range(4))
    lines = np.asarray(down, np.float32)
    out = np.zeros(window.shape, np.float32)
    for tap in range(4):
        out += lines[:, col_knots - first_col + tap] * col_weights[tap]
    return out


def noise_at(
    seed: int, name: str, knot_px: int, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same noise at places (row, column) that need not be pixel centres."""
    row_knots, row_weights = _taps(rows, knot_px)
    col_knots, col_weights = _taps(cols, knot_px)
    taps = np.arange(4)
    # (place, row tap, column tap)
    where = row_knots[..., None, None] + taps[:, None], col_knots[..., None, None] + taps
    knots = 2 * uniform(seed, f"{name}/{knot_px}", *where) - 1
    weights = np.stack(row_weights, axis=-1)[..., :, None] * np.stack(col_weights, axis=-1)[..., None, :]
    return np.asarray((knots * weights).sum(axis=(-2, -1)))


def elevation(seed: int, window: Window) -> NDArray[np.float32]:
    """Metres above some level, (y, x)."""
    return np.asarray(sum(noise(seed, "relief", knot, window) * np.float32(height) for knot, height in RELIEF))


def relief(seed: int, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rise per metre to the south and to the east, each (y, x), over two pixels."""
    wide = elevation(seed, window.grown(1))
    across = np.float32(2 * PIXEL_M)
    return (wide[2:, 1:-1] - wide[:-2, 1:-1]) / across, (wide[1:-1, 2:] - wide[1:-1, :-2]) / across


def relief_at(
    seed: int, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rise per metre to the south and to the east at places."""
    # (place, [south, north, east, west])
    rows = rows[..., None] + np.array([1.0, -1.0, 0.0, 0.0])
    cols = cols[..., None] + np.array([0.0, 0.0, 1.0, -1.0])
    heights = np.asarray(sum(noise_at(seed, "relief", knot, rows, cols) * metres for knot, metres in RELIEF))
    across = 2 * PIXEL_M
    return (heights[..., 0] - heights[..., 1]) / across, (heights[..., 2] - heights[..., 3]) / across


def slope_deg(south: NDArray[Any], east: NDArray[Any]) -> NDArray[Any]:
    """Steepness from the two rises."""
    return np.asarray(np.degrees(np.arctan(np.hypot(south, east))))


def _taps(places: NDArray[np.floating], knot_px: int) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
    """First of four knots of each place, and the weights of the uniform cubic B-spline."""
    at = places / knot_px
    whole = np.floor(at)
    t = at - whole
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return whole.astype(np.int64) - 1, [(weight / 6).astype(np.float32) for weight in weights]
