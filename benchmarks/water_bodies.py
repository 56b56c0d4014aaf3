"""A simulated inventory of the size of the North American boreal one: 6.5 million water bodies in one edition."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from talik_stac.editions import Edition, EditionDraft, claim, load_edition, publish
from talik_stac.inventory import INVENTORY_SCHEMA, InventoryBuilder, fresh_id
from talik_stac.store import open_store

COUNT = 6_500_000
WEST, SOUTH, EAST, NORTH = -165.0, 50.0, -55.0, 70.0
DISTRICTS = 4_000
"""Lakes lie in districts, as on the shield: half of them within about 60 km of a district's middle."""
BATCH = 100_000
METRES_A_DEGREE = 111_320.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".bench/boreal"))
    parser.add_argument("--count", type=int, default=COUNT)
    given = parser.parse_args()
    started = time.perf_counter()
    edition = simulated_edition(given.folder, given.count)
    print(f"{edition.id}: {edition.count:,} simulated water bodies, {time.perf_counter() - started:.0f} s")


def simulated_edition(folder: Path, count: int = COUNT) -> Edition:
    """Publish the edition in a store at `folder`, once."""
    store = open_store(str(folder / "store"))
    claimed = claim(store, landform="water", area="boreal", season="2020", configuration=f"simulated-{count}")
    if claimed.published:
        return load_edition(store, claimed.edition_id)
    builder = InventoryBuilder(folder / "sort")
    for table in _tables(count, claimed.edition_id):
        builder.add(table)
    summary = builder.write(folder / "i.parquet", folder / "i.fgb")
    ground = shapely.box(WEST - 1, SOUTH - 1, EAST + 1, NORTH + 1)
    geopandas.GeoDataFrame({"tile": ["all"]}, geometry=[ground], crs="OGC:CRS84").to_parquet(folder / "o.parquet")
    draft = EditionDraft(
        edition_id=claimed.edition_id,
        season_start=date(2020, 6, 1),
        season_end=date(2020, 9, 30),
        configuration=f"simulated-{count}",
        footprint=ground,
        summary=summary,
        parquet=folder / "i.parquet",
        fgb=folder / "i.fgb",
        observed=folder / "o.parquet",
        probability={},
        run={"versions": {}, "scenes": [], "simulated": True},
        model="simulated@1",
        licence="CC-BY-4.0",
    )
    edition = publish(store, draft)
    for path in (*folder.glob("i.*"), *folder.glob("sort/*")):
        path.unlink()
    return edition


def _tables(count: int, edition: str) -> Iterator[pa.Table]:
    random = np.random.default_rng(20200701)
    districts = np.column_stack([random.uniform(WEST, EAST, DISTRICTS), random.uniform(SOUTH, NORTH, DISTRICTS)])
    for start in range(0, count, BATCH):
        yield _table(random, districts, min(BATCH, count - start), edition)


def _table(random: np.random.Generator, districts: NDArray[np.float64], count: int, edition: str) -> pa.Table:
    """Water bodies with Pareto areas (exponent 0.9 from 500 m2) and outlines of 8 to 40 vertices."""
    home = districts[random.integers(0, len(districts), count)]
    spread = np.where(random.random(count) < 0.5, 0.5, 3.0)[:, None]
    centre = np.clip(home + random.normal(0, 1, (count, 2)) * spread * (1.0, 0.5), (WEST, SOUTH), (EAST, NORTH))
    asked_m2 = np.minimum(500.0 * random.random(count) ** (-1 / 0.9), 5e8)
    geometry, area_m2, perimeter_m = _outlines(random, centre, asked_m2)
    wkb = shapely.to_wkb(geometry)
    when = pa.array([datetime(2020, 7, 15, 18, tzinfo=UTC)] * count, pa.timestamp("ms", tz="UTC"))
    columns = {
        "id": [fresh_id("water", each) for each in wkb],
        "landform": ["water"] * count,
        "geometry": wkb,
        "area_m2": area_m2,
        "perimeter_m": perimeter_m,
        "shape_index": perimeter_m / (2 * np.sqrt(np.pi * area_m2)),
        "lon": centre[:, 0],
        "lat": centre[:, 1],
        "probability": random.uniform(0.5, 1.0, count),
        "confidence": [None] * count,
        "status": ["candidate"] * count,
        "observed_start": when,
        "observed_end": when,
        "scenes": [["simulated-20200715"]] * count,
        "edition": [edition] * count,
        "model": ["simulated@1"] * count,
        "on_aoi_edge": np.zeros(count, bool),
        "on_data_edge": np.zeros(count, bool),
        "pixels": np.maximum(1, area_m2 / 100).astype(np.int64),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in INVENTORY_SCHEMA], schema=INVENTORY_SCHEMA)


def _outlines(
    random: np.random.Generator, centre: NDArray[np.float64], asked_m2: NDArray[np.float64]
) -> tuple[NDArray[np.object_], NDArray[np.float64], NDArray[np.float64]]:
    """Wavy rings round the centres, lon/lat; their areas and lengths on the local plane."""
    count = len(centre)
    vertices = np.clip((8 + 4 * np.log10(asked_m2 / 500)).astype(np.int64), 8, 40)
    ring = np.repeat(np.arange(count), vertices)
    first = np.concatenate([[0], np.cumsum(vertices)[:-1]])
    angle = 2 * np.pi * (np.arange(len(ring)) - first[ring]) / vertices[ring]
    wave = 1 + 0.25 * np.sin(3 * angle + random.uniform(0, 6.28, count)[ring]) + random.uniform(-0.1, 0.1, len(ring))
    radius_m = np.sqrt(asked_m2 / np.pi)[ring] * wave
    x, y = radius_m * np.cos(angle), radius_m * np.sin(angle)
    after = np.arange(len(ring)) + 1
    after[first + vertices - 1] = first
    area_m2 = np.add.reduceat(x * y[after] - x[after] * y, first) / 2
    perimeter_m = np.add.reduceat(np.hypot(x[after] - x, y[after] - y), first)
    lat = centre[ring, 1] + y / METRES_A_DEGREE
    lon = centre[ring, 0] + x / (METRES_A_DEGREE * np.cos(np.radians(centre[ring, 1])))
    lonlat = np.round(np.column_stack([lon, lat]), 7)
    return shapely.polygons(shapely.linearrings(lonlat, indices=ring)), area_m2, perimeter_m


if __name__ == "__main__":
    main()
