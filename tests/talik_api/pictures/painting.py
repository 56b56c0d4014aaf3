"""Imagery whose pixels say where they are, for tests of pictures."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from pyproj import Transformer

from making import grid_at, make_scene
from talik_api.pictures.scenes import Frame

GRID = grid_at(50_000, -650_000, 200, 240)
"""200 rows, 240 columns of 10 m in UTM 33 (EPSG:32633)."""


def anywhere(href: str) -> None:
    """Allow every file."""


def coordinates(grid: GeoBox = GRID) -> NDArray[np.uint16]:
    """uint16 (red, green, blue): 10 times row and column, and 1; never 0, the nodata."""
    rows, columns = np.indices(grid.shape)
    return np.stack([10 * rows + 10, 10 * columns + 10, np.full(grid.shape, 1500)]).astype(np.uint16)


def frame(folder: Path, pixels: NDArray[np.uint16] | None = None, *, day: int = 15, grid: GeoBox = GRID) -> Frame:
    """One date with one scene of red, green and blue."""
    when = datetime(2021, 7, day, 10, tzinfo=UTC)
    painted = coordinates(grid) if pixels is None else pixels
    bands = ("red", "green", "blue")[: len(painted)]
    scene = make_scene(folder, painted, grid, scene_id=f"scene-{day}", bands=bands, when=when)
    return Frame(day=when.date(), scenes=(scene,))


def lonlat_box(column: float, row: float, width: float, height: float, grid: GeoBox = GRID) -> shapely.Polygon:
    """A rectangle of the grid's pixels as lon/lat."""
    corners = [(column, row), (column + width, row), (column + width, row + height), (column, row + height)]
    change = Transformer.from_crs(str(grid.crs), "OGC:CRS84", always_xy=True)
    affine = grid.affine
    metres = [(affine.a * x + affine.c, affine.e * y + affine.f) for x, y in corners]
    return shapely.Polygon([change.transform(*corner) for corner in metres])


def rgba_of(data: bytes) -> NDArray[np.uint8]:
    """(y, x, 4) of a picture."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))
