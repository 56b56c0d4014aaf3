"""Small real imagery for tests: COGs whose pixels are known, and their scenes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from talik_inference.grid import Lattice, Rect
from talik_stac.scenes import Band, Quality, QualityKind, Scene

UTM33 = Lattice(crs="EPSG:32633", resolution=10.0)


def write_tif(path: Path, pixels: NDArray[Any], grid: GeoBox, *, nodata: float | None = None, **options: Any) -> Path:
    """Write (band, y, x) as a small tiled GeoTIFF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=pixels.dtype,
        count=len(pixels),
        height=pixels.shape[1],
        width=pixels.shape[2],
        crs=str(grid.crs),
        transform=grid.affine,
        nodata=nodata,
        **{"tiled": True, "blockxsize": 64, "blockysize": 64, **options},
    ) as target:
        target.write(pixels)
    return path


def footprint_of(grid: GeoBox) -> shapely.Geometry:
    """The grid's outline in lon/lat."""
    return shapely.Polygon(grid.extent.to_crs("OGC:CRS84", resolution=100, wrapdateline=False).exterior.coords)


def make_scene(
    folder: Path,
    pixels: NDArray[Any],
    grid: GeoBox,
    *,
    scene_id: str = "scene",
    bands: tuple[str, ...] = ("green", "nir"),
    nodata: float | None = 0,
    scale: float = 1e-4,
    offset: float = 0.0,
    when: datetime = datetime(2021, 7, 15, 10, tzinfo=UTC),
    cloud_cover: float | None = 0.0,
    quality: tuple[QualityKind, NDArray[Any], GeoBox] | None = None,
    properties: dict[str, Any] | None = None,
) -> Scene:
    """Write one multi-band file (and a quality file) and describe it."""
    path = write_tif(folder / f"{scene_id}.tif", pixels, grid, nodata=nodata)
    described = None
    if quality is not None:
        kind, codes, quality_grid = quality
        file = write_tif(folder / f"{scene_id}-quality.tif", codes[np.newaxis], quality_grid)
        described = Quality(kind=kind, asset="quality", href=str(file), index=1, grid=quality_grid)
    return Scene(
        id=scene_id,
        collection="test",
        datetime=when,
        cloud_cover=cloud_cover,
        footprint=footprint_of(grid),
        bands={
            name: Band(
                name=name,
                asset="data",
                href=str(path),
                index=number,
                scale=scale,
                offset=offset,
                nodata=nodata,
                grid=grid,
            )
            for number, name in enumerate(bands, start=1)
        },
        quality=described,
        item={"properties": properties or {}, "assets": {}},
    )


def grid_at(col: int, row: int, height: int, width: int, lattice: Lattice = UTM33) -> GeoBox:
    """A grid of the lattice by its upper left pixel and size."""
    return lattice.geobox(Rect(col=col, row=row, col_end=col + width, row_end=row + height))


def shifted(grid: GeoBox, dx: float, dy: float) -> GeoBox:
    """The same grid moved by metres, off its lattice."""
    return GeoBox(grid.shape, Affine.translation(dx, dy) * grid.affine, grid.crs)
