"""The published rasters: probability COGs on fixed tiles of the lattice, and the ground that was seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
import rasterio.windows
import shapely
from numpy.typing import NDArray

from talik_inference.blocks import Job
from talik_inference.fragments import Fragments
from talik_inference.grid import Rect
from talik_inference.joining import join
from talik_inference.measures import polygons_to_lonlat
from talik_inference.plan import TILE_PX
from talik_inference.vectorize import NO_DATA, to_polygons, vectorize
from talik_stac.errors import MissingKeyError
from talik_stac.store import Store


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One published probability COG and what it saw."""

    name: str
    path: Path
    observed: shapely.MultiPolygon
    """lon/lat: exactly the pixels with data."""
    observed_px: int


def write_tile(job: Job, store: Store, zone: int, rect: Rect, folder: Path) -> Tile | None:
    """Assemble one tile from the blocks that touch it; None where it holds no data.

    The file depends on the pixels alone: whatever the block size, its bytes are the same.
    """
    probability = _gather(job, store, zone, rect)
    valid = probability != NO_DATA
    if not valid.any():
        return None
    lattice = job.plan.zones[zone].lattice
    name = f"{lattice.key}-{rect.col // TILE_PX}-{rect.row // TILE_PX}"
    path = folder / f"{name}.tif"
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    used = Rect(
        col=rect.col + int(cols[0]),
        row=rect.row + int(rows[0]),
        col_end=rect.col + int(cols[-1]) + 1,
        row_end=rect.row + int(rows[-1]) + 1,
    )
    _write_cog(path, probability[used.within(rect)], job, zone, used)
    return Tile(
        name=name, path=path, observed=_outline(job, zone, used, valid[used.within(rect)]), observed_px=int(valid.sum())
    )


def _gather(job: Job, store: Store, zone: int, rect: Rect) -> NDArray[np.uint8]:
    probability = np.full(rect.shape, NO_DATA, np.uint8)
    for block in job.plan.blocks_touching(zone, rect):
        key = f"{job.prefix}/{block.id}.tif"
        try:
            data = store.get(key)
        except MissingKeyError:
            continue  # a block without any data writes no raster
        common = block.core.intersect(rect)
        rows, cols = common.within(block.core)
        with rasterio.MemoryFile(data) as memory, memory.open() as source:
            window = rasterio.windows.Window.from_slices(rows, cols)
            probability[common.within(rect)] = source.read(1, window=window)
    return probability


def _write_cog(path: Path, probability: NDArray[np.uint8], job: Job, zone: int, rect: Rect) -> None:
    """Write uint8 (y, x) through GDAL's COG driver, with overviews by nearest (255 must not mix in)."""
    lattice, card = job.plan.zones[zone].lattice, job.model.card
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            dtype="uint8",
            count=1,
            height=rect.height,
            width=rect.width,
            crs=lattice.crs,
            transform=lattice.geobox(rect).affine,
            nodata=NO_DATA,
        ) as source:
            source.write(probability, 1)
            source.scales = (1 / 250,)
            source.set_band_description(1, f"{card.landform} probability")
        with memory.open() as source:
            rasterio.shutil.copy(
                source,
                path,
                driver="COG",
                compress="DEFLATE",
                level=6,
                blocksize=512,
                overview_resampling="nearest",
                num_threads=1,
            )


def _outline(job: Job, zone: int, rect: Rect, valid: NDArray[np.bool_]) -> shapely.MultiPolygon:
    """The pixels with data as lon/lat polygons."""
    lattice = job.plan.zones[zone].lattice
    part = vectorize(valid.view(np.uint8), above=0, origin=(rect.col, rect.row))
    seen = Fragments.concat(list(join([part])))
    polygons = polygons_to_lonlat(to_polygons(seen, lattice.transform), lattice.crs, pixel=lattice.resolution)
    return shapely.MultiPolygon(list(shapely.get_parts(polygons)))
