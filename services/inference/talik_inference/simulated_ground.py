"""A *simulated* permafrost lowland: lakes that are known exactly, as a function of place and year.

The ground is a plane in metres east and north of a point on the border of two UTM zones, tied to lon/lat by a fixed
scale, so that every grid of every zone samples the same lakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

LON0, LAT0 = -150.0, 70.0
"""On the border of UTM zones 5 and 6, on the coastal plain of Alaska."""
M_PER_DEG = 111_320.0
EXTENT_M = (-13_500.0, -4_500.0, 8_500.0, 4_500.0)
"""West, south, east, north of the area, metres from (LON0, LAT0); given for scenes of 1000 px."""
SMALLEST_M2 = 500.0
HARMONICS = np.arange(2, 14)
OUTLINE_POINTS = 720


def to_plane(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees -> metres east and north of the origin."""
    return (lon - LON0) * M_PER_DEG * math.cos(math.radians(LAT0)), (lat - LAT0) * M_PER_DEG


def to_lonlat(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres east and north of the origin -> degrees."""
    return LON0 + x / (M_PER_DEG * math.cos(math.radians(LAT0))), LAT0 + y / M_PER_DEG


@dataclass(frozen=True, kw_only=True)
class Lake:
    """One basin: r(angle) = radius (1 + sum a_k cos(k angle + phase_k)), fractal where a_k falls as k^-1.3."""

    x: float
    y: float
    radius: float
    amplitude: NDArray[np.float64] = field(repr=False)
    phase: NDArray[np.float64] = field(repr=False)
    levels: tuple[float, ...]
    """For each year the factor of the radius; 0 is dry."""
    islands: tuple[float, ...] = ()
    """Shares of the radius where water turns to land, and land to water again, from the shore inwards."""

    def edge(self, angle: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of the full shore from the centre, metres."""
        waves = np.cos(angle[..., None] * HARMONICS + self.phase) @ self.amplitude
        shore: NDArray[np.float64] = self.radius * (1 + waves)
        return shore

    @property
    def reach(self) -> float:
        """No shore lies further from the centre, metres, in any year."""
        return float(self.radius * (1 + np.abs(self.amplitude).sum()) * max(1.0, *self.levels))

    def water(self, x: NDArray[np.float64], y: NDArray[np.float64], year: int) -> NDArray[np.bool_]:
        """Whether places of the plane lie under water in the year of this index."""
        dx, dy = x - self.x, y - self.y
        share = np.hypot(dx, dy) / self.edge(np.arctan2(dy, dx))
        wet = share < self.levels[year]
        for turn in self.islands:
            wet ^= share < turn
        return wet & (self.levels[year] > 0)

    def outline(self, year: int) -> shapely.Geometry:
        """The water in a year as polygons of the plane."""
        if self.levels[year] == 0:
            return shapely.Polygon()
        angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
        shore = self.edge(angle)

        def ring(share: float) -> shapely.Polygon:
            r = share * shore
            return shapely.Polygon(np.column_stack([self.x + r * np.cos(angle), self.y + r * np.sin(angle)]))

        water: shapely.Geometry = ring(self.levels[year])
        for turn in self.islands:
            water = shapely.symmetric_difference(water, ring(turn))
        return water


@dataclass(frozen=True, kw_only=True)
class Ground:
    """All lakes of the simulated lowland."""

    lakes: tuple[Lake, ...]

    def water(self, year: int, grid: GeoBox) -> NDArray[np.bool_]:
        """The truth: bool (y, x), True where the pixel's centre lies under water in the year of this index."""
        x, y = plane_of(grid)
        out = np.zeros(grid.shape, bool)
        to_grid = Transformer.from_crs("OGC:CRS84", str(grid.crs), always_xy=True)
        size = float(grid.affine.a)
        for lake in self.lakes:
            col, row = ~grid.affine * to_grid.transform(*to_lonlat(np.array(lake.x), np.array(lake.y)))
            # The plane is true to 0.5 % here; the zones' norths differ by 3 degrees.
            reach = 1.02 * lake.reach / size + 2
            rows = slice(max(0, int(row - reach)), max(0, int(row + reach) + 1))
            cols = slice(max(0, int(col - reach)), max(0, int(col + reach) + 1))
            out[rows, cols] |= lake.water(x[rows, cols], y[rows, cols], year)
        return out

    def polygons(self, year: int) -> NDArray[np.object_]:
        """The truth as lon/lat polygons: water bodies that do not touch each other."""
        merged = shapely.union_all([lake.outline(year) for lake in self.lakes])
        parts = shapely.get_parts(merged)
        parts = parts[shapely.area(parts) > 0]
        lonlat: NDArray[np.object_] = shapely.transform(parts, lambda xy: np.column_stack(to_lonlat(*xy.T)))
        return lonlat


def plane_of(grid: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The place of each pixel centre: metres east and north of the origin, each (y, x)."""
    row, col = np.mgrid[0 : grid.shape.y, 0 : grid.shape.x] + 0.5
    east, north = grid.affine * (col, row)
    lon, lat = Transformer.from_crs(str(grid.crs), "OGC:CRS84", always_xy=True).transform(east, north)
    return to_plane(lon, lat)


def make_ground(seed: int, *, years: int, scale: float) -> Ground:
    """Scatter lakes of a power law of areas (exponent -0.65, 500 m2 to 1.5 km2); some change from year to year."""
    rng = np.random.default_rng(seed)
    lakes = _named_lakes(rng, years, scale)
    wanted = int(500 * scale**2)
    west, south, east, north = (scale * side for side in EXTENT_M)
    share = rng.random(wanted)
    largest = 1.5e6 * scale**2
    # The inverse of N(>A) ~ A^-b between the smallest and the largest area.
    b = 0.65
    area = (SMALLEST_M2**-b - share * (SMALLEST_M2**-b - largest**-b)) ** (-1 / b)
    for radius in np.sort(np.sqrt(area / np.pi))[::-1]:
        for _ in range(60):
            x, y = rng.uniform(west, east), rng.uniform(south, north)
            if all(math.hypot(x - o.x, y - o.y) > 1.25 * o.reach + 1.8 * radius + 40 for o in lakes):
                islands = (0.3,) if radius > 120 and rng.random() < 0.3 else ()
                lakes.append(_lake(rng, x, y, float(radius), _history(rng, years), islands))
                break
    return Ground(lakes=tuple(lakes))


def _named_lakes(rng: np.random.Generator, years: int, scale: float) -> list[Lake]:
    """Lakes that must be there: across the zones' border, with an island and its lake, merging, splitting."""
    same = (1.0,) * years
    late = range(years)
    return [
        _lake(rng, 0.0, 1500 * scale, 420 * scale, same, (0.5, 0.25)),
        _lake(rng, 40 * scale, -2100 * scale, 150 * scale, tuple(1 + 0.1 * y for y in late), ()),
        _lake(rng, -10 * scale, -3600 * scale, 60 * scale, same, ()),
        # Two that grow into one.
        _lake(rng, -6000 * scale, 2500 * scale, 130 * scale, tuple(1 + 0.2 * y for y in late), (), rough=0.2),
        _lake(rng, -5700 * scale, 2500 * scale, 130 * scale, tuple(1 + 0.2 * y for y in late), (), rough=0.2),
        # Two basins whose neck falls dry in the last year.
        _lake(rng, 4000 * scale, -1500 * scale, 150 * scale, same, (), rough=0.2),
        _lake(rng, 4400 * scale, -1500 * scale, 150 * scale, same, (), rough=0.2),
        _lake(rng, 4200 * scale, -1500 * scale, 90 * scale, (*(1.0 for _ in range(years - 1)), 0.0), (), rough=0.2),
    ]


def _history(rng: np.random.Generator, years: int) -> tuple[float, ...]:
    """Most lakes stay; others grow, shrink, drain or appear."""
    kind = rng.random()
    when = int(rng.integers(1, years)) if years > 1 else 1
    if kind < 0.7:
        return (1.0,) * years
    if kind < 0.8:
        return tuple(1 + 0.08 * y for y in range(years))
    if kind < 0.9:
        return tuple(1 - 0.08 * y for y in range(years))
    if kind < 0.95:
        return tuple(1.0 if y < when else 0.0 for y in range(years))
    return tuple(0.0 if y < when else 1.0 for y in range(years))


def _lake(
    rng: np.random.Generator,
    x: float,
    y: float,
    radius: float,
    levels: Sequence[float],
    islands: tuple[float, ...],
    *,
    rough: float = 0.5,
) -> Lake:
    amplitude = rough * rng.standard_normal(len(HARMONICS)) * HARMONICS**-1.3
    amplitude *= min(1.0, 0.6 / np.abs(amplitude).sum())
    phase = rng.uniform(0, 2 * np.pi, len(HARMONICS))
    return Lake(x=x, y=y, radius=radius, amplitude=amplitude, phase=phase, levels=tuple(levels), islands=islands)
