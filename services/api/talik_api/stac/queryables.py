"""What filters, `query` and `sortby` may name: the plain columns of the items (STAC API Filter Extension)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from talik_api.cql import Kind, Queryable
from talik_api.features.queryables import JSON_TYPES
from talik_api.stac.normal import TIMES

_NOT_OFFERED = frozenset(["assets", "bbox", "links", "stac_extensions", "stac_version", "type"])
_ALWAYS = (
    Queryable(name="id", kind="text", column="id", description="The item's id."),
    Queryable(name="collection", kind="text", column="collection", description="The collection's id."),
    Queryable(name="geometry", kind="geometry", column="geometry", description="The item's footprint, lon/lat."),
    Queryable(
        name="datetime",
        kind="time",
        column="datetime",
        description="When it was taken; the start where the item has a start and an end only.",
    ),
)
_COMMON = (
    Queryable(name="eo:cloud_cover", kind="number", column="eo:cloud_cover", description="Clouds, in percent."),
    Queryable(name="platform", kind="text", column="platform", description="The satellite or aircraft."),
    Queryable(name="constellation", kind="text", column="constellation", description="The group of satellites."),
    Queryable(name="mission", kind="text", column="mission", description="The mission."),
    Queryable(name="gsd", kind="number", column="gsd", description="Ground sample distance, in metres."),
)
"""Clients ask for these everywhere; where a collection has none they are null."""
_JSON_TYPES = {**JSON_TYPES, "geometry": {"$ref": "https://geojson.org/schema/Geometry.json"}}


def queryables_of(schema: pa.Schema) -> dict[str, Queryable]:
    """Name -> queryable of a table of items."""
    found = {each.name: each for each in _ALWAYS}
    for field in schema:
        kind = "time" if field.name in TIMES else _kind(field.type)
        if kind is not None and field.name not in _NOT_OFFERED:
            found.setdefault(field.name, Queryable(name=field.name, kind=kind, column=field.name))
    return found | {each.name: each for each in _COMMON if each.name not in schema.names}


def together(many: Iterable[Mapping[str, Queryable]]) -> dict[str, Queryable]:
    """Queryables of several collections; a name that means a number here and a text there is left out."""
    found = {each.name: each for each in (*_ALWAYS, *_COMMON)}
    unlike: set[str] = set()
    for queryables in many:
        for name, each in queryables.items():
            known = found.setdefault(name, each)
            if {known.kind, each.kind} == {"number", "integer"}:
                found[name] = Queryable(name=name, kind="number", column=name)
            elif known.kind != each.kind:
                unlike.add(name)
    return {name: each for name, each in found.items() if name not in unlike}


def schema_document(title: str, address: str, queryables: Mapping[str, Queryable]) -> dict[str, Any]:
    """The queryables as JSON Schema 2019-09 (as OGC API Features Part 3 and its validators want)."""
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "properties": {
            name: {
                "title": name,
                **({"description": each.description} if each.description else {}),
                **_JSON_TYPES[each.kind],
            }
            for name, each in sorted(queryables.items())
        },
        "additionalProperties": False,
    }


def _kind(arrow: pa.DataType) -> Kind | None:
    """None where a value is no scalar (a struct, a list of numbers)."""
    if isinstance(arrow, pa.DictionaryType):
        arrow = arrow.value_type
    kinds: tuple[tuple[Kind, bool], ...] = (
        ("boolean", pa.types.is_boolean(arrow)),
        ("integer", pa.types.is_integer(arrow)),
        ("number", pa.types.is_floating(arrow)),
        ("time", pa.types.is_timestamp(arrow) or pa.types.is_date(arrow)),
        ("text", pa.types.is_string(arrow) or pa.types.is_large_string(arrow)),
        ("list", pa.types.is_list(arrow) and pa.types.is_string(arrow.value_type)),
    )
    return next((kind for kind, holds in kinds if holds), None)
