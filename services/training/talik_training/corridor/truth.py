"""The *simulated* objects of the corridor, known exactly: where, what, since when, and their outline in each year.

The ground is cut into plots; each plot holds at most one object, whole. Plots lie half a plot off the tiles, so that
objects do cross the edges of tiles. An object is a function of (seed, law, plot): any part can be made alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from talik_stac.errors import AoiError, RecipeError
from talik_training.corridor.chance import uniform
from talik_training.corridor.law import CorridorLaw, Kind
from talik_training.corridor.shapes import REACH_PER_ROOT_SIZE, outline, toe
from talik_training.corridor.terrain import PIXEL_M, Window, noise_at, relief_at, slope_deg

CRS = "EPSG:32646"
"""UTM 46N, where the Qinghai-Tibet corridor lies; the simulated ground has nothing else of it."""
LEFT_M, TOP_M = 400_000.0, 3_900_000.0
"""Easting and northing of the corner of pixel (0, 0)."""
PLOT_PX = 102
"""1.02 km: an object of 40 ha still lies within its plot."""
ICE_KNOT_PX = 1024
"""Ground ice, and with it slumps, comes in patches of about 10 km."""

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class SimulatedObject:
    """One slump or look-alike."""

    plot: tuple[int, int]
    """(row, column) of its plot: its identity."""
    kind: Kind
    row: float
    col: float
    """Its middle in pixels of the endless grid, when it has its full size."""
    area_m2: float
    """In the last year."""
    upslope: float
    """Direction of rise, radians from east towards north."""
    slope_deg: float
    initiated: int
    """First year in which it can be seen; look-alikes have the oldest year of the law."""
    contrast: float
    """How much of its ground is bare, 0 to 1."""
    shares: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Name that says that it is simulated, and what."""
        return f"simulated-{self.kind.value}-{self.plot[0]}-{self.plot[1]}"

    def grown_share(self, year: int, law: CorridorLaw) -> float:
        """Its area in a year as a share of the area in the last year: 0 before initiation, then linear from a fifth."""
        if year < self.initiated:
            return 0.0
        if self.kind is not Kind.SLUMP:
            return 1.0
        age, full = year - self.initiated, law.years[-1] - self.initiated
        # Old slumps have all but stopped; young ones grow from a fifth of their size.
        return 1.0 if full == 0 else min(1.0, 0.2 + 0.8 * age / full)

    def polygon(self, year: int, law: CorridorLaw) -> shapely.Polygon:
        """Its outline in a year, metres of CRS, empty before initiation. A slump's toe stays, its headwall retreats."""
        share = self.grown_share(year, law)
        if share == 0:
            return shapely.Polygon()
        ring = outline(self.kind, self.shares)
        fixed = toe(ring) if self.kind is Kind.SLUMP else np.zeros(2)
        ring = (fixed + (ring - fixed) * np.sqrt(share)) * np.sqrt(self.area_m2)
        east = LEFT_M + self.col * PIXEL_M + ring[:, 0] * np.cos(self.upslope) - ring[:, 1] * np.sin(self.upslope)
        north = TOP_M - self.row * PIXEL_M + ring[:, 0] * np.sin(self.upslope) + ring[:, 1] * np.cos(self.upslope)
        return shapely.Polygon(np.column_stack([east, north]))


def corridor_truth(seed: int, area: Bounds, *, year: int | None = None, law: CorridorLaw | None = None) -> Any:
    """The slumps that touch an area (left, bottom, right, top; metres of CRS) in a year, by default the last.

    A GeoDataFrame with id, kind, initiated, area_m2 (of that year), slope_deg, contrast and whole outlines. No pixel
    is made. Raises AoiError and RecipeError.
    """
    return _frame(seed, area, year, law or CorridorLaw(), slumps=True)


def corridor_lookalikes(seed: int, area: Bounds, *, law: CorridorLaw | None = None) -> Any:
    """The objects that are no slumps but may be taken for one, as corridor_truth gives slumps."""
    return _frame(seed, area, None, law or CorridorLaw(), slumps=False)


def window_bounds(window: Window) -> Bounds:
    """Left, bottom, right, top of a window in metres of CRS."""
    return (
        LEFT_M + window.col * PIXEL_M,
        TOP_M - window.row_end * PIXEL_M,
        LEFT_M + window.col_end * PIXEL_M,
        TOP_M - window.row * PIXEL_M,
    )


def objects_near(seed: int, window: Window, law: CorridorLaw) -> list[SimulatedObject]:
    """Every object of the plots that touch a window, by plot."""
    half = PLOT_PX // 2
    found: list[SimulatedObject] = []
    # Whole squares of plots are made and kept: neighbouring tiles ask for the same ones.
    rows = range((window.row + half) // PLOT_PX // _SQUARE, (window.row_end + half) // PLOT_PX // _SQUARE + 1)
    cols = range((window.col + half) // PLOT_PX // _SQUARE, (window.col_end + half) // PLOT_PX // _SQUARE + 1)
    for row in rows:
        for col in cols:
            found.extend(one for one in _square(seed, row, col, _Frozen(law)) if _touches(one.plot, window))
    return sorted(found, key=lambda one: one.plot)


_SQUARE = 10


class _Frozen:
    """A law as a key of the cache: laws hold a dictionary, and compare by value."""

    def __init__(self, law: CorridorLaw) -> None:
        self.law, self.said = law, repr(law)

    def __hash__(self) -> int:
        return hash(self.said)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frozen) and self.said == other.said


def _touches(plot: tuple[int, int], window: Window) -> bool:
    half = PLOT_PX // 2
    top, left = plot[0] * PLOT_PX - half, plot[1] * PLOT_PX - half
    down = top < window.row_end and top + PLOT_PX > window.row
    return down and left < window.col_end and left + PLOT_PX > window.col


@lru_cache(maxsize=512)
def _square(seed: int, square_row: int, square_col: int, frozen: _Frozen) -> tuple[SimulatedObject, ...]:
    """The objects of 10 x 10 plots, worked out together."""
    law = frozen.law
    rows, cols = (part.ravel() for part in np.mgrid[:_SQUARE, :_SQUARE])
    rows, cols = rows + square_row * _SQUARE, cols + square_col * _SQUARE
    sizes = law.sizes.area_m2(uniform(seed, "size", rows, cols))
    # In the middle of its plot, moved as far as its reach allows.
    room = PLOT_PX / 2 - REACH_PER_ROOT_SIZE * np.sqrt(sizes) / PIXEL_M
    down = rows * PLOT_PX + room * (2 * uniform(seed, "down", rows, cols) - 1)
    right = cols * PLOT_PX + room * (2 * uniform(seed, "right", rows, cols) - 1)
    south, east = relief_at(seed, down, right)
    steepness = slope_deg(south, east)
    kinds = _kinds(seed, law, rows, cols, steepness, _ice(seed, down, right))
    ages = _initiated(seed, law, rows, cols)
    contrasts = law.contrast[0] + (law.contrast[1] - law.contrast[0]) * uniform(seed, "contrast", rows, cols)
    return tuple(
        SimulatedObject(
            plot=(int(rows[at]), int(cols[at])),
            kind=kind,
            row=float(down[at]),
            col=float(right[at]),
            area_m2=float(sizes[at] * law.kinds[kind].relative_size),
            upslope=float(np.arctan2(-south[at], east[at])),
            slope_deg=float(steepness[at]),
            initiated=int(ages[at]) if kind is Kind.SLUMP else law.years[0] - law.oldest_years,
            contrast=float(contrasts[at]),
            shares=uniform(seed, "shape", rows[at], cols[at], np.arange(16)),
        )
        for at, kind in enumerate(kinds)
        if kind is not None
    )


def _ice(seed: int, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative chance of slumps, mean about 1, from 0 to 2: they come in clusters."""
    return np.clip(1 + 2.5 * noise_at(seed, "ice", ICE_KNOT_PX, rows, cols), 0, 2)


def _kinds(
    seed: int,
    law: CorridorLaw,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    steepness: NDArray[np.float64],
    ice: NDArray[np.float64],
) -> list[Kind | None]:
    """What each plot holds; the chance of a kind is its number per plot, where the slope suits it."""
    plot_km2 = (PLOT_PX * PIXEL_M / 1000) ** 2
    draw = uniform(seed, "kind", rows, cols)
    chosen: list[Kind | None] = [None] * len(draw)
    upto = np.zeros(len(draw))
    for kind, rule in law.kinds.items():
        suits = (steepness >= rule.slope_deg[0]) & (steepness < rule.slope_deg[1])
        chance = suits * rule.per_km2 * plot_km2 * (ice if kind is Kind.SLUMP else 1.0)
        for at in np.flatnonzero((draw >= upto) & (draw < upto + chance)):
            chosen[at] = kind
        upto = upto + chance
    if upto.max() > 1:
        raise RecipeError(f"up to {upto.max():.2f} objects in a plot of {plot_km2:.2f} km2: expected 1; lower per_km2")
    return chosen


def _initiated(seed: int, law: CorridorLaw, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.int64]:
    """Year of initiation of a slump: new ones evenly over the years after the first, old ones before."""
    draw = uniform(seed, "initiated", rows, cols)
    first, last = law.years[0], law.years[-1]
    new = first + 1 + np.floor(draw / max(law.new_share, 1e-9) * (last - first)).astype(np.int64)
    old_draw = (draw - law.new_share) / max(1 - law.new_share, 1e-9)
    old = first - np.floor(old_draw * law.oldest_years).astype(np.int64)
    return np.where((draw < law.new_share) & (last > first), new, np.where(draw < law.new_share, first, old))


def _frame(seed: int, area: Bounds, year: int | None, law: CorridorLaw, *, slumps: bool) -> Any:
    when = law.years[-1] if year is None else year
    if when > law.years[-1]:
        raise RecipeError(f"year {when}: expected at most {law.years[-1]}, the last of the law")
    kept = list(_outlines(seed, area, when, law, slumps=slumps))
    columns = {
        "id": [one.id for one, _ in kept],
        "kind": [one.kind.value for one, _ in kept],
        "initiated": np.array([one.initiated for one, _ in kept], np.int64),
        "area_m2": np.array([polygon.area for _, polygon in kept], np.float64),
        "slope_deg": np.array([one.slope_deg for one, _ in kept], np.float64),
        "contrast": np.array([one.contrast for one, _ in kept], np.float64),
    }
    return gpd.GeoDataFrame(columns, geometry=[polygon for _, polygon in kept], crs=CRS)


def _outlines(
    seed: int, area: Bounds, year: int, law: CorridorLaw, *, slumps: bool
) -> Iterator[tuple[SimulatedObject, shapely.Polygon]]:
    """The slumps, or the others, that touch an area, with their outlines in a year."""
    left, bottom, right, top = area
    if not (left < right and bottom < top):
        raise AoiError(f"area {area}: expected left < right and bottom < top, in metres of {CRS}")
    window = Window(
        row=int(np.floor((TOP_M - top) / PIXEL_M)),
        col=int(np.floor((left - LEFT_M) / PIXEL_M)),
        row_end=int(np.ceil((TOP_M - bottom) / PIXEL_M)),
        col_end=int(np.ceil((right - LEFT_M) / PIXEL_M)),
    )
    ground = shapely.box(*area)
    shapely.prepare(ground)
    for one in objects_near(seed, window, law):
        if (one.kind is Kind.SLUMP) is not slumps or year < one.initiated:
            continue
        polygon = one.polygon(year, law)
        if shapely.intersects(ground, polygon):
            yield one, polygon
