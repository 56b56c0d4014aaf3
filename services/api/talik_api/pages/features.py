"""Pages of features: a table of some, and one alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import shapely
from fastapi import Request
from starlette.responses import Response

from talik_api.crs import CRS84
from talik_api.features.answer import Found
from talik_api.features.layers import Layer
from talik_api.features.queryables import QUERYABLES
from talik_api.pages.chips import chip_address, edition_of
from talik_api.pages.glance import is_simulated, runs_of
from talik_api.pages.render import render
from talik_api.pages.sketch import Sketch, sketch, sketch_of
from talik_api.service import Service
from talik_stac.editions import Edition

ROWS_SHOWN = 1000
"""A browser shows no more rows in reasonable time."""
_FIRST = ("id", "area_m2", "probability", "status")
_NEVER = ("geometry",)


def features_page(
    service: Service, request: Request, layer: Layer, found: Found, links: Sequence[Mapping[str, Any]]
) -> Response:
    """A page of features as a table, with a drawing of the first of them."""
    table = _first_rows(found)
    names = [name for name in (*_FIRST, *table.column_names) if name in table.column_names and name not in _NEVER]
    names = list(dict.fromkeys(names))
    rows = table.select(names).to_pylist()
    return render(
        service,
        request,
        "features.html",
        layer=layer,
        simulated=not layer.qualified and _simulated(service, request, layer.editions[0]),
        found=found,
        columns=[QUERYABLES[name] for name in names],
        rows=[[shown(row[name]) for name in names] for row in rows],
        ids=[row["id"] for row in rows],
        sketch=sketch(table) if len(table) else None,
        next=next((each["href"] for each in links if each["rel"] == "next" and "method" not in each), None),
        files=[each for each in links if each["rel"] == "alternate"],
    )


def feature_page(service: Service, request: Request, layer: Layer, feature: Mapping[str, Any]) -> Response:
    """One feature; `feature` is its GeoJSON."""
    edition = edition_of(layer, str(feature["id"]))
    return render(
        service,
        request,
        "feature.html",
        layer=layer,
        simulated=edition is not None and _simulated(service, request, edition),
        feature=feature,
        properties=[(_described(name), shown(value)) for name, value in feature["properties"].items()],
        sketch=_outline(request, feature),
        chip=chip_address(service, request, layer, str(feature["id"])),
    )


def shown(value: Any) -> str:
    """A value as text for people."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:.6g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value[:5])) + (f" and {len(value) - 5} more" if len(value) > 5 else "")
    return str(value)


def _simulated(service: Service, request: Request, edition: Edition) -> bool:
    return is_simulated(edition, runs_of(service, request, [edition]).get(edition.id, {}))


def _first_rows(found: Found) -> pa.Table:
    tables, count = [], 0
    for table in found.tables:
        tables.append(table.slice(0, ROWS_SHOWN - count))
        count += len(tables[-1])
        if count >= ROWS_SHOWN:
            break
    return pa.concat_tables(tables) if tables else found.schema.empty_table()


def _outline(request: Request, feature: Mapping[str, Any]) -> Sketch | None:
    """Nothing where coordinates are asked for in another CRS: the drawing takes degrees."""
    if request.query_params.get("crs", CRS84) != CRS84 or not feature.get("geometry"):
        return None
    geometry = shapely.get_parts(shapely.from_geojson(json.dumps(feature["geometry"])))
    return sketch_of(geometry)


def _described(name: str) -> Any:
    known = QUERYABLES.get(name)
    return {"name": name, "description": known.description if known else "", "unit": known.unit if known else ""}
