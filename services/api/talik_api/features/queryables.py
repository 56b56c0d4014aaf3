"""What filters may name: the columns of the inventory (OGC API Features Part 3)."""

from __future__ import annotations

from typing import Any, Literal

import pyarrow as pa

from talik_api.cql import Queryable
from talik_stac.inventory import INVENTORY_SCHEMA

Kind = Literal["number", "integer", "text", "boolean", "time", "list", "geometry"]
STATUSES = ("candidate", "confirmed", "rejected", "edited")
JSON_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "text": {"type": "string"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "list": {"type": "array", "items": {"type": "string"}},
    "geometry": {"format": "geometry-any"},
}
"""The JSON Schema of each kind of queryable."""


def _kind(field: pa.Field) -> Kind:
    if field.name == "geometry":
        return "geometry"
    kind = field.type
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "number"
    if pa.types.is_timestamp(kind):
        return "time"
    return "list" if pa.types.is_list(kind) else "text"


def _queryable(field: pa.Field) -> Queryable:
    said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return Queryable(
        name=field.name,
        kind=_kind(field),
        column=field.name,
        description=said.get("description", ""),
        unit=said.get("unit", ""),
        values=STATUSES if field.name == "status" else (),
    )


QUERYABLES = {field.name: _queryable(field) for field in INVENTORY_SCHEMA}
"""Name -> queryable, in the order of the table."""


def json_schema(title: str, address: str, *, returned: bool) -> dict[str, Any]:
    """JSON Schema 2020-12 of the queryables, or (`returned`) of the properties of a feature."""
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "properties": {name: _described(each, returned=returned) for name, each in QUERYABLES.items()},
    }
    if not returned:
        document["additionalProperties"] = False
    return document


def _described(queryable: Queryable, *, returned: bool) -> dict[str, Any]:
    described = {"title": queryable.name, "description": queryable.description, **JSON_TYPES[queryable.kind]}
    if queryable.unit:
        described["x-ogc-unit"] = queryable.unit
    if queryable.values:
        described["enum"] = list(queryable.values)
    roles = {"id": "id", "geometry": "primary-geometry", "observed_start": "primary-interval-start"}
    roles["observed_end"] = "primary-interval-end"
    if returned and queryable.name in roles:
        described["x-ogc-role"] = roles[queryable.name]
    return described
