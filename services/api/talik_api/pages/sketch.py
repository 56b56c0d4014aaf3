"""A little drawing of objects: outlines side by side, true to scale, in a projection of their own place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from talik_api.pages.projection import EqualArea, Frame, path_of
from talik_api.service import Service
from talik_stac.editions import Edition

WIDTH, HEIGHT = 640, 420
"""Units of a drawing; it is shown at half or a quarter of that in pixels."""
MOST = 300
_MOST = (MOST, 120, 40)
_SEEN = 6
"""Units across that the mean object should have."""
_DEGREE_KM = 111.2
_MARGIN = 12
_COLUMNS = ("id", "lon", "lat", "area_m2", "geometry")
_BARS_KM = tuple(base * 10.0**power for power in range(-3, 5) for base in (1, 2, 5))


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """What the template draws."""

    width: int
    height: int
    path: str
    shown: int
    bar: int
    """Length of the scale bar, units of the drawing."""
    bar_text: str
    largest: tuple[str, ...]
    """Ids of the largest objects that are drawn."""


def sketch_of_edition(service: Service, edition: Edition) -> Sketch | None:
    """Draw objects that lie near each other; None where the edition has none. Reads one row group."""
    reader = service.reader(edition)
    if reader.count == 0:
        return None
    return sketch(neighbours(reader.read(len(reader.groups.rows) // 2, _COLUMNS)))


def neighbours(table: pa.Table) -> pa.Table:
    """The largest object and those nearest to it, as many as can be drawn large enough to see."""
    lon, lat, area_m2 = (table[name].to_numpy() for name in ("lon", "lat", "area_m2"))
    middle = int(np.argmax(area_m2))
    east = np.abs((lon - lon[middle] + 180) % 360 - 180) * np.cos(np.radians(lat[middle])) * HEIGHT / WIDTH
    away = np.maximum(east, np.abs(lat - lat[middle]))  # degrees of latitude
    order = np.argsort(away, kind="stable")
    for most in _MOST:
        order = order[:most]
        unit_km = 2 * float(away[order[-1]]) * _DEGREE_KM / HEIGHT
        if np.sqrt(area_m2[order].mean()) / 1000 >= _SEEN * unit_km:
            break
    return table.take(pa.array(order))


def sketch(table: pa.Table) -> Sketch | None:
    """Draw the rows of a table with geometry as WKB in lon/lat, and id; None for an empty one."""
    drawn = table.slice(0, MOST)
    geometry = shapely.from_wkb(drawn["geometry"].to_numpy(zero_copy_only=False))
    kept = ~(shapely.is_missing(geometry) | shapely.is_empty(geometry))
    found = sketch_of(geometry[kept])
    if found is None:
        return None
    size = shapely.area(geometry[kept])
    ids = np.array(drawn["id"].to_pylist(), object)[kept]
    largest = tuple(str(name) for name in ids[np.argsort(-size, kind="stable")][:3])
    return Sketch(**{**vars(found), "largest": largest})


def sketch_of(geometry: NDArray[np.object_]) -> Sketch | None:
    """Draw polygons in lon/lat; None where there are none."""
    if not len(geometry):
        return None
    project = _centred(geometry)
    flat = shapely.transform(geometry, project)
    frame, unit_km = _framed(shapely.total_bounds(flat))
    placed = shapely.simplify(shapely.transform(flat, frame.place), 1.2)
    bar_km = next((each for each in reversed(_BARS_KM) if each <= WIDTH / 4 * unit_km), _BARS_KM[0])
    return Sketch(
        width=WIDTH,
        height=HEIGHT,
        path="".join(path_of(each) for each in placed),
        shown=len(geometry),
        bar=round(bar_km / unit_km),
        bar_text=f"{bar_km:g} km" if bar_km >= 1 else f"{bar_km * 1000:g} m",
        largest=(),
    )


def _centred(geometry: NDArray[np.object_]) -> EqualArea:
    """A projection in the middle of the objects, also where they lie on both sides of the antimeridian."""
    bounds = shapely.bounds(geometry)
    lon, lat = (bounds[:, 0] + bounds[:, 2]) / 2, (bounds[:, 1] + bounds[:, 3]) / 2
    around = (lon - lon[0] + 180) % 360 - 180
    return EqualArea(lon=float(lon[0] + (around.min() + around.max()) / 2), lat=float((lat.min() + lat.max()) / 2))


def _framed(bounds: NDArray[np.float64]) -> tuple[Frame, float]:
    """The frame that shows bounds in km, and the km in one unit of the drawing."""
    left, bottom, right, top = bounds
    unit = max((right - left) / (WIDTH - 2 * _MARGIN), (top - bottom) / (HEIGHT - 2 * _MARGIN), 1e-5)
    middle_x, middle_y = (left + right) / 2, (bottom + top) / 2
    frame = Frame(left=middle_x - unit * WIDTH / 2, top=middle_y + unit * HEIGHT / 2, scale=1 / unit)
    return frame, float(unit)
