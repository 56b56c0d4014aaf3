"""Which pixels lie in a region of the ground: decided by pixel centres in lon/lat, so that no split of it matters."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import Lattice, Rect

LEAF_PX = 64
"""Below this side each pixel centre is asked for itself."""
EDGE_POINTS = 17
"""Points per side of a rectangle's outline in lon/lat: parallels and meridians are curves in most CRSs."""
OUTLINE_PX = 2048
"""Outlines of longer rectangles would bend by more than the pixel they are grown by; they are cut first."""


@lru_cache(maxsize=32)
def to_lonlat(crs: str) -> Transformer:
    """From (x, y) of the CRS to (lon, lat)."""
    return Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)


@lru_cache(maxsize=32)
def from_lonlat(crs: str) -> Transformer:
    """From (lon, lat) to (x, y) of the CRS."""
    return Transformer.from_crs("OGC:CRS84", crs, always_xy=True)


def pixels_inside(lattice: Lattice, rect: Rect, region: BaseGeometry) -> NDArray[np.bool_]:
    """Tell which pixels of `rect` have their centre in `region` (lon/lat, split at the antimeridian).

    Returns bool (y, x). Exact: each pixel's answer depends on its own centre and the region alone, whatever
    rectangle it is asked in. Whole sub-rectangles are decided at once where the region allows.
    """
    inside = np.zeros(rect.shape, dtype=bool)
    shapely.prepare(region)
    _fill(inside, lattice, rect, rect, region)
    return inside


def _fill(out: NDArray[np.bool_], lattice: Lattice, outer: Rect, rect: Rect, region: BaseGeometry) -> None:
    if rect.empty:
        return
    outline = outline_lonlat(lattice, rect)
    if outline is not None:
        if not region.intersects(outline):
            return
        if region.contains(outline):
            out[rect.within(outer)] = True
            return
    if max(rect.shape) <= LEAF_PX:
        col, row = np.meshgrid(np.arange(rect.col, rect.col_end), np.arange(rect.row, rect.row_end))
        out[rect.within(outer)] = centres_inside(lattice, col, row, region)
        return
    for part in quarters(rect):
        _fill(out, lattice, outer, part, region)


def centres_inside(
    lattice: Lattice, col: NDArray[np.int64], row: NDArray[np.int64], region: BaseGeometry
) -> NDArray[np.bool_]:
    """Tell of each pixel (col, row) whether its centre lies in the region: bool, of their shape."""
    x = (col + 0.5) * lattice.resolution + lattice.phase_x
    y = lattice.phase_y - (row + 0.5) * lattice.resolution
    lon, lat = to_lonlat(lattice.crs).transform(x, y)
    answer: NDArray[np.bool_] = shapely.contains_xy(region, lon, lat)
    return answer


def touches(lattice: Lattice, rect: Rect, region: BaseGeometry) -> bool:
    """Whether a rectangle may touch a lon/lat region; never False where it does."""
    outline = outline_lonlat(lattice, rect)
    if outline is not None:
        return bool(region.intersects(outline))
    if max(rect.shape) <= LEAF_PX:
        return True
    return any(touches(lattice, part, region) for part in quarters(rect))


def outline_lonlat(lattice: Lattice, rect: Rect) -> BaseGeometry | None:
    """The rectangle, grown by a pixel, as a lon/lat polygon.

    None where it is too long for the pixel to cover its bend, or where it meets the antimeridian or a pole.
    """
    if max(rect.shape) > OUTLINE_PX:
        return None
    grown = rect.expand(1)
    col = np.linspace(grown.col, grown.col_end, EDGE_POINTS)
    row = np.linspace(grown.row, grown.row_end, EDGE_POINTS)
    cols = np.concatenate([col, np.full(EDGE_POINTS, col[-1]), col[::-1], np.full(EDGE_POINTS, col[0])])
    rows = np.concatenate([np.full(EDGE_POINTS, row[0]), row, np.full(EDGE_POINTS, row[-1]), row[::-1]])
    x, y = cols * lattice.resolution + lattice.phase_x, lattice.phase_y - rows * lattice.resolution
    lon, lat = to_lonlat(lattice.crs).transform(x, y)
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        return None
    if np.abs(np.diff(lon)).max() > 90 or np.abs(lat).max() > 89:
        return None
    outline = shapely.Polygon(np.column_stack([lon, lat]))
    return outline if outline.is_valid else None


def quarters(rect: Rect) -> list[Rect]:
    """Split at the middle of each side longer than a leaf."""
    cols, rows = _halves(rect.col, rect.col_end), _halves(rect.row, rect.row_end)
    return [Rect(col=c0, row=r0, col_end=c1, row_end=r1) for r0, r1 in rows for c0, c1 in cols]


def _halves(start: int, end: int) -> list[tuple[int, int]]:
    if end - start <= LEAF_PX:
        return [(start, end)]
    middle = (start + end) // 2
    return [(start, middle), (middle, end)]


def rect_of_region(lattice: Lattice, region: BaseGeometry) -> Rect:
    """The rectangle of lattice pixels that holds a lon/lat region, with a pixel to spare on every side."""
    parts = []
    for part in shapely.get_parts(region):
        dense = shapely.segmentize(part, 0.05)
        xy = shapely.get_coordinates(dense)
        x, y = from_lonlat(lattice.crs).transform(xy[:, 0], xy[:, 1])
        parts.append((np.min(x), np.min(y), np.max(x), np.max(y)))
    left, bottom, right, top = np.array(parts).T
    return lattice.rect_of((left.min(), bottom.min(), right.max(), top.max())).expand(1)
