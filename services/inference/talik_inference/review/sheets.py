"""The sheet: a GeoPackage of an edition's objects that an expert fills in with QGIS."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from talik_inference.review.styling import describe_columns
from talik_stac.editions import load_edition, read_geo
from talik_stac.exports import check_target
from talik_stac.review_documents import ReviewError, criteria_for
from talik_stac.reviews import Standing, standing
from talik_stac.store import Store

LAYER = "review"
CRS = "EPSG:4326"
"""By the name that every GIS knows; GeoPackage stores lon before lat all the same."""


def sheet_schema(landform: str) -> pa.Schema:
    """Columns of a sheet: what the expert fills in, then what is only to be read."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("status", pa.string()),
            *((name, pa.bool_()) for name in criteria_for(landform)),
            ("confidence", pa.float64()),
            ("comment", pa.string()),
            ("initiated_after", pa.date32()),
            ("initiated_before", pa.date32()),
            ("redrawn", pa.bool_()),
            ("probability", pa.float64()),
            ("area_m2", pa.float64()),
            ("origin", pa.string()),
            ("edition", pa.string()),
            ("reviewer", pa.string()),
            ("decision", pa.string()),
            ("geometry", pa.binary()),
        ]
    )


def write_sheet(store: Store, edition_id: str, *, reviewer: str, path: Path, overwrite: bool = False) -> int:
    """Write a sheet for one reviewer: every object of the edition, filled in where this reviewer has decided.

    Decisions about other editions are filled in where they carry over; other reviewers' are not shown. Returns the
    count of rows. The file appears whole or not at all. Raises EditionError, ReviewError.
    """
    check_target(path, (".gpkg",), overwrite=overwrite)
    edition = load_edition(store, edition_id)
    frame = read_geo(store, edition)
    own = [each for each in standing(store, edition_id, frame) if each.reviewer == reviewer]
    rows = sheet_rows(frame, own, edition_id=edition_id, reviewer=reviewer)
    try:
        with tempfile.TemporaryDirectory(prefix=".talik-review-", dir=path.parent) as folder:
            made = Path(folder) / path.name
            _write(rows, made, edition.landform)
            made.replace(path)
    except (OSError, DataSourceError, DataLayerError) as error:
        raise ReviewError(f"cannot write {path}: {error}; free space, or choose another --out") from error
    return len(rows)


def sheet_rows(
    frame: geopandas.GeoDataFrame, own: Sequence[Standing], *, edition_id: str, reviewer: str
) -> list[dict[str, Any]]:
    """Return the rows of a sheet: the edition's objects in its order, then what the expert drew."""
    word = {each.object_id: each for each in own}
    rows = []
    ids, geometry = frame["id"].tolist(), frame.geometry.to_numpy()
    for number, (object_id, polygon) in enumerate(zip(ids, geometry, strict=True)):
        measured = {"probability": frame["probability"].iat[number], "area_m2": frame["area_m2"].iat[number]}
        rows.append({"id": object_id, **measured, **_filled(word.pop(object_id, None), polygon)})
    rows += [{"id": each.object_id, **_filled(each, each.decision.seen)} for each in word.values() if each.added]
    return [{**row, "edition": edition_id, "reviewer": reviewer} for row in rows]


def _filled(word: Standing | None, polygon: shapely.Geometry) -> dict[str, Any]:
    """What the log says of an object, in the columns of a sheet."""
    if word is None:
        return {"redrawn": False, "origin": "candidate", "geometry": _multi(polygon)}
    said = word.said
    return {
        "status": said.status,
        **said.criteria,
        "confidence": said.confidence,
        "comment": said.comment or None,
        "initiated_after": said.initiated_after,
        "initiated_before": said.initiated_before,
        "redrawn": word.redrawn is not None,
        "origin": _origin(word),
        "decision": word.decision.id,
        "geometry": _multi(word.redrawn or polygon),
    }


def _origin(word: Standing) -> str:
    origin = "drawn" if word.added else "candidate"
    return f"{origin}, decided in {word.decision.edition} (overlap {word.overlap:.2f})" if word.carried else origin


def _multi(polygon: shapely.Geometry) -> bytes:
    """All rows are MultiPolygons: QGIS edits a layer of one type."""
    parts = shapely.get_parts(polygon)
    wkb: bytes = shapely.to_wkb(shapely.MultiPolygon(list(parts)), include_srid=False)
    return wkb


def _write(rows: list[dict[str, Any]], path: Path, landform: str) -> None:
    schema = sheet_schema(landform)
    columns = [pa.array([row.get(name) for row in rows], schema.field(name).type) for name in schema.names]
    pyogrio.write_arrow(
        pa.table(columns, schema=schema),
        path,
        driver="GPKG",
        layer=LAYER,
        geometry_name="geometry",
        geometry_type="MultiPolygon",
        crs=CRS,
        VERSION="1.3",  # GDAL's own choice, 1.4, makes the QGIS of Debian 12 warn that it may not understand all
    )
    describe_columns(path, LAYER, criteria_for(landform))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a sheet as it came back: one dictionary a row with its number (`fid`) and `geometry` as a shape or None.

    Raises ReviewError for a file that is no sheet.
    """
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if LAYER not in layers:
            raise ReviewError(f"{path} has no layer '{LAYER}' but {', '.join(layers)}; give what `review export` wrote")
        meta, table = pyogrio.read_arrow(path, layer=LAYER, return_fids=True)
    except (DataSourceError, DataLayerError) as error:
        raise ReviewError(f"cannot read {path}: {error}; give what `talik review export` wrote") from error
    if meta["crs"] not in (CRS, "OGC:CRS84"):
        raise ReviewError(f"{path}, layer {LAYER}: its CRS is {meta['crs']}; save it as {CRS}")
    for name in ("id", "status"):
        if name not in table.column_names:
            raise ReviewError(f"{path}, layer {LAYER}: no column '{name}'; give what `talik review export` wrote")
    names = {meta["geometry_name"] or "wkb_geometry": "geometry", meta.get("fid_column") or "fid": "fid"}
    table = table.rename_columns([names.get(name, name) for name in table.column_names])
    shapes = shapely.from_wkb(np.array(table["geometry"].to_pylist(), object))
    plain = table.drop_columns(["geometry"]).to_pylist()
    return [{**row, "geometry": polygon} for row, polygon in zip(plain, shapes, strict=True)]
