"""From finished blocks to a published edition: join, measure, sort, write, commit."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import geopandas
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik_inference.blocks import BlockDone, Job, read_part
from talik_inference.features import Objects, Seams, chunks, feature_table, zone_objects
from talik_inference.fragments import Code, Fragments
from talik_inference.joining import Beyond, join
from talik_inference.region import centres_inside
from talik_inference.tiles import Tile, write_tile
from talik_inference.zones import Zone
from talik_stac.editions import Edition, EditionDraft, previous_edition, publish, read_table
from talik_stac.inventory import INVENTORY_SCHEMA, InventoryBuilder
from talik_stac.matching import carried_ids
from talik_stac.store import Store

if TYPE_CHECKING:
    from talik_inference.pipeline import Prepared

CHUNK = 20_000
"""Polygons measured at once."""
TILES_AT_ONCE = 2
INVENTORY_LICENCE = "CC-BY-4.0"
"""Of what Talik publishes; the imagery's own terms are its owner's."""


def publish_run(
    prepared: Prepared, store: Store, edition_id: str, done: Mapping[str, BlockDone], folder: Path
) -> Edition:
    """Assemble the inventory and its rasters in `folder` and publish them; the run's blocks are then removed."""
    job, request = prepared.job, prepared.request
    tiles = _tiles(job, store, folder)
    builder = InventoryBuilder(folder / "sort")
    for table in _features(prepared, store, edition_id, done):
        builder.add(table)
    before = previous_edition(
        store,
        landform=request.recipe.landform,
        area=request.aoi.name,
        season_start=request.season.start,
        edition_id=edition_id,
    )
    ids = carried_ids(builder.tables(), read_table(store, before, columns=["id", "geometry"])) if before else None
    parquet, fgb = folder / "inventory.parquet", folder / "inventory.fgb"
    summary = builder.write(parquet, fgb, id_for=ids)
    observed = _write_observed(tiles, folder / "observed.parquet")
    draft = EditionDraft(
        edition_id=edition_id,
        season_start=request.season.start,
        season_end=request.season.end,
        configuration=job.configuration,
        footprint=_footprint(prepared),
        summary=summary,
        parquet=parquet,
        fgb=fgb,
        observed=observed,
        probability={tile.name: tile.path for tile in tiles},
        run=_run_record(prepared, done, tiles, None if before is None else before.id),
        model=prepared.model.card.reference,
        licence=INVENTORY_LICENCE,
    )
    edition = publish(store, draft)
    for key in list(store.list(f"runs/{job.configuration}")):
        store.delete(key)
    return edition


def _tiles(job: Job, store: Store, folder: Path) -> list[Tile]:
    """Write all probability tiles of all zones, two at a time (GDAL lets go of the interpreter)."""
    wanted = [(zone, rect) for zone in range(len(job.plan.zones)) for rect in job.plan.tiles(zone)]
    with ThreadPoolExecutor(TILES_AT_ONCE) as pool:
        written = pool.map(lambda at: write_tile(job, store, at[0], at[1], folder), wanted)
        return [tile for tile in written if tile is not None]


def _features(prepared: Prepared, store: Store, edition_id: str, done: Mapping[str, BlockDone]) -> Iterator[pa.Table]:
    """Yield tables of the inventory's rows: zone by zone, then what crosses from zone to zone."""
    job, seams = prepared.job, Seams()

    def described(objects: Objects) -> pa.Table:
        return feature_table(
            objects,
            landform=job.recipe.landform,
            edition=edition_id,
            model=job.model.card.reference,
            min_area_m2=job.recipe.min_area_m2,
            schema=INVENTORY_SCHEMA,
        )

    for number, zone in enumerate(job.plan.zones):
        parts = (
            read_part(job, store, block)
            for block in job.plan.blocks
            if block.zone == number and done[block.id].valid_px
        )
        for batch in chunks(join(parts, beyond=_beyond(zone)), CHUNK):
            yield described(zone_objects(Fragments.concat(batch), zone, seams))
    across = seams.joined()
    if across is not None:
        yield described(across)


def _beyond(zone: Zone) -> Beyond:
    """What a pixel is that no block holds: no data in the area, of another zone, or outside."""

    def code(x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.uint8]:
        codes = np.full(len(x), Code.OUTSIDE, np.uint8)
        codes[centres_inside(zone.lattice, x, y, zone.mapped)] = Code.NO_DATA
        if zone.beyond is not None:
            codes[centres_inside(zone.lattice, x, y, zone.beyond)] = Code.SEAM
        return codes

    return code


def _write_observed(tiles: list[Tile], path: Path) -> Path:
    """Write the ground that was seen, one row per tile, as GeoParquet in lon/lat."""
    frame = geopandas.GeoDataFrame(
        {"tile": [tile.name for tile in tiles], "pixels": [tile.observed_px for tile in tiles]},
        geometry=[tile.observed for tile in tiles],
        crs="OGC:CRS84",
    )
    frame.to_parquet(path, compression="zstd", write_covering_bbox=True)
    return path


def _footprint(prepared: Prepared) -> BaseGeometry:
    """The area of interest where scenes cover it."""
    seen = shapely.union_all([scene.footprint for scene in prepared.scenes])
    area = prepared.request.aoi.geometry
    common = shapely.intersection(area, seen)
    return common if common.geom_type in ("Polygon", "MultiPolygon") and not common.is_empty else area


def _run_record(
    prepared: Prepared, done: Mapping[str, BlockDone], tiles: list[Tile], previous: str | None
) -> dict[str, Any]:
    """Everything someone needs to make the edition again, or to doubt it."""
    request, job = prepared.request, prepared.job
    return {
        "configuration": job.configuration,
        "area": {"name": request.aoi.name, "geometry": shapely.geometry.mapping(request.aoi.geometry)},
        "area_km2": request.aoi.area_km2,
        "season": {"start": request.season.start.isoformat(), "end": request.season.end.isoformat()},
        "recipe": job.recipe.model_dump(mode="json"),
        "model": prepared.model.card.model_dump(mode="json"),
        "imagery": request.imagery.described(),
        "scenes": [
            {"id": s.id, "datetime": s.datetime.isoformat(), "cloud_cover": s.cloud_cover} for s in prepared.scenes
        ],
        "scenes_left_out": [
            {"id": error.scene_id, "href": error.href, "reason": error.reason} for error in prepared.bad
        ],
        "warnings": list(prepared.warnings),
        "grids": [
            {
                "crs": zone.lattice.crs,
                "resolution": zone.lattice.resolution,
                "phase": [zone.lattice.phase_x, zone.lattice.phase_y],
            }
            for zone in job.plan.zones
        ],
        "pixels": {
            "inside": sum(block.inside_px for block in done.values()),
            "observed": sum(tile.observed_px for tile in tiles),
        },
        "previous_edition": previous,
        "versions": {
            name: version(name)
            for name in ("talik", "onnxruntime", "rasterio", "shapely", "pyproj", "numpy", "pyarrow")
        },
        "python": platform.python_version(),
    }
