"""Places on flat drawings: two projections in closed form, so that a page needs no PROJ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray

EARTH_KM = 6371.0088
"""Mean radius (IUGG)."""


class Projection(Protocol):
    """From lon/lat to a plane with y upwards."""

    def __call__(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project points (point, 2) in degrees."""


@dataclass(frozen=True, kw_only=True)
class EqualArea:
    """Lambert's azimuthal equal-area projection of the sphere, in km (Snyder 1987, equations 24-2 to 24-4)."""

    lon: float
    """Of the centre, degrees; at a pole the meridian that points down (north) or up (south)."""
    lat: float

    def __call__(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project points (point, 2); the antipode of the centre goes to the rim."""
        across, up = np.radians(lonlat[:, 0] - self.lon), np.radians(lonlat[:, 1])
        middle = np.radians(self.lat)
        nearness = np.sin(middle) * np.sin(up) + np.cos(middle) * np.cos(up) * np.cos(across)
        scale = EARTH_KM * np.sqrt(2 / np.maximum(1 + nearness, 1e-9))
        x = scale * np.cos(up) * np.sin(across)
        y = scale * (np.cos(middle) * np.sin(up) - np.sin(middle) * np.cos(up) * np.cos(across))
        return np.column_stack([x, y])


@dataclass(frozen=True, kw_only=True)
class Plate:
    """Longitude and latitude as they are, in degrees."""

    def __call__(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the points."""
        return lonlat


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where a plane's rectangle lies in the units of a drawing, y downwards."""

    left: float
    top: float
    """In units of the plane."""
    scale: float
    """Units of the drawing in one of the plane."""

    def place(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        """From the plane (point, 2) to the drawing."""
        return np.column_stack([(plane[:, 0] - self.left) * self.scale, (self.top - plane[:, 1]) * self.scale])


def path_of(geometry: shapely.Geometry) -> str:
    """The path data of polygons or lines on a drawing, whole units, each point as its distance from the one before."""
    return "".join(_ring(np.asarray(ring.coords), closed=ring.geom_type == "LinearRing") for ring in _rings(geometry))


def _rings(geometry: shapely.Geometry) -> list[Any]:
    parts = shapely.get_parts(geometry)
    rings: list[Any] = []
    for each in parts:
        if each.geom_type == "Polygon":
            rings += list(shapely.get_rings(each))
        elif each.geom_type in ("LineString", "LinearRing"):
            rings.append(each)
    return rings


def _ring(points: NDArray[np.float64], *, closed: bool) -> str:
    """m x y then l dx dy ...; a ring too small to see becomes a dot of one unit."""
    whole = np.rint(points[:, :2]).astype(int)
    steps = np.diff(whole, axis=0)
    steps = steps[np.any(steps != 0, axis=1)]
    if closed:
        steps = steps[:-1]  # z goes back to the first point
    x, y = whole[0]
    if len(steps) < (2 if closed else 1):
        return f"M{x} {y}h2v2h-2z" if closed else ""
    moves = " ".join(f"{dx} {dy}" for dx, dy in steps).replace(" -", "-")
    return f"M{x} {y}l{moves}{'z' if closed else ''}"
