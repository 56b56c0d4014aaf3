"""Polygons across the antimeridian and round the poles: into lon in [-180, 180], exactly.

A ring is walked from vertex to vertex. A step of more than half the globe means that the ring went the short
way, over the antimeridian (RFC 7946, 3.1.9 asks writers to cut there; few do). A ring that comes back a whole
turn away encloses a pole and is closed over it.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from talik_stac.errors import AoiError


def split_polygon(polygon: Polygon) -> BaseGeometry:
    """Cut a polygon whose lon may jump (179 to -179) or run on (179 to 181) at the antimeridian.

    Takes lon/lat in degrees, lat in [-90, 90]. Returns a valid geometry with lon in [-180, 180]; a polygon that
    needs no cut comes back as it is. Raises AoiError where it crosses itself, or goes round the globe without
    telling which pole it encloses.
    """
    if _plain(polygon):
        return check_valid(polygon)
    outer = split_unwrapped(check_valid(_unwrapped(polygon.exterior.coords)))
    holes = [split_unwrapped(check_valid(_unwrapped(ring.coords))) for ring in polygon.interiors]
    inner = shapely.union_all(holes)
    if inner.difference(outer).area > 1e-9 * outer.area:
        raise AoiError("the area of interest has a hole that lies outside its outline; repair the polygon")
    return shapely.difference(outer, inner)


def split_unwrapped(polygon: Polygon) -> BaseGeometry:
    """Cut a polygon whose lon runs on beyond +-180 into lon in [-180, 180], whatever its width."""
    west, _, east, _ = polygon.bounds
    if west >= -180 and east <= 180:
        return polygon
    turns = range(int(np.floor((west + 180) / 360)), int(np.ceil((east + 180) / 360)))
    pieces = []
    for turn in turns:
        world = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        pieces.append(_turned_back(shapely.intersection(polygon, world), turn))
    return polygons_of(shapely.union_all(pieces))


def polygons_of(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """Keep the polygons of what an overlay returns, without its stray points and lines."""
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon) and part.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _turned_back(geometry: BaseGeometry, turn: int) -> BaseGeometry:
    """Take whole turns off lon. Rounded: -179.3 + 360 - 360 is -179.30000000000001 in floating point."""
    if turn == 0:
        return geometry
    return shapely.transform(geometry, lambda xy: np.round(xy - (360.0 * turn, 0.0), 12))


def _plain(polygon: Polygon) -> bool:
    """Whether the polygon can be taken as drawn: no step over half the globe, nothing beyond +-180.

    A step of exactly 360 degrees is the edge of a box round the whole globe, and is taken as drawn too.
    """
    rings = [np.asarray(ring.coords)[:, 0] for ring in (polygon.exterior, *polygon.interiors)]
    steps = np.abs(np.concatenate([np.diff(lon) for lon in rings]))
    within = max(np.abs(lon).max() for lon in rings) <= 180
    return bool(within and ((steps <= 180) | (steps == 360)).all())


def _unwrapped(coords: object) -> Polygon:
    """Walk a ring the short way from vertex to vertex; lon then runs on, and may leave [-180, 180]."""
    ring: NDArray[np.float64] = np.array(coords, dtype=np.float64)[:, :2]  # (vertex, 2), closed
    # Whole turns are added to the given numbers, never small steps summed: a vertex stays what it was.
    jumps = -np.round(np.diff(ring[:, 0]) / 360.0)
    lon = ring[:, 0] + 360.0 * np.concatenate([[0.0], np.cumsum(jumps)])
    turn = lon[-1] - lon[0]
    if turn == 0:
        return Polygon(np.column_stack([lon, ring[:, 1]]))
    return _closed_over_a_pole(np.column_stack([lon, ring[:, 1]])[:-1], turn)


def _closed_over_a_pole(path: NDArray[np.float64], turn: float) -> Polygon:
    """Close a path (vertex, 2) that goes once round the globe over the pole it lies round."""
    lat = path[:, 1]
    if abs(turn) != 360 or not ((lat > 0).all() or (lat < 0).all()):
        raise AoiError(
            f"the area of interest goes {abs(turn):.0f} degrees round the globe between latitudes "
            f"{lat.min():g} and {lat.max():g}, so that its inside is not known; "
            "give it as a bbox such as -180,60,180,90"
        )
    # From the vertex nearest the pole, so that the path does not cross the meridian along which it is closed.
    first = int(np.abs(lat).argmax())
    shift = np.array([turn, 0.0])
    path = np.vstack([path[first:], path[:first] + shift, path[first] + shift])
    pole = np.copysign(90.0, lat[0])
    return Polygon([*path, (path[-1, 0], pole), (path[0, 0], pole)])


def check_valid(polygon: Polygon, *, units: str = "degrees") -> Polygon:
    """Return the polygon where it is valid. Raises AoiError that says where it is not."""
    if not polygon.is_valid:
        raise AoiError(
            f"the area of interest is not a valid polygon: {explain_validity(polygon)} ({units}); "
            "repair it, for example with 'Fix geometries' in QGIS, and use the repaired file"
        )
    return polygon
