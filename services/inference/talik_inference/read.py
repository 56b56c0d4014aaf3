"""The reader: scenes -> Raster on a lattice. Native pixels where the scene lies on the lattice, else odc-stac."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from talik_inference.gdal import gdal_env
from talik_inference.grid import Lattice, Rect
from talik_inference.quality import clear_pixels
from talik_inference.resample import read_resampled
from talik_inference.valid import valid_pixels
from talik_stac.errors import ReadError
from talik_stac.scenes import Band, Quality, Scene


@dataclass(frozen=True, kw_only=True)
class Raster:
    """Pixels of one rectangle of a lattice."""

    data: NDArray[np.float32]
    """(band, y, x) reflectance (backscatter of radar: linear power), not below 0; 0 where not valid."""
    valid: NDArray[np.bool_]
    """(y, x) True where clear data exist."""


class Pixels(Protocol):
    """What a reader gives: a Raster, or one whose data are worked out when they are asked for."""

    @property
    def data(self) -> NDArray[np.float32]:
        """As Raster.data."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """As Raster.valid."""


class Reader(Protocol):
    """The one door to pixels."""

    def __call__(self, scene: Scene, bands: Sequence[str], lattice: Lattice, rect: Rect) -> Pixels | None:
        """Read the named bands; None where the scene does not touch the rectangle. Raises ReadError."""


def read_scene(scene: Scene, bands: Sequence[str], lattice: Lattice, rect: Rect) -> Raster | None:
    """Read bands of one scene as reflectance, with cloud, shadow and snow taken out by its quality band.

    A pixel depends on the scene and the lattice alone, never on the rectangle that it is read in.
    """
    wanted = [scene.bands[name] for name in bands]
    native = all(band.grid is not None and lattice.holds(band.grid) for band in wanted)
    with gdal_env():
        numbers = _read_native(scene, wanted, lattice, rect) if native else read_resampled(scene, wanted, lattice, rect)
        if numbers is None:
            return None
        valid = valid_pixels(numbers, [band.nodata for band in wanted])
        if scene.quality is not None and valid.any():
            valid &= _read_clear(scene, scene.quality, lattice, rect)
    return Raster(data=reflectance(numbers, wanted, valid), valid=valid)


def reflectance(numbers: NDArray[Any], bands: Sequence[Band], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Digital numbers (band, y, x) -> float32 reflectance = number * scale + offset, cut at 0; 0 where not valid.

    Below 0 lie dark pixels of products with an offset (Sentinel-2 from baseline 04.00): noise, not light.
    """
    data = numbers.astype(np.float32)
    data *= np.array([band.scale for band in bands], np.float32)[:, None, None]
    data += np.array([band.offset for band in bands], np.float32)[:, None, None]
    np.maximum(data, np.float32(0), out=data)
    data[:, ~valid] = 0
    return data


def with_grids(scene: Scene) -> Scene:
    """Fill in the pixel grids that the item does not state, from the files' headers. Raises ReadError."""
    if all(band.grid is not None for band in scene.bands.values()):
        return scene
    bands = {
        name: band if band.grid is not None else replace(band, grid=file_grid(scene.id, band.href))
        for name, band in scene.bands.items()
    }
    return replace(scene, bands=bands)


def file_grid(scene_id: str, href: str) -> GeoBox:
    """Read the grid from a file's header. Raises ReadError."""
    try:
        with gdal_env(), rasterio.open(href) as source:
            return GeoBox(source.shape, source.transform, source.crs)
    except RasterioError as error:
        raise ReadError(scene_id=scene_id, href=href, reason=one_line(error)) from error


def one_line(error: BaseException) -> str:
    """The error's text on one line, for a message."""
    return " ".join(str(error).split()) or type(error).__name__


def _read_native(scene: Scene, bands: Sequence[Band], lattice: Lattice, rect: Rect) -> NDArray[Any] | None:
    """Read pixels as they are: (band, y, x) digital numbers; nodata (or NaN, or 0) beyond the file."""
    by_file: dict[str, list[int]] = defaultdict(list)
    for position, band in enumerate(bands):
        by_file[band.href].append(position)
    out: NDArray[Any] | None = None
    covered = np.zeros(rect.shape, dtype=bool)
    for href, positions in by_file.items():
        here = _grid_rect(lattice, bands[positions[0]].grid)
        common = here.intersect(rect)
        if common.empty:
            return None
        numbers = _read_window(scene.id, href, [bands[i].index for i in positions], here, common)
        if out is None:
            out = np.empty((len(bands), *rect.shape), dtype=numbers.dtype)
            for layer, band in zip(out, bands, strict=True):
                layer[:] = _beyond(numbers.dtype, band.nodata)
        elif numbers.dtype != out.dtype:
            out = out.astype(np.promote_types(out.dtype, numbers.dtype))
        target = out[:, *common.within(rect)]
        for layer, position in zip(numbers, positions, strict=True):
            target[position] = layer
        covered[common.within(rect)] = True
    if out is None:
        return None
    return _blank_beyond(out, covered, bands)


def _blank_beyond(numbers: NDArray[Any], covered: NDArray[np.bool_], bands: Sequence[Band]) -> NDArray[Any]:
    """Where the file has no nodata value, pixels beyond it become NaN (float32), unless the file covers all."""
    if covered.all() or all(band.nodata is not None for band in bands):
        return numbers
    numbers = numbers.astype(np.float32)
    numbers[:, ~covered] = np.nan
    return numbers


def _beyond(dtype: np.dtype[Any], nodata: float | None) -> Any:
    if nodata is not None:
        return dtype.type(nodata)
    return dtype.type(np.nan) if dtype.kind == "f" else dtype.type(0)


def _read_window(scene_id: str, href: str, indexes: list[int], here: Rect, common: Rect) -> NDArray[Any]:
    try:
        with rasterio.open(href) as source:
            if source.shape != here.shape:
                raise ReadError(
                    scene_id=scene_id,
                    href=href,
                    reason=f"the file has {source.shape} px (y, x) but its item says {here.shape}; index it again",
                )
            rows, cols = common.within(here)
            window = RasterioWindow.from_slices(rows, cols)
            numbers: NDArray[Any] = source.read(indexes, window=window)
            return numbers
    except RasterioError as error:
        raise ReadError(scene_id=scene_id, href=href, reason=one_line(error)) from error


def _grid_rect(lattice: Lattice, grid: GeoBox | None) -> Rect:
    """Where a grid that lies on the lattice lies on it."""
    if grid is None:
        raise ValueError("band without grid")
    a = grid.affine
    col = round((a.c - lattice.phase_x) / lattice.resolution)
    row = round((lattice.phase_y - a.f) / lattice.resolution)
    return Rect(col=col, row=row, col_end=col + grid.shape.x, row_end=row + grid.shape.y)


def _read_clear(scene: Scene, quality: Quality, lattice: Lattice, rect: Rect) -> NDArray[np.bool_]:
    """Read the quality band, at whatever pixel size, and tell which lattice pixels are clear: bool (y, x)."""
    grid = quality.grid if quality.grid is not None else file_grid(scene.id, quality.href)
    a = grid.affine
    same = grid.crs is not None and grid.crs == lattice.geobox(rect).crs and not (a.b or a.d)
    if not same:
        band = Band(
            name="quality",
            asset=quality.asset,
            href=quality.href,
            index=quality.index,
            scale=1.0,
            offset=0.0,
            nodata=None,
            grid=grid,
        )
        codes = read_resampled(scene, [band], lattice, rect, resampling="nearest")
        return np.zeros(rect.shape, bool) if codes is None else clear_pixels(quality.kind, codes[0])
    # The quality pixel that holds the centre of each lattice pixel: nearest neighbour, exact in any rectangle.
    x = lattice.phase_x + (np.arange(rect.col, rect.col_end) + 0.5) * lattice.resolution
    y = lattice.phase_y - (np.arange(rect.row, rect.row_end) + 0.5) * lattice.resolution
    cols = np.floor((x - a.c) / a.a).astype(np.int64)
    rows = np.floor((y - a.f) / a.e).astype(np.int64)
    in_cols, in_rows = (cols >= 0) & (cols < grid.shape.x), (rows >= 0) & (rows < grid.shape.y)
    clear = np.zeros(rect.shape, dtype=bool)
    if not (in_cols.any() and in_rows.any()):
        return clear
    first_col, first_row = cols[in_cols][0], rows[in_rows][0]
    last_col, last_row = cols[in_cols][-1], rows[in_rows][-1]
    here = Rect(col=0, row=0, col_end=grid.shape.x, row_end=grid.shape.y)
    part = Rect(col=int(first_col), row=int(first_row), col_end=int(last_col) + 1, row_end=int(last_row) + 1)
    codes = _read_window(scene.id, quality.href, [quality.index], here, part)[0]
    found = clear_pixels(quality.kind, codes)
    clear[np.ix_(in_rows, in_cols)] = found[np.ix_(rows[in_rows] - first_row, cols[in_cols] - first_col)]
    return clear
