"""The tile matrix set WebMercatorQuad: addresses, bounds and grids of tiles (OGC 17-083r4, annex D.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

RADIUS_M = 6_378_137.0
HALF_M = math.pi * RADIUS_M
"""Half the side of the world's square."""
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))
MAX_ZOOM = 24
TILE_PX = 256


@dataclass(frozen=True, kw_only=True)
class TileAt:
    """One tile: zoom, row from the north, column from the west. A tile that is not there cannot be made."""

    zoom: int
    row: int
    column: int

    def __post_init__(self) -> None:
        side = 2**self.zoom if 0 <= self.zoom <= MAX_ZOOM else 0
        if not (0 <= self.row < side and 0 <= self.column < side):
            raise ValueError(
                f"tile {self.zoom}/{self.row}/{self.column} is outside WebMercatorQuad: zoom 0 to {MAX_ZOOM}, "
                f"row and column 0 to {max(side - 1, 0)}"
            )

    @property
    def bounds_m(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top in EPSG:3857."""
        side = 2 * HALF_M / 2**self.zoom
        left, top = self.column * side - HALF_M, HALF_M - self.row * side
        return left, top - side, left + side, top

    def lonlat_bounds(self, *, margin: float = 0.0) -> tuple[float, float, float, float]:
        """West, south, east, north in degrees, wider by a fraction of the tile's side, within the world."""
        left, bottom, right, top = self.bounds_m
        wider = (right - left) * margin
        lon, lat = to_lonlat(np.array([left - wider, right + wider]), np.array([bottom - wider, top + wider]))
        return max(float(lon[0]), -180.0), float(lat[0]), min(float(lon[1]), 180.0), float(lat[1])

    def grid(self, size_px: int = TILE_PX) -> GeoBox:
        """The pixels of the tile."""
        left, _, right, top = self.bounds_m
        pixel = (right - left) / size_px
        from odc.geo.geobox import GeoBox  # late: it brings dask where that is installed

        return GeoBox((size_px, size_px), Affine(pixel, 0.0, left, 0.0, -pixel, top), "EPSG:3857")


def to_mercator(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees -> metres of EPSG:3857, spherical formulas (EPSG guidance note 7-2, method 1024); latitudes are cut."""
    cut = np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE)
    return RADIUS_M * np.radians(lon), RADIUS_M * np.arcsinh(np.tan(np.radians(cut)))


def to_lonlat(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres of EPSG:3857 -> degrees."""
    return np.degrees(x / RADIUS_M), np.degrees(np.arctan(np.sinh(y / RADIUS_M)))


def zoom_for(metres_per_px: float, latitude: float, *, tile_px: int = TILE_PX) -> int:
    """The first zoom whose pixels are at least as fine as ground metres at a latitude."""
    equator = metres_per_px / max(math.cos(math.radians(latitude)), 1e-3)
    return max(0, min(MAX_ZOOM, math.ceil(math.log2(2 * HALF_M / tile_px / equator) - 1e-6)))


@lru_cache(maxsize=1)
def matrix_set() -> dict[str, Any]:
    """The definition of WebMercatorQuad (OGC Two Dimensional Tile Matrix Set, JSON), zoom 0 to MAX_ZOOM."""
    import morecantile

    document: dict[str, Any] = morecantile.tms.get("WebMercatorQuad").model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    document["tileMatrices"] = [each for each in document["tileMatrices"] if int(each["id"]) <= MAX_ZOOM]
    return document
