"""*Simulated* scenes of the corridor: reflectance of any tile or window in any year, and which pixels are slump.

A pixel is a function of (seed, law, year, place): tiles join, and windows that overlap agree to the byte. Objects mix
with the ground by the share of a pixel that they cover. Left in the pixels, as a quality band leaves it: the shadow of
each cloud; the clouds themselves are not valid.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import shapely
import shapely.affinity
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from talik_stac.errors import RecipeError
from talik_training.corridor.chance import nearly_normal, uniform
from talik_training.corridor.law import BANDS, CorridorLaw, Kind, spectrum
from talik_training.corridor.terrain import PIXEL_M, Window, noise, noise_at, relief
from talik_training.corridor.truth import CRS, LEFT_M, TOP_M, Bounds, SimulatedObject, objects_near, window_bounds

Pixels = NDArray[np.float32]

FINER = 4
"""Cover is counted on a grid of 4 x 4 points per pixel."""
HEADWALL_M = 15.0
"""Width of the dark, wet scarp along the upslope edge."""
NOISE = np.array([0.0025, 0.0025, 0.003, 0.005, 0.005], np.float32)
"""Standard deviation of the sensor's noise, reflectance, by band."""
SUN_EAST, SUN_NORTH, SUN_UP = 0.40, -0.40, 0.825
"""Towards the sun at half past ten in summer: south-east, 56 degrees high."""
ROAD_SPACING_PX, ROAD_HALF_WIDTH_M = 2_600, 9.0
CLOUD_SHIFT_PX = (35, -25)
"""From a cloud to its shadow, rows and columns."""


@dataclass(frozen=True, kw_only=True)
class Corridor:
    """A simulated corridor of tiles_x by tiles_y tiles; the default is 4,194 km2."""

    seed: int
    tiles_x: int = 8
    tiles_y: int = 5
    tile_px: int = 1024
    law: CorridorLaw = field(default_factory=CorridorLaw)
    cloud_share: float = 0.04

    def __post_init__(self) -> None:
        if min(self.tiles_x, self.tiles_y, self.tile_px) < 1 or not 0 <= self.cloud_share < 0.5:
            said = f"{self.tiles_x} x {self.tiles_y} tiles of {self.tile_px} px, cloud_share {self.cloud_share}"
            raise RecipeError(f"corridor of {said}: expected at least one tile of one pixel, and clouds below 0.5")

    @property
    def area(self) -> Bounds:
        """Left, bottom, right, top in metres of CRS."""
        rows, cols = self.tiles_y * self.tile_px, self.tiles_x * self.tile_px
        return window_bounds(Window(row=0, col=0, row_end=rows, col_end=cols))

    @property
    def area_km2(self) -> float:
        """Size of the whole corridor."""
        return self.tiles_x * self.tiles_y * (self.tile_px * PIXEL_M / 1000) ** 2

    def tiles(self) -> Iterator[tuple[int, int]]:
        """(row, column) of every tile, from the north-west."""
        return ((row, col) for row in range(self.tiles_y) for col in range(self.tiles_x))

    def window(self, tile: tuple[int, int]) -> Window:
        """The pixels of a tile."""
        row, col = (part * self.tile_px for part in tile)
        return Window(row=row, col=col, row_end=row + self.tile_px, col_end=col + self.tile_px)


@dataclass(frozen=True, kw_only=True)
class SimulatedScene:
    """One date over one window, ready to be written as a GeoTIFF."""

    reflectance: Pixels
    """(band, y, x) in BANDS; 0 where not valid."""
    valid: NDArray[np.bool_]
    """(y, x) False under cloud. Shadow is valid: no mask found it."""
    slump: NDArray[np.bool_]
    """(y, x) truth: at least half of the pixel is thaw slump, seen or under cloud."""
    grid: GeoBox
    date: datetime.date
    bands: tuple[str, ...] = BANDS


def window_grid(window: Window) -> GeoBox:
    """The pixel grid of a window."""
    left, _, _, top = window_bounds(window)
    return GeoBox(window.shape, Affine(PIXEL_M, 0, left, 0, -PIXEL_M, top), CRS)


def make_scene(corridor: Corridor, tile: tuple[int, int], year: int) -> SimulatedScene:
    """Simulate one tile in one year. Raises RecipeError for a tile or year outside the corridor."""
    if not (0 <= tile[0] < corridor.tiles_y and 0 <= tile[1] < corridor.tiles_x):
        raise RecipeError(f"tile {tile}: expected (row, column) below ({corridor.tiles_y}, {corridor.tiles_x})")
    return make_window(corridor, corridor.window(tile), year)


def make_window(corridor: Corridor, window: Window, year: int) -> SimulatedScene:
    """Simulate any window in one year, with the same pixels as the tiles have. Raises RecipeError."""
    if year not in corridor.law.years:
        raise RecipeError(f"year {year}: expected one of {list(corridor.law.years)}")
    data = _ground(corridor.seed, window).copy()
    slump = _paint_objects(data, corridor, window, year)
    data *= _light(corridor.seed, window, year)
    valid = _paint_sky(data, corridor, window, year)
    _add_noise(data, corridor.seed, window, year)
    data[:, ~valid] = 0
    return SimulatedScene(
        reflectance=data, valid=valid, slump=slump >= 0.5, grid=window_grid(window), date=scene_date(corridor, year)
    )


def scene_date(corridor: Corridor, year: int) -> datetime.date:
    """A day of July or August."""
    day = int(60 * uniform(corridor.seed, "date", year))
    return datetime.date(year, 7, 1) + datetime.timedelta(days=day)


def cover(polygon: shapely.Polygon, window: Window) -> Pixels:
    """Share (y, x) of each pixel of a window that lies in a polygon, in sixteenths."""
    left, _, _, top = window_bounds(window)
    fine = Affine(PIXEL_M / FINER, 0, left, 0, -PIXEL_M / FINER, top)
    rows, cols = window.shape
    inside = rasterize([(polygon, 1)], out_shape=(rows * FINER, cols * FINER), transform=fine, dtype="uint8")
    # (y, finer, x, finer) -> (y, x)
    return np.asarray(inside.reshape(rows, FINER, cols, FINER).mean(axis=(1, 3)), np.float32)


@lru_cache(maxsize=2)
def _ground(seed: int, window: Window) -> Pixels:
    """Reflectance (band, y, x) of tundra, lit by the sun, with its roads; the same in all years."""
    south, east = relief(seed, window)
    dry = 0.5 + 1.1 * noise(seed, "dry", 128, window) + 0.6 * noise(seed, "dry", 16, window)
    dry += 0.25 * noise(seed, "dry", 4, window) + 1.5 * np.hypot(south, east)
    dry = np.clip(dry, 0, 1)
    meadow, steppe = spectrum("meadow")[:, None, None], spectrum("steppe")[:, None, None]
    data: Pixels = meadow + (steppe - meadow) * dry
    road = _road(seed, window)
    if road is not None:
        data += (spectrum("gravel")[:, None, None] - data) * road
    # Cosine of the angle between the sun and the ground's normal (-east, south, 1), relative to flat ground.
    lit = (SUN_UP - SUN_EAST * east + SUN_NORTH * south) / np.sqrt(1 + south**2 + east**2) / np.float32(SUN_UP)
    data *= np.clip(lit, 0.3, 1.5).astype(np.float32)
    data.flags.writeable = False
    return data


def _road(seed: int, window: Window) -> Pixels | None:
    """Share (y, x) of gravel road: one winding road from west to east about every 26 km; None where there is none."""
    cols = np.arange(window.col, window.col_end) + 0.5
    share: Pixels | None = None
    for number in range(window.row // ROAD_SPACING_PX - 1, window.row_end // ROAD_SPACING_PX + 2):
        middle = (number + 0.2 + 0.6 * float(uniform(seed, "road", number))) * ROAD_SPACING_PX
        phases = 2 * np.pi * uniform(seed, "bends", number, np.arange(3))
        line = middle + sum(
            size * np.sin(2 * np.pi * cols / length + phase)
            for size, length, phase in zip((180, 40, 6), (3_100, 640, 110), phases, strict=True)
        )
        if line.max() < window.row - 2 or line.min() > window.row_end + 2:
            continue
        rows = np.arange(window.row, window.row_end)[:, None] + 0.5
        half = ROAD_HALF_WIDTH_M / PIXEL_M
        here = np.clip(half + 0.5 - np.abs(rows - line), 0, 1).astype(np.float32)
        share = here if share is None else np.maximum(share, here)
    return share


def _paint_objects(data: Pixels, corridor: Corridor, window: Window, year: int) -> Pixels:
    """Paint every object over the ground; the share (y, x) that is slump comes back."""
    slump = np.zeros(window.shape, np.float32)
    for one in objects_near(corridor.seed, window, corridor.law):
        polygon = one.polygon(year, corridor.law)
        own = _own_window(polygon)
        part = None if own is None else _common(own, window)
        if own is None or part is None:
            continue
        colour, share = _object_pixels(corridor.seed, one, polygon, own)
        inner, outer = _within(part, own), _within(part, window)
        bare = share[inner] * np.float32(one.contrast if one.kind is not Kind.LAKE else 1.0)
        data[:, *outer] += (colour[:, *inner] - data[:, *outer]) * bare
        if one.kind is Kind.SLUMP:
            slump[outer] = np.maximum(slump[outer], share[inner])
    return slump


def _object_pixels(seed: int, one: SimulatedObject, polygon: shapely.Polygon, own: Window) -> tuple[Pixels, Pixels]:
    """Colour (band, y, x) and cover (y, x) of an object, always made whole so that every tile sees the same."""
    share = cover(polygon, own)
    first, second = (spectrum(name)[:, None, None] for name in _SURFACES[one.kind])
    texture = np.clip(0.5 + 1.2 * noise(seed, "mud", 6, own), 0, 1)
    colour: Pixels = first + (second - first) * texture
    if one.kind is Kind.SLUMP:
        east, north = -HEADWALL_M * np.cos(one.upslope), -HEADWALL_M * np.sin(one.upslope)
        lower = cover(shapely.affinity.translate(polygon, east, north), own)
        wall = np.clip(share - lower, 0, 1)
        colour += (spectrum("headwall")[:, None, None] - colour) * wall
    return colour, share


_SURFACES = {
    Kind.SLUMP: ("dry_soil", "wet_mud"),
    Kind.DRAINED_POND: ("pond_floor", "wet_mud"),
    Kind.GRAVEL_PIT: ("gravel", "dry_soil"),
    Kind.GRAVEL_BAR: ("gravel", "gravel"),
    Kind.BARE_PATCH: ("dry_soil", "steppe"),
    Kind.LAKE: ("water", "water"),
}


def _light(seed: int, window: Window, year: int) -> Pixels:
    """Factor (band, y, x) of a year: what calibration and greenness change, and drift over tens of kilometres."""
    gain = 1 + 0.02 * nearly_normal(seed, "gain", year, np.arange(len(BANDS)))
    drift = 1 + 0.06 * noise(seed, f"haze/{year}", 1024, window)
    return np.asarray(gain[:, None, None] * drift, np.float32)


def _paint_sky(data: Pixels, corridor: Corridor, window: Window, year: int) -> NDArray[np.bool_]:
    """Darken the shadows of clouds; valid (y, x) comes back, False under cloud."""
    if corridor.cloud_share == 0:
        return np.ones(window.shape, bool)
    down, right = CLOUD_SHIFT_PX
    moved = Window(
        row=window.row - down, col=window.col - right, row_end=window.row_end - down, col_end=window.col_end - right
    )
    shadow = _cloud(corridor, moved, year)
    dimming = np.array([0.55, 0.48, 0.42, 0.36, 0.33], np.float32)[:, None, None]
    data *= 1 - (1 - dimming) * shadow
    return np.asarray(_cloud(corridor, window, year) == 0)


def _cloud(corridor: Corridor, window: Window, year: int) -> Pixels:
    """Share (y, x) of cloud, with soft edges."""
    field = noise(corridor.seed, f"cloud/{year}", 160, window) + 0.5 * noise(corridor.seed, f"cloud/{year}", 32, window)
    return np.asarray(np.clip((field - _cloud_level(corridor.cloud_share)) / np.float32(0.03), 0, 1), np.float32)


@lru_cache(maxsize=8)
def _cloud_level(share: float) -> np.float32:
    """The value of the cloud field that this share of the ground exceeds, measured on a sample."""
    rows, cols = np.random.default_rng(1).integers(0, 10_240, (2, 20_000)) + 0.5
    field = noise_at(0, "cloud", 160, rows, cols) + 0.5 * noise_at(0, "cloud", 32, rows, cols)
    return np.float32(np.quantile(field, 1 - share))


def _add_noise(data: Pixels, seed: int, window: Window, year: int) -> None:
    rows = np.arange(window.row, window.row_end)[:, None]
    cols = np.arange(window.col, window.col_end)[None, :]
    for band, size in enumerate(NOISE):
        data[band] += nearly_normal(seed, f"sensor/{year}/{band}", rows, cols) * size
    np.maximum(data, np.float32(0.001), out=data)


def _own_window(polygon: shapely.Polygon) -> Window | None:
    """The pixels that an object may touch, with a margin for its headwall."""
    if polygon.is_empty:
        return None
    left, bottom, right, top = polygon.bounds
    return Window(
        row=int(np.floor((TOP_M - top) / PIXEL_M)),
        col=int(np.floor((left - LEFT_M) / PIXEL_M)),
        row_end=int(np.ceil((TOP_M - bottom) / PIXEL_M)),
        col_end=int(np.ceil((right - LEFT_M) / PIXEL_M)),
    )


def _common(one: Window, other: Window) -> Window | None:
    row, col = max(one.row, other.row), max(one.col, other.col)
    row_end, col_end = min(one.row_end, other.row_end), min(one.col_end, other.col_end)
    return Window(row=row, col=col, row_end=row_end, col_end=col_end) if row < row_end and col < col_end else None


def _within(part: Window, whole: Window) -> tuple[slice, slice]:
    return (
        slice(part.row - whole.row, part.row_end - whole.row),
        slice(part.col - whole.col, part.col_end - whole.col),
    )
