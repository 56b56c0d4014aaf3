"""The pixel lattice of one CRS: anchored to the CRS origin, never to the area of interest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

PHASE_TOLERANCE_PX = 1e-3
"""A grid whose pixels lie within this share of a pixel of the lattice lies on the lattice."""


@dataclass(frozen=True, kw_only=True, order=True)
class Rect:
    """A half-open rectangle of lattice pixels: columns col..col_end, rows row..row_end (rows count southwards)."""

    col: int
    row: int
    col_end: int
    row_end: int

    def __post_init__(self) -> None:
        if self.col_end < self.col or self.row_end < self.row:
            raise ValueError(f"rectangle ends before it starts: {self}")

    @property
    def width(self) -> int:
        return self.col_end - self.col

    @property
    def height(self) -> int:
        return self.row_end - self.row

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) in pixels."""
        return self.height, self.width

    @property
    def empty(self) -> bool:
        return self.width == 0 or self.height == 0

    def expand(self, px: int) -> Rect:
        """Grow by `px` on every side."""
        return Rect(col=self.col - px, row=self.row - px, col_end=self.col_end + px, row_end=self.row_end + px)

    def intersect(self, other: Rect) -> Rect:
        """The common rectangle, of zero size where there is none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        col_end, row_end = min(self.col_end, other.col_end), min(self.row_end, other.row_end)
        return Rect(col=col, row=row, col_end=max(col, col_end), row_end=max(row, row_end))

    def within(self, outer: Rect) -> tuple[slice, slice]:
        """The (y, x) slices that cut this rectangle out of an array that covers `outer`."""
        return (
            slice(self.row - outer.row, self.row_end - outer.row),
            slice(self.col - outer.col, self.col_end - outer.col),
        )

    def cells(self, size_px: int) -> Iterator[Rect]:
        """Yield the cells of side `size_px`, anchored at pixel (0, 0), that this rectangle touches, row by row."""
        for row in range(self.row // size_px, math.ceil(self.row_end / size_px)):
            for col in range(self.col // size_px, math.ceil(self.col_end / size_px)):
                yield cell(col, row, size_px)


def cell(col: int, row: int, size_px: int) -> Rect:
    """The cell number (col, row) of the cells of side `size_px` anchored at pixel (0, 0)."""
    return Rect(col=col * size_px, row=row * size_px, col_end=(col + 1) * size_px, row_end=(row + 1) * size_px)


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """Square pixels that fill a CRS: pixel corner (col, row) lies at (phase_x + col res, phase_y - row res).

    The phase is the imagery's own, so that native pixels are used as they are; it never depends on the area.
    """

    crs: str
    """Authority code such as EPSG:32633, or WKT."""
    resolution: float
    """Pixel side in units of the CRS."""
    phase_x: float = 0.0
    phase_y: float = 0.0
    """In [0, resolution), units of the CRS."""

    @property
    def transform(self) -> Affine:
        """From (col, row) of a pixel corner to (x, y) in the CRS."""
        return Affine(self.resolution, 0.0, self.phase_x, 0.0, -self.resolution, self.phase_y)

    @property
    def key(self) -> str:
        """A short name for file names."""
        return "".join(c if c.isalnum() else "-" for c in self.crs).lower()[:40]

    def geobox(self, rect: Rect) -> GeoBox:
        """The grid of a rectangle."""
        return GeoBox(rect.shape, self.transform * Affine.translation(rect.col, rect.row), self.crs)

    def rect_of(self, bounds: tuple[float, float, float, float]) -> Rect:
        """The smallest rectangle of whole pixels that holds (left, bottom, right, top) in the CRS."""
        left, bottom, right, top = bounds
        res, tol = self.resolution, PHASE_TOLERANCE_PX
        return Rect(
            col=math.floor((left - self.phase_x) / res + tol),
            row=math.floor((self.phase_y - top) / res + tol),
            col_end=math.ceil((right - self.phase_x) / res - tol),
            row_end=math.ceil((self.phase_y - bottom) / res - tol),
        )

    def holds(self, grid: GeoBox) -> bool:
        """Whether the grid's pixels are pixels of this lattice, so that reading needs no resampling."""
        other = lattice_of(grid)
        if other is None or other.crs != self.crs:
            return False
        drift = abs(other.resolution - self.resolution) * max(grid.shape) / self.resolution
        return (
            drift < PHASE_TOLERANCE_PX
            and _phase_gap(self.phase_x, other.phase_x, self.resolution) < PHASE_TOLERANCE_PX
            and _phase_gap(self.phase_y, other.phase_y, self.resolution) < PHASE_TOLERANCE_PX
        )


def lattice_of(grid: GeoBox) -> Lattice | None:
    """The lattice that a grid lies on, None where its pixels are not square and north-up."""
    a = grid.affine
    if a.b or a.d or a.a <= 0 or a.e >= 0 or abs(a.a + a.e) > 1e-9 * a.a or grid.crs is None:
        return None
    res = float(a.a)
    return Lattice(
        crs=crs_name(grid),
        resolution=res,
        phase_x=_phase(a.c, res),
        phase_y=_phase(a.f, res),
    )


def crs_name(grid: GeoBox) -> str:
    """EPSG:code where there is one, else WKT."""
    crs = grid.crs
    if crs is None:
        raise ValueError(f"grid without CRS: {grid}")
    epsg = crs.to_epsg()
    return f"EPSG:{epsg}" if epsg else str(crs.to_wkt())


def pixel_metres(lattice: Lattice) -> float:
    """Side of a pixel in metres; for a geographic CRS along the meridian."""
    axis = CRS.from_user_input(lattice.crs).axis_info[0]
    if axis.unit_name == "degree":
        return lattice.resolution * 111_320
    return lattice.resolution * float(axis.unit_conversion_factor)


def _phase(x: float, res: float) -> float:
    """x modulo res, with values within the tolerance of res taken as 0 (floating coordinates of real files)."""
    phase = round(x - math.floor(x / res) * res, 9)
    return 0.0 if res - phase < PHASE_TOLERANCE_PX * res or phase < PHASE_TOLERANCE_PX * res else phase


def _phase_gap(a: float, b: float, res: float) -> float:
    """Distance of two phases on their circle, in pixels."""
    gap = abs(a - b) % res / res
    return min(gap, 1 - gap)
