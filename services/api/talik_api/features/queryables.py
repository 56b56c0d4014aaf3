"""What filters may name: the columns of the inventory (OGC API Features Part 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from talik_api.cql import Kind, Queryable
from talik_api.features.layers import Layer
from talik_stac.inventory import ATTRIBUTES, schema_with

STATUSES = ("candidate", "confirmed", "rejected", "edited")
JSON_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "text": {"type": "string"},
    "boolean": {"type": "boolean"},
    "time": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "list": {"type": "array", "items": {"type": "string"}},
    "geometry": {"format": "geometry-any"},
}
"""The JSON Schema of each kind of queryable."""

_KINDS: dict[Kind, Callable[[pa.DataType], bool]] = {
    "boolean": pa.types.is_boolean,
    "integer": pa.types.is_integer,
    "number": pa.types.is_floating,
    "time": pa.types.is_timestamp,
    "date": pa.types.is_date,
    "list": pa.types.is_list,
}
"""The kinds that a column's type decides; any other is a text."""


def _kind(field: pa.Field) -> Kind:
    if field.name == "geometry":
        return "geometry"
    return next((kind for kind, is_kind in _KINDS.items() if is_kind(field.type)), "text")


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


QUERYABLES = {field.name: _queryable(field) for field in schema_with(ATTRIBUTES.names)}
"""Name -> queryable, in the order of the table; with the attributes that only some collections have."""


def queryables_of(layer: Layer) -> dict[str, Queryable]:
    """The queryables that a collection has."""
    return {name: QUERYABLES[name] for name in schema_with(layer.attributes).names}


def json_schema(layer: Layer, address: str, *, returned: bool) -> dict[str, Any]:
    """JSON Schema 2020-12 of the queryables of a collection, or (`returned`) of the properties of its features."""
    document: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": layer.title,
        "properties": {name: _described(each, returned=returned) for name, each in queryables_of(layer).items()},
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
