"""Where a raster holds valid data, as a lon/lat polygon that is never smaller than the data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import rasterio
import rasterio.features
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.transform import Affine
from rasterio.windows import Window
from shapely.affinity import affine_transform
from shapely.geometry import LinearRing, MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry

from talik_inference.valid import valid_pixels
from talik_stac.antimeridian import split_unwrapped

_CELLS = 512  # the valid raster is looked at in at most this many cells a side
_ROWS_PX, _COLS_PX = 1024, 8192  # read at once; multiples of any cell up to 1024 px
_EARTH_M = 6_371_000.0
_GROW_PX = 0.05  # the chord of a densified edge lies within this of the curve
_PRECISION_DEG = 1e-8


def valid_footprint(
    source: rasterio.DatasetReader, bands: Sequence[int], nodata: Sequence[float | None]
) -> BaseGeometry | None:
    """Return the area of valid pixels of some bands (numbers from 1), None where no pixel is valid.

    Lon/lat (OGC:CRS84), valid, split at the antimeridian. The raster is read once, in strips. The outline is
    that of cells of up to size/512 pixels, simplified by at most a cell; it holds every valid pixel.
    """
    cell = _cell_px(source.height, source.width)
    cells = _valid_cells(source, bands, nodata, cell)
    if not cells.any():
        return None
    return to_lonlat(_outline(cells, cell, source.shape), source.transform, CRS.from_user_input(source.crs))


def merged(areas: Sequence[BaseGeometry]) -> BaseGeometry:
    """Return the union of lon/lat areas."""
    return areas[0] if len(areas) == 1 else _snapped(shapely.union_all(areas))


def lonlat_bbox(area: BaseGeometry) -> list[float]:
    """Return [west, south, east, north] as RFC 7946 says: west > east where the area crosses the antimeridian."""
    west, south, east, north = area.bounds
    if west > -180 or east < 180:
        return [west, south, east, north]
    spans = sorted((part.bounds[0], part.bounds[2]) for part in _polygons(area))
    reach, gap = spans[0][1], (0.0, west, east)
    for start, end in spans[1:]:
        gap = max(gap, (start - reach, start, reach))
        reach = max(reach, end)
    return [gap[1], south, gap[2], north]


def to_lonlat(pixels: BaseGeometry, affine: Affine, crs: CRS) -> BaseGeometry:
    """Turn an area in pixel coordinates (x, y downwards) of a grid into lon/lat, split at the antimeridian.

    Edges are densified, since a straight edge of a projected grid is curved in lon/lat. An area around a pole
    is closed along the antimeridian and the pole.
    """
    coefficients = [affine.a, affine.b, affine.d, affine.e, affine.c, affine.f]
    if not crs.is_geographic:
        pixels = pixels.buffer(_GROW_PX, join_style="mitre")
    ground = affine_transform(pixels, coefficients)
    if not crs.is_geographic:
        pixel_m = abs(affine.a) * _metres_per_unit(crs)
        step_m = math.sqrt(_GROW_PX * _EARTH_M * pixel_m)  # sagitta = step^2 / 8R, times 3 for high latitudes
        ground = shapely.segmentize(ground, max(step_m / _metres_per_unit(crs), abs(affine.a)))
    transformer = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    parts = [part for polygon in _polygons(ground) for part in _unrolled(polygon, transformer)]
    return _snapped(shapely.union_all(parts))


def _cell_px(height: int, width: int) -> int:
    """The side of a cell in pixels, a power of two."""
    return 1 << max(0, math.ceil(math.log2(max(height, width) / _CELLS)))


def _valid_cells(
    source: rasterio.DatasetReader, bands: Sequence[int], nodata: Sequence[float | None], cell: int
) -> NDArray[np.bool_]:
    """(cell y, cell x) True where any pixel of the cell is valid."""
    cells = np.zeros((-(-source.height // cell), -(-source.width // cell)), dtype=bool)
    for window in _windows(source.height, source.width, max(cell, _ROWS_PX), max(cell, _COLS_PX)):
        valid = valid_pixels(source.read(list(bands), window=window), nodata)
        rows, cols = -(-valid.shape[0] // cell), -(-valid.shape[1] // cell)
        padded = np.zeros((rows * cell, cols * cell), dtype=bool)
        padded[: valid.shape[0], : valid.shape[1]] = valid
        any_valid = padded.reshape(rows, cell, cols, cell).any(axis=(1, 3))
        row, col = window.row_off // cell, window.col_off // cell
        cells[row : row + rows, col : col + cols] = any_valid
    return cells


def _windows(height: int, width: int, rows: int, cols: int) -> Iterator[Window]:
    for row in range(0, height, rows):
        for col in range(0, width, cols):
            yield Window(col, row, min(cols, width - col), min(rows, height - row))


def _outline(cells: NDArray[np.bool_], cell: int, size_yx: tuple[int, int]) -> BaseGeometry:
    """The outline of True cells in pixels: simplified outwards, cut at the raster's edge."""
    shapes = rasterio.features.shapes(cells.astype(np.uint8), mask=cells, connectivity=8, transform=Affine.scale(cell))
    whole = box(0, 0, size_yx[1], size_yx[0])
    exact = shapely.union_all([shape(geometry) for geometry, _ in shapes]).intersection(whole)
    # Growing by the tolerance first keeps a simplified edge, which moves by at most the tolerance, outside.
    simple = exact.buffer(cell, join_style="mitre").simplify(cell).intersection(whole)
    return simple if simple.is_valid and simple.covers(exact) else exact


def _unrolled(polygon: Polygon, transformer: Transformer) -> Iterator[BaseGeometry]:
    """Transform one polygon; follow its longitudes past 180 degrees; close it around a pole; cut it."""
    shell = _ring(polygon.exterior, transformer)
    turns = round((shell[-1, 0] - shell[0, 0]) / 360)
    if turns != 0:
        pole = math.copysign(90.0, shell[:, 1].mean())
        # from the vertex nearest the pole, so that the ring does not cross the meridian along which it is closed
        first = int(np.abs(shell[:-1, 1]).argmax())
        turned = shell[:-1] + np.array([360.0 * turns, 0.0])
        shell = np.vstack([shell[first:-1], turned[: first + 1]])
        shell = np.vstack([shell, [shell[-1, 0], pole], [shell[0, 0], pole], shell[0]])
    area = shapely.make_valid(Polygon(shell))
    for hole in polygon.interiors:
        ring = _ring(hole, transformer)
        middle = (shell[:, 0].min() + shell[:, 0].max()) / 2
        ring[:, 0] += 360 * round((middle - ring[:, 0].mean()) / 360)
        if round((ring[-1, 0] - ring[0, 0]) / 360) == 0:  # a hole around the pole is left filled: never smaller
            area = area.difference(shapely.make_valid(Polygon(ring)))
    yield from (split_unwrapped(part) for part in _polygons(area))


def _ring(ring: LinearRing, transformer: Transformer) -> NDArray[np.float64]:
    """(n, 2) lon/lat of a ring whose longitudes never jump by more than half a turn."""
    xy = shapely.get_coordinates(ring)
    lon, lat = transformer.transform(xy[:, 0], xy[:, 1])
    return np.column_stack([np.degrees(np.unwrap(np.radians(lon))), np.clip(lat, -90, 90)])


def _metres_per_unit(crs: CRS) -> float:
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def _snapped(geometry: BaseGeometry) -> BaseGeometry:
    """Polygons of short decimals: stored text stays small, and equal input gives equal text."""
    snapped = shapely.set_precision(geometry, _PRECISION_DEG)
    polygons = _polygons(shapely.make_valid(snapped))
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry, return_index=False) if isinstance(part, Polygon)]
