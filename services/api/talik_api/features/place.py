"""Where features are asked for: a bbox in any supported CRS, or any polygon."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik_api.crs import CRS84, transformed
from talik_api.problems import Problem
from talik_stac.antimeridian import split_polygon
from talik_stac.errors import AoiError
from talik_stac.reading import Box, box_array

_STEPS = 50  # a box's side in another CRS is a curve in lon/lat
_FARTHEST_M = 1e9  # beyond it the projections answer with noise
_SHORTEST_M = 1e-3  # a fiftieth of the smallest numbers is 0
_ORDER = "expected four numbers (or six, with heights): the lower corner, then the upper, in the axis order of bbox-crs"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Ground that features must touch."""

    boxes: tuple[Box, ...]
    """lon/lat bounds; two where they cross the antimeridian."""
    area: BaseGeometry | None = None
    """lon/lat; None: the boxes themselves."""

    def decided(self, bounds: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(inside, open): which bounds (row, 4) surely touch the place, and for which the outline must be asked."""
        inside, near = np.zeros(len(bounds), bool), np.zeros(len(bounds), bool)
        west, south, east, north = bounds.T
        for box in self.boxes:
            near |= (west <= box[2]) & (east >= box[0]) & (south <= box[3]) & (north >= box[1])
            inside |= (west >= box[0]) & (east <= box[2]) & (south >= box[1]) & (north <= box[3])
        if self.area is not None:
            return np.zeros(len(bounds), bool), near
        return inside, near & ~inside

    def touched(self, geometry: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Whether lon/lat geometries intersect the place."""
        area = self.area if self.area is not None else shapely.union_all([shapely.box(*box) for box in self.boxes])
        shapely.prepare(area)
        found: NDArray[np.bool_] = shapely.intersects(area, geometry)
        return found

    def mask(self, table: pa.Table) -> NDArray[np.bool_]:
        """Which rows of a table with `bbox` and `geometry` touch the place."""
        inside, asked = self.decided(box_array(table))
        rows = np.flatnonzero(asked)
        if len(rows):
            wkb = table["geometry"].take(pa.array(rows)).to_numpy(zero_copy_only=False)
            inside[rows] = self.touched(shapely.from_wkb(wkb))
        return inside


def place_of_bbox(text: str, crs: str = CRS84) -> Place:
    """Read `bbox` (in the axis order of `crs`). Raises Problem 400."""
    numbers = _numbers(text)
    if crs == CRS84:
        return Place(boxes=_lonlat_boxes(*numbers, text))
    if crs.endswith("/4326"):
        south, west, north, east = numbers
        return Place(boxes=_lonlat_boxes(west, south, east, north, text))
    left, bottom, right, top = numbers
    if not (left < right and bottom < top):
        raise Problem(
            400, "The bbox is not valid", f"bbox={text[:200]}: the lower corner must be below the upper; {_ORDER}"
        )
    if max(map(abs, numbers)) > _FARTHEST_M:
        raise Problem(400, "The bbox is not valid", f"bbox={text[:200]} reaches beyond what its CRS covers")
    ring = shapely.segmentize(shapely.box(*numbers).exterior, max(right - left, top - bottom, _SHORTEST_M) / _STEPS)
    # A line: where the projection has no answer, its ends may differ, which a ring does not take.
    lonlat = transformed(shapely.LineString(ring), source=crs, target=CRS84)
    if not np.isfinite(shapely.get_coordinates(lonlat)).all():
        raise Problem(400, "The bbox is not valid", f"bbox={text[:200]} reaches beyond what its CRS covers")
    try:
        return place_of_geometry(split_polygon(shapely.Polygon(shapely.get_coordinates(lonlat))))
    except AoiError as error:
        raise Problem(400, "The bbox is not valid", f"bbox={text[:200]}: {error}") from error


def place_of_geometry(area: BaseGeometry) -> Place:
    """The place of a lon/lat geometry that is split at the antimeridian."""
    west, south, east, north = (float(side) for side in area.bounds)
    if west == -180 and east == 180:  # parts on both sides: two boxes, not the whole globe
        parts = shapely.get_parts(area)
        sides = [parts[shapely.bounds(parts)[:, 0] < 0], parts[shapely.bounds(parts)[:, 0] >= 0]]
        bounds = [tuple(float(v) for v in shapely.total_bounds(side)) for side in sides if len(side)]
        return Place(boxes=tuple((b[0], b[1], b[2], b[3]) for b in bounds), area=area)
    return Place(boxes=((west, south, east, north),), area=area)


def _numbers(text: str) -> tuple[float, float, float, float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise Problem(400, "The bbox is not valid", f"bbox={text[:200]}; {_ORDER}")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _lonlat_boxes(west: float, south: float, east: float, north: float, text: str) -> tuple[Box, ...]:
    """Boxes within +-180 and +-90; maps that are zoomed out ask for more than the globe, and get all of it."""
    if south > north:
        raise Problem(
            400, "The bbox is not valid", f"bbox={text[:200]}: south {south:g} lies north of {north:g}; {_ORDER}"
        )
    if max(abs(west), abs(east)) > 1e6 or max(abs(south), abs(north)) > 1e6:
        raise Problem(
            400, "The bbox is not valid", f"bbox={text[:200]} is not in degrees; give bbox-crs for other units"
        )
    south, north = max(south, -90.0), min(north, 90.0)
    if south > 90 or north < -90:
        raise Problem(400, "The bbox is not valid", f"bbox={text[:200]} lies beyond a pole")
    if west > east:
        east += 360
    if east - west >= 360:
        return ((-180.0, south, 180.0, north),)
    if west >= -180 and east <= 180:
        return ((west, south, east, north),)
    turns = 360.0 * math.floor((west + 180) / 360)
    west, east = west - turns, east - turns
    if east <= 180:
        return ((west, south, east, north),)
    return ((west, south, 180.0, north), (-180.0, south, east - 360, north))
