"""A small map of where editions lie: the Arctic from above, or all the world where an edition lies further south."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from talik_api.pages.projection import EARTH_KM, EqualArea, Frame, Plate, Projection, path_of

WIDTH = 1000
"""Units across a drawing."""
_LAND = Path(__file__).parent / "land.json"
"""Rings in lon/lat: Natural Earth 1:110m (public domain, naturalearthdata.com), countries joined, simplified by 0.25
degrees, one decimal, islands under one square degree left out."""
_ARCTIC_CIRCLE = 66.56


@dataclass(frozen=True, kw_only=True)
class Spot:
    """An edition, or several of one area, on the map."""

    title: str
    href: str
    geometry: Mapping[str, Any]
    """GeoJSON, lon/lat."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A spot in the units of the drawing."""

    title: str
    href: str
    path: str
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class WorldMap:
    """What the template draws."""

    width: int
    height: int
    polar: bool
    land: str
    graticule: str
    circle: str
    """The Arctic Circle."""
    spots: tuple[Drawn, ...]


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """A map without its spots."""

    project: Projection
    frame: Frame
    edge: shapely.Geometry
    """On the drawing."""
    height: int
    south: float
    """Degrees of the map's edge."""

    def draw(self, geometry: shapely.Geometry) -> shapely.Geometry:
        """From lon/lat to the drawing, cut at its edge; lines are bent along the way."""
        placed = shapely.transform(shapely.segmentize(geometry, 2.0), self._place)
        return shapely.intersection(shapely.make_valid(placed), self.edge)

    def _place(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.frame.place(self.project(lonlat))


def world_map(spots: Sequence[Spot]) -> WorldMap:
    """Draw the spots on the smallest of the sheets that shows all."""
    shapes = [shapely.from_geojson(json.dumps(spot.geometry)) for spot in spots]
    south = min((shapely.bounds(shape)[1] for shape in shapes if not shapely.is_empty(shape)), default=60.0)
    limit = next((limit for limit in (45.0, 25.0) if south >= limit), -90.0)
    sheet, land, graticule, circle = _background(limit)
    return WorldMap(
        width=WIDTH,
        height=sheet.height,
        polar=limit > 0,
        land=land,
        graticule=graticule,
        circle=circle,
        spots=tuple(_drawn(sheet, spot, shape) for spot, shape in zip(spots, shapes, strict=True)),
    )


def _drawn(sheet: _Sheet, spot: Spot, shape: shapely.Geometry) -> Drawn:
    placed = sheet.draw(shape)
    inner = shapely.point_on_surface(placed) if not shapely.is_empty(placed) else shapely.Point(0, 0)
    x, y = round(shapely.get_x(inner)), round(shapely.get_y(inner))
    return Drawn(title=spot.title, href=spot.href, path=path_of(shapely.simplify(placed, 0.7)), x=x, y=y)


@cache
def _background(limit: float) -> tuple[_Sheet, str, str, str]:
    sheet = _polar(limit) if limit > 0 else _plate()
    rings = [shapely.Polygon(ring) for ring in json.loads(_LAND.read_text(encoding="utf-8"))]
    # What lies far beyond the edge would turn inside out near the other pole.
    kept = shapely.box(-180, sheet.south - 8, 180, 90)
    near = [shapely.intersection(shapely.make_valid(ring), kept) for ring in rings]
    land = shapely.union_all([sheet.draw(ring) for ring in near if not shapely.is_empty(ring)])
    step, top = (30, 80) if limit > 0 else (60, 90)
    meridians = [shapely.LineString([(lon, sheet.south), (lon, top)]) for lon in range(-180, 180, step)]
    parallels = [_parallel(lat) for lat in range(-60, 90, 10 if limit > 0 else 30) if lat > sheet.south]
    lines = shapely.union_all([sheet.draw(line) for line in (*meridians, *parallels)])
    circle = sheet.draw(_parallel(_ARCTIC_CIRCLE))
    return sheet, path_of(shapely.simplify(land, 1.0)), path_of(shapely.simplify(lines, 0.5)), path_of(circle)


def _polar(limit: float) -> _Sheet:
    """The north, Greenwich pointing down as in EPSG:3995."""
    radius = 2 * EARTH_KM * np.sin(np.radians(90 - limit) / 2)
    frame = Frame(left=-radius, top=radius, scale=WIDTH / (2 * radius))
    edge = shapely.Point(WIDTH / 2, WIDTH / 2).buffer(WIDTH / 2, quad_segs=32)
    return _Sheet(project=EqualArea(lon=0.0, lat=90.0), frame=frame, edge=edge, height=WIDTH, south=limit)


def _plate() -> _Sheet:
    frame = Frame(left=-180.0, top=90.0, scale=WIDTH / 360)
    edge = shapely.box(0, 0, WIDTH, WIDTH / 2)
    return _Sheet(project=Plate(), frame=frame, edge=edge, height=WIDTH // 2, south=-90.0)


def _parallel(lat: float) -> shapely.LineString:
    return shapely.LineString([(lon, lat) for lon in range(-180, 181, 2)])
