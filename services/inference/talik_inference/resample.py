"""Scenes that do not lie on the lattice, resampled by odc-stac in fixed cells; time stacks of chips by stackstac.

GDAL's warper approximates coordinates across the output rectangle, so a pixel could depend on what else is read
with it. Cells of the lattice are therefore always warped whole, and cut afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pystac
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.errors import RasterioError

from talik_inference.grid import Lattice, Rect
from talik_stac.errors import ReadError
from talik_stac.scenes import Band, Scene

CELL_PX = 512
Resampling = Literal["bilinear", "nearest"]


def read_resampled(
    scene: Scene,
    bands: Sequence[Band],
    lattice: Lattice,
    rect: Rect,
    *,
    resampling: Resampling = "bilinear",
) -> NDArray[Any] | None:
    """Read bands on a lattice that is not their own: (band, y, x) digital numbers; None where none touches.

    Beyond a file lies its nodata value, or NaN (and float32) where it has none. Raises ReadError.
    """
    grids = [_grid(band) for band in bands]
    cells = [c for c in rect.cells(CELL_PX) if any(_meets(g, lattice.geobox(c)) for g in grids)]
    if not cells:
        return None
    dtype = _file_dtype(scene, bands[0])
    blank = any(band.nodata is None for band in bands)
    out = np.empty((len(bands), *rect.shape), np.float32 if blank else dtype)
    for layer, band in zip(out, bands, strict=True):
        layer[:] = np.nan if band.nodata is None else band.nodata
    item = _item(scene, bands, str(dtype))
    for cell in cells:
        numbers = _load_cell(scene, bands, item, lattice.geobox(cell), resampling)
        if blank:
            covered = np.logical_and.reduce([_covered(lattice, cell, g) for g in grids])
            numbers = np.where(covered, numbers, np.nan).astype(np.float32)
        common = cell.intersect(rect)
        out[:, *common.within(rect)] = numbers[:, *common.within(cell)]
    return out


def _grid(band: Band) -> GeoBox:
    if band.grid is None:
        raise ValueError(f"band {band.name} without grid")
    return band.grid


def _meets(grid: GeoBox, geobox: GeoBox) -> bool:
    """Whether a file may touch a rectangle."""
    if geobox.crs is None:
        raise ValueError(f"grid without CRS: {geobox}")
    return bool(grid.extent.to_crs(geobox.crs, resolution=float("inf")).intersects(geobox.extent))


def _covered(lattice: Lattice, rect: Rect, grid: GeoBox) -> NDArray[np.bool_]:
    """Which lattice pixels have their centre in a file: bool (y, x)."""
    col, row = np.meshgrid(np.arange(rect.col, rect.col_end) + 0.5, np.arange(rect.row, rect.row_end) + 0.5)
    x, y = lattice.transform * (col, row)
    there = Transformer.from_crs(lattice.crs, str(grid.crs), always_xy=True).transform(x, y)
    file_col, file_row = ~grid.affine * there
    return np.asarray((file_col >= 0) & (file_col < grid.shape.x) & (file_row >= 0) & (file_row < grid.shape.y))


def _file_dtype(scene: Scene, band: Band) -> np.dtype[Any]:
    try:
        with rasterio.open(band.href) as source:
            dtype: np.dtype[Any] = np.dtype(source.dtypes[band.index - 1])
            return dtype
    except RasterioError as error:
        raise ReadError(scene_id=scene.id, href=band.href, reason=" ".join(str(error).split())) from error


def _load_cell(
    scene: Scene, bands: Sequence[Band], item: pystac.Item, geobox: GeoBox, resampling: Resampling
) -> NDArray[Any]:
    import odc.stac  # brings xarray and dask: 0.5 s and 60 MB that native grids do without

    names = [f"{band.asset}.{band.index}" for band in bands]
    try:
        cube = odc.stac.load([item], bands=names, geobox=geobox, resampling=resampling, fail_on_error=True)
        return np.stack([cube[name].values[0] for name in names])  # (time=1, y, x) each -> (band, y, x)
    except Exception as error:  # odc-stac passes on whatever the driver raised
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReadError(scene_id=scene.id, href=bands[0].href, reason=reason) from error


def _item(scene: Scene, bands: Sequence[Band], dtype: str) -> pystac.Item:
    """The wanted files as an item in the terms that odc-stac reads for sure."""
    item = pystac.Item(
        id=scene.id,
        geometry=scene.footprint.__geo_interface__,
        bbox=list(scene.footprint.bounds),
        datetime=scene.datetime,
        properties={},
        stac_extensions=[
            "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
        ],
    )
    for name in dict.fromkeys(band.asset for band in bands):
        item.add_asset(name, _asset([band for band in bands if band.asset == name], dtype))
    return item


def _asset(bands: Sequence[Band], dtype: str) -> pystac.Asset:
    """One file; its bands up to the last wanted one share the nodata value of those wanted."""
    grid, first = _grid(bands[0]), bands[0]
    described: dict[str, Any] = {"data_type": dtype}
    if first.nodata is not None:
        described["nodata"] = "nan" if np.isnan(first.nodata) else first.nodata
    fields = {
        "proj:epsg": grid.crs.to_epsg() if grid.crs is not None else None,
        "proj:wkt2": str(grid.crs.to_wkt()) if grid.crs is not None else None,
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.affine)[:6],
        "raster:bands": [described] * max(band.index for band in bands),
    }
    return pystac.Asset(href=first.href, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields)
