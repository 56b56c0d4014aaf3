"""What changed between two editions in an area."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import shapely

from talik_api.features.place import Place
from talik_api.problems import Problem
from talik_api.processes.inputs import CompareInputs, place_of
from talik_api.service import Service
from talik_stac.editions import Edition
from talik_stac.reading import Box, box_array

if TYPE_CHECKING:
    import geopandas

MOST_OBJECTS = 200_000
"""Objects of both editions together that are compared while a client waits."""
MOST_FEATURES = 10_000
"""Changes that are listed; the summary counts all."""
_COLUMNS = ("id", "geometry", "area_m2", "on_aoi_edge", "on_data_edge", "bbox")


def compare(service: Service, inputs: CompareInputs) -> dict[str, Any]:
    """Compare: `summary` by class of change, `changes` as GeoJSON, unchanged objects left out.

    Changes that touch the area count. Raises Problem 413 where too many objects would be compared, TalikError.
    """
    from talik_stac.changes import between, comparable  # late: geopandas

    a, b = comparable(
        service.store, inputs.a, inputs.b, tolerance_percent=inputs.tolerance_percent, any_area=inputs.any_area
    )
    place = place_of(service, inputs.area)
    boxes = None if place is None else _reach(service, (a, b), place)
    frames = [_frame(service, edition, boxes) for edition in (a, b)]
    found = between(service.store, a, b, frames[0], frames[1], tolerance_percent=inputs.tolerance_percent)
    if place is not None and len(found.table):
        kept = found.table[place.touched(found.table.geometry.to_numpy())]
        found = type(found)(a=a, b=b, table=kept)
    return {
        "a": a.id,
        "b": b.id,
        "tolerance_percent": inputs.tolerance_percent,
        "summary": [
            {
                "change": each.change,
                "groups": each.groups,
                "area_a_m2": each.area_a_m2,
                "area_b_m2": each.area_b_m2,
            }
            for each in found.summary()
        ],
        "changes": _features(found.table),
    }


def _reach(service: Service, editions: tuple[Edition, Edition], place: Place) -> tuple[Box, ...]:
    """Boxes that hold the place and each object that touches it, so that what overlaps these is compared too."""
    boxes = np.array(place.boxes)
    for edition in editions:
        for table in service.reader(edition).rows_in(place.boxes, ["bbox"]):
            bounds = box_array(table)
            for number, box in enumerate(place.boxes):
                near = (bounds[:, 0] <= box[2]) & (bounds[:, 2] >= box[0])
                near &= (bounds[:, 1] <= box[3]) & (bounds[:, 3] >= box[1])
                if near.any():
                    low, high = bounds[near, :2].min(axis=0), bounds[near, 2:].max(axis=0)
                    boxes[number, :2] = np.minimum(boxes[number, :2], low)
                    boxes[number, 2:] = np.maximum(boxes[number, 2:], high)
    return tuple((float(w), float(s), float(e), float(n)) for w, s, e, n in boxes)


def _frame(service: Service, edition: Edition, boxes: tuple[Box, ...] | None) -> geopandas.GeoDataFrame:
    import geopandas

    tables: list[pa.Table] = []
    count = 0
    for table in service.reader(edition).rows_in(boxes, _COLUMNS):
        tables.append(table.select(_COLUMNS[:-1]))
        count += len(table)
        if count > MOST_OBJECTS // 2:
            raise Problem(
                413,
                "The area is too large to compare at once",
                f"{edition.id} has more than {MOST_OBJECTS // 2:,} objects there; give a smaller area, "
                f"or run: talik editions diff",
            )
    if not tables:
        tables = [service.reader(edition).schema.empty_table().select(_COLUMNS[:-1])]
    whole = pa.concat_tables(tables)
    outlines = shapely.from_wkb(whole["geometry"].to_numpy(zero_copy_only=False))
    return geopandas.GeoDataFrame(whole.drop_columns("geometry").to_pandas(), geometry=outlines, crs="OGC:CRS84")


def _features(table: geopandas.GeoDataFrame) -> dict[str, Any]:
    changed = table[table["change"] != "unchanged"]
    shown = changed.head(MOST_FEATURES)
    collection: dict[str, Any] = (
        json.loads(shown.to_json(drop_id=True, na="null"))
        if len(shown)
        else {
            "type": "FeatureCollection",
            "features": [],
        }
    )
    collection.pop("crs", None)  # RFC 7946: lon/lat, always
    return {**collection, "numberMatched": len(changed), "numberReturned": len(shown)}
