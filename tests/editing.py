"""Inventories made by hand, for tests of editions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import shapely

from talik_stac.editions import Edition, EditionDraft, claim, publish
from talik_stac.inventory import ATTRIBUTES, INVENTORY_SCHEMA, InventoryBuilder, fresh_id
from talik_stac.store import Store


def table_of(polygons: Sequence[shapely.Geometry], *, edition: str = "water-test-2021-v1") -> pa.Table:
    """Rows for lon/lat polygons; the area is a stand-in (square degrees times 1e9)."""
    geometry = np.array(polygons, object)
    wkb = shapely.to_wkb(geometry) if len(geometry) else np.empty(0, object)
    inner = shapely.point_on_surface(geometry) if len(geometry) else geometry
    count = len(geometry)
    when = [datetime(2021, 7, 15, 10, tzinfo=UTC)] * count
    columns = {
        "id": [fresh_id("water", w) for w in wkb],
        "landform": ["water"] * count,
        "geometry": wkb,
        "area_m2": shapely.area(geometry) * 1e9,
        "perimeter_m": shapely.length(geometry) * 1e5,
        "shape_index": np.ones(count),
        "lon": shapely.get_x(inner),
        "lat": shapely.get_y(inner),
        "probability": np.full(count, 0.9),
        "confidence": [None] * count,
        "status": ["candidate"] * count,
        "observed_start": when,
        "observed_end": when,
        "scenes": [["scene-a", "scene-b"]] * count,
        "edition": [edition] * count,
        "model": ["ndwi@1"] * count,
        "on_aoi_edge": np.zeros(count, bool),
        "on_data_edge": np.zeros(count, bool),
        "pixels": np.full(count, 7),
    }
    arrays = [pa.array(columns[field.name], field.type) for field in INVENTORY_SCHEMA]
    return pa.table(arrays, schema=INVENTORY_SCHEMA)


def publish_polygons(
    store: Store,
    folder: Path,
    polygons: Sequence[shapely.Geometry],
    *,
    year: int,
    area: str = "test",
    seen: shapely.Geometry | None = None,
    ids: dict[str, str] | None = None,
    configuration: str | None = None,
    attributes: Mapping[str, Sequence[object]] | None = None,
) -> Edition:
    """Publish polygons as an edition that saw `seen` (all of the world if left out), with further columns."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = configuration or f"configuration-{area}-{year}"
    claimed = claim(store, landform="water", area=area, season=str(year), configuration=configuration)
    builder = InventoryBuilder(folder / "sort", attributes=attributes or ())
    rows = table_of(polygons, edition=claimed.edition_id)
    for name, values in (attributes or {}).items():
        rows = rows.append_column(ATTRIBUTES.field(name), pa.array(values, ATTRIBUTES.field(name).type))
    builder.add(rows)
    summary = builder.write(folder / "i.parquet", folder / "i.fgb", id_for=ids)
    ground = seen if seen is not None else shapely.box(-180, -90, 180, 90)
    geopandas.GeoDataFrame({"tile": ["a"]}, geometry=[ground], crs="OGC:CRS84").to_parquet(folder / "o.parquet")
    draft = EditionDraft(
        edition_id=claimed.edition_id,
        season_start=date(year, 6, 1),
        season_end=date(year, 9, 30),
        configuration=configuration,
        footprint=shapely.box(0, 0, 1, 1),
        summary=summary,
        parquet=folder / "i.parquet",
        fgb=folder / "i.fgb",
        observed=folder / "o.parquet",
        probability={},
        run={"versions": {"talik": "0"}, "scenes": []},
        model="ndwi@1",
        licence="CC-BY-4.0",
    )
    return publish(store, draft)
