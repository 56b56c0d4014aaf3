"""Raster tiles in WebMercatorQuad: the probability of an edition, and imagery."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talik_api.pictures.reading import Allowed, Pixels, Source, open_source, read_on
from talik_api.pictures.render import coloured, limits_for
from talik_api.pictures.scenes import Frame, fixed_range, read_frame
from talik_api.pictures.web_mercator import TILE_PX, TileAt, zoom_for

FULL = 250
"""The number that stands for probability 1; 255 is no data."""
NO_DATA = 255
RAMP = "viridis"
"""Of rio_tiler.colormap: dark violet is probability 0, yellow is 1."""
MAX_FILES = 64
"""Files that one tile is made from, about."""
Kind = Literal["png", "webp"]


@dataclass(frozen=True, kw_only=True)
class Cog:
    """One probability file and where it lies."""

    href: str
    bounds: tuple[float, float, float, float]
    """West, south, east, north in degrees; west > east crosses the antimeridian."""
    pixel_m: float

    def touches(self, bounds: tuple[float, float, float, float]) -> bool:
        """Whether it may hold pixels within bounds, which do not cross the antimeridian."""
        west, south, east, north = self.bounds
        if south > bounds[3] or north < bounds[1]:
            return False
        if west <= east:
            return west <= bounds[2] and east >= bounds[0]
        return west <= bounds[2] or east >= bounds[0]


@dataclass(frozen=True, kw_only=True)
class RasterTile:
    """The bytes of a tile."""

    data: bytes
    empty: bool
    """True where all of it is transparent."""


def probability_tile(cogs: Iterable[Cog], at: TileAt, allowed: Allowed, *, kind: Kind = "png") -> RasterTile:
    """Draw the probability of all files that touch a tile, coloured by RAMP; what was not seen is transparent.

    Where zones overlap, the first file that has data counts. Nearest: probabilities do not mix with no data.
    """
    return _encoded(ramp_colours(probability_pixels(cogs, at, allowed)), kind)


def probability_pixels(cogs: Iterable[Cog], at: TileAt, allowed: Allowed) -> NDArray[np.uint8]:
    """uint8 (y, x) on the tile's grid, 0..250, 255 not seen."""
    grid, bounds = at.grid(), at.lonlat_bounds()
    result = np.full(grid.shape, NO_DATA, np.uint8)
    for cog in cogs:
        if not cog.touches(bounds):
            continue
        source = Source(name="probability", href=cog.href, indexes=(1,), nodata=NO_DATA)
        part = read_on(source, grid, allowed)
        if part is not None:
            fill = part.valid & (result == NO_DATA)
            result[fill] = part.data[0][fill]
        if not (result == NO_DATA).any():
            break
    return result


def ramp_colours(probability: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (y, x) 0..250, 255 not seen -> (y, x, 4): the ramp's colour of round(255 value / 250)."""
    return _table()[probability]


def image_tile(frame: Frame, at: TileAt, allowed: Allowed, *, kind: Kind = "png") -> RasterTile:
    """Draw the scenes of a frame on a tile, by the fixed stretch."""
    pixels: Pixels = read_frame(frame, at.grid(), allowed)
    return _encoded(coloured(pixels, limits_for([pixels], "fixed", fixed_range(frame))), kind)


def probability_cogs(hrefs: Sequence[str], allowed: Allowed) -> tuple[Cog, ...]:
    """Read where files lie from their headers, eight at a time."""
    with ThreadPoolExecutor(8) as pool:
        return tuple(pool.map(lambda href: _cog(href, allowed), hrefs))


def zooms(cogs: Sequence[Cog]) -> tuple[int, int]:
    """Least and greatest zoom worth asking for: two beyond the files' own pixels.

    Where there are many files, a tile of the least zoom touches about 64 of them (4096 pixels across each).
    """
    native = max(zoom_for(cog.pixel_m, max(abs(cog.bounds[1]), abs(cog.bounds[3]))) for cog in cogs)
    return (max(0, native - 7) if len(cogs) > MAX_FILES else 0), min(native + 2, 22)


def union_bounds(cogs: Sequence[Cog]) -> tuple[float, float, float, float]:
    """West, south, east, north of all files; the whole width where one crosses the antimeridian."""
    crossing = any(cog.bounds[0] > cog.bounds[2] for cog in cogs)
    west = -180.0 if crossing else min(cog.bounds[0] for cog in cogs)
    east = 180.0 if crossing else max(cog.bounds[2] for cog in cogs)
    return west, min(cog.bounds[1] for cog in cogs), east, max(cog.bounds[3] for cog in cogs)


def _cog(href: str, allowed: Allowed) -> Cog:
    from rasterio.warp import transform_bounds

    source = Source(name="probability", href=href, indexes=(1,))
    with open_source(source, allowed) as dataset:
        west, south, east, north = transform_bounds(dataset.crs, "OGC:CRS84", *dataset.bounds, densify_pts=21)
        metres = abs(dataset.transform.a) * (111_320.0 if dataset.crs.is_geographic else 1.0)
    return Cog(href=href, bounds=(west, south, east, north), pixel_m=metres)


@lru_cache(maxsize=1)
def _table() -> NDArray[np.uint8]:
    """(256, 4) colours of the numbers 0..255."""
    from rio_tiler.colormap import cmap

    ramp = cmap.get(RAMP)
    table = np.zeros((256, 4), np.uint8)
    for number in range(FULL + 1):
        table[number] = ramp[round(number * 255 / FULL)]
    table[NO_DATA] = 0
    table.setflags(write=False)
    return table


def _encoded(rgba: NDArray[np.uint8], kind: Kind) -> RasterTile:
    """Write (y, x, 4) as PNG or WebP by rio-tiler."""
    from rio_tiler.utils import render

    opaque = rgba[..., 3]
    if not opaque.any():
        return RasterTile(data=_nothing(kind), empty=True)
    bands = rgba.transpose(2, 0, 1)  # (y, x, band) -> (band, y, x)
    options: dict[str, Any] = {"zlevel": 6} if kind == "png" else {"quality": 85}
    data = render(np.ascontiguousarray(bands[:3]), mask=opaque, img_format=kind.upper(), **options)
    return RasterTile(data=data, empty=False)


@lru_cache(maxsize=2)
def _nothing(kind: Kind) -> bytes:
    """A tile that is transparent everywhere."""
    from rio_tiler.utils import render

    zeros = np.zeros((3, TILE_PX, TILE_PX), np.uint8)
    return bytes(render(zeros, mask=zeros[0], img_format=kind.upper()))
