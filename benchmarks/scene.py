"""A simulated scene of any size for the benchmarks: four bands, native grid, about 7 % water; made tile by tile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy.ndimage import gaussian_filter, zoom

BANDS = ("blue", "green", "red", "nir")
TILE_PX = 1024
CRS = "EPSG:32608"
ORIGIN = (400_000.0, 7_700_000.0)
PIXEL_M = 3.0


def landscape(col: int, row: int, width: int, height: int) -> NDArray[np.uint16]:
    """Reflectance x 1e4 of one tile, (band, y, x), from a seed of its place: lakes, tundra, noise."""
    rng = np.random.default_rng([col, row])
    relief = gaussian_filter(rng.standard_normal((height // 8 + 2, width // 8 + 2)), 3)
    relief = zoom(relief, 8, order=1)[:height, :width]
    relief += 0.01 * rng.standard_normal((height, width))
    water = relief > np.quantile(relief, 0.93)
    texture = rng.normal(1.0, 0.05, (height, width))
    land = np.array([400, 650, 600, 2600], np.float64)[:, None, None]
    lake = np.array([500, 450, 250, 100], np.float64)[:, None, None]
    return np.clip(np.where(water, lake, land) * texture, 1, 10_000).astype(np.uint16)


def write_scene(path: Path, size_px: int) -> Path:
    """Write a tiled GeoTIFF (deflate) of size_px x size_px, if it is not there yet."""
    if path.exists():
        return path
    partial = path.with_suffix(".part.tif")
    with rasterio.open(
        partial,
        "w",
        driver="GTiff",
        dtype="uint16",
        count=len(BANDS),
        width=size_px,
        height=size_px,
        crs=CRS,
        transform=rasterio.Affine(PIXEL_M, 0, ORIGIN[0], 0, -PIXEL_M, ORIGIN[1]),
        nodata=0,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        zlevel=1,
        predictor=2,
        num_threads=2,
        bigtiff="IF_SAFER",
    ) as target:
        for row in range(0, size_px, TILE_PX):
            for col in range(0, size_px, TILE_PX):
                target.write(landscape(col, row, TILE_PX, TILE_PX), window=Window(col, row, TILE_PX, TILE_PX))
    partial.rename(path)
    return path
