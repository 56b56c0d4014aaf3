"""From the parameters of a search to its conditions: the same names in a URL and in a posted body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import shapely
from pydantic import BaseModel, ConfigDict, Field

from talik_api.cql import Filter, FilterError, Queryable, all_of, parse_filter
from talik_api.crs import CRS84, SUPPORTED, checked_crs
from talik_api.features.place import Place, place_of_bbox
from talik_api.problems import Problem
from talik_api.stac.fields import Fields, fields_of, fields_of_text
from talik_api.stac.holdings import Holding
from talik_api.stac.query_extension import as_cql2
from talik_api.stac.queryables import together
from talik_api.stac.search import Conditions
from talik_api.stac.sorting import Cursor, SortKey, sort_keys
from talik_api.times import parse_span

DEFAULT_LIMIT = 10
MAX_LIMIT = 10_000
"""Larger limits are taken for this one, as STAC API allows."""


class SortBy(BaseModel):
    """One member of `sortby`."""

    model_config = ConfigDict(extra="forbid")

    field: str
    direction: Literal["asc", "desc"] = "asc"


class FieldLists(BaseModel):
    """The `fields` of a posted search."""

    model_config = ConfigDict(extra="forbid")

    include: list[str] | None = None
    exclude: list[str] | None = None


class Asked(BaseModel):
    """The body of a posted search."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    bbox: list[float] | None = Field(
        None, description="West, south, east, north (six numbers with heights).", min_length=4, max_length=6
    )
    intersects: dict[str, Any] | None = Field(None, description="A GeoJSON geometry.")
    datetime: str | None = Field(None, description="RFC 3339: a moment, or an interval such as 2020-06-01T00:00:00Z/..")
    ids: list[str] | None = None
    collections: list[str] | None = None
    limit: int | None = Field(None, ge=1, description=f"{DEFAULT_LIMIT} if left out; at most {MAX_LIMIT} are given.")
    sortby: list[SortBy] | None = None
    fields: FieldLists | None = None
    query: dict[str, Any] | None = Field(None, description='Such as {"eo:cloud_cover": {"lt": 10}}.')
    filter: dict[str, Any] | str | None = Field(None, description="CQL2: JSON, or text with filter-lang cql2-text.")
    filter_lang: Literal["cql2-text", "cql2-json"] | None = Field(None, alias="filter-lang")
    filter_crs: str | None = Field(None, alias="filter-crs", json_schema_extra={"enum": [*SUPPORTED, None]})
    token: str | None = Field(None, description="From a 'next' link.", min_length=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, understood."""

    conditions: Conditions
    keys: tuple[SortKey, ...]
    limit: int
    cursor: Cursor | None
    fields: Fields | None
    """None: whole items."""


def of_parameters(given: Mapping[str, str | int | None]) -> Asked:
    """Put the parameters of a URL into the form of a body. Raises Problem 400."""
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in ("ids", "collections"):
        if name in asked:
            asked[name] = [part for part in str(asked[name]).split(",") if part]
    for name in ("intersects", "query"):
        if name in asked:
            asked[name] = _object(name, str(asked[name]))
    if "bbox" in asked:
        place_of_bbox(str(asked["bbox"]))  # says what is wrong with a text that holds no numbers
        asked["bbox"] = [float(part) for part in str(asked["bbox"]).split(",")]
    if "sortby" in asked:
        asked["sortby"] = [_sorted_by(part) for part in str(asked["sortby"]).split(",") if part.strip()]
    if "filter" in asked:
        asked["filter-lang"] = asked.get("filter-lang", "cql2-text")
    asked["fields"] = None  # read by `understand`: of a URL it is one text
    return Asked.model_validate(asked)


def understand(asked: Asked, holdings: Sequence[Holding], *, fields: str | None = None) -> Question:
    """Read every parameter against what the collections hold. Raises Problem 400, FilterError.

    `fields` is that of a URL.
    """
    queryables = together(holding.queryables for holding in holdings)
    keys = sort_keys([(each.field, each.direction == "desc") for each in asked.sortby or ()], queryables)
    return Question(
        conditions=_conditions(asked, queryables),
        keys=keys,
        limit=min(asked.limit or DEFAULT_LIMIT, MAX_LIMIT),
        cursor=None if asked.token is None else Cursor.parse(asked.token, keys),
        fields=fields_of_text(fields) if fields is not None else _fields(asked.fields),
    )


def _conditions(asked: Asked, queryables: Mapping[str, Queryable]) -> Conditions:
    if asked.bbox is not None and asked.intersects is not None:
        raise Problem(400, "Two places", "give bbox or intersects, not both; a filter may hold a second geometry")
    return Conditions(
        ids=None if asked.ids is None else frozenset(asked.ids),
        place=None if asked.bbox is None else _place(asked.bbox),
        span=None if asked.datetime is None else parse_span(asked.datetime, days=False),
        filter=all_of(_intersects(asked.intersects), _query(asked.query, queryables), _filter(asked, queryables)),
    )


def _place(bbox: Sequence[float]) -> Place:
    """The place of a bbox; one without width or height is a line or a point, which has no inside to touch."""
    place = place_of_bbox(",".join(map(repr, bbox)))
    if all(west < east and south < north for west, south, east, north in place.boxes):
        return place
    corners = [shapely.MultiPoint([box[:2], box[2:]]).envelope for box in place.boxes]
    return Place(boxes=place.boxes, area=shapely.union_all(corners))


def _intersects(geometry: dict[str, Any] | None) -> Filter | None:
    if geometry is None:
        return None
    if "coordinates" not in geometry and "geometries" not in geometry:
        kind = str(geometry.get("type"))[:100]
        raise Problem(400, "The geometry is not valid", f"intersects is a {kind}; expected a GeoJSON geometry")
    tree = {"op": "s_intersects", "args": [{"property": "geometry"}, geometry]}
    geometries = {"geometry": Queryable(name="geometry", kind="geometry", column="geometry")}
    try:
        return parse_filter(tree, language="cql2-json", queryables=geometries)
    except FilterError as error:
        detail = str(error).replace("of the filter", "of intersects").replace("the filter", "intersects")
        raise Problem(400, "The geometry is not valid", detail) from error


def _query(query: dict[str, Any] | None, queryables: Mapping[str, Queryable]) -> Filter | None:
    written = None if query is None else as_cql2(query)
    return None if written is None else parse_filter(written, language="cql2-json", queryables=queryables)


def _filter(asked: Asked, queryables: Mapping[str, Queryable]) -> Filter | None:
    crs = checked_crs(asked.filter_crs, "filter-crs")
    if asked.filter is None or asked.filter == "":
        return None
    language = asked.filter_lang or ("cql2-json" if isinstance(asked.filter, dict) else "cql2-text")
    named = "OGC:CRS84" if crs == CRS84 else crs
    if language == "cql2-text":
        return parse_filter(asked.filter, language="cql2-text", queryables=queryables, crs=named)
    return parse_filter(_of_drafts(asked.filter), language="cql2-json", queryables=queryables, crs=named)


def _of_drafts(tree: Any) -> Any:
    """Write BETWEEN as the standard does: drafts of it, and clients of theirs, put both ends into a list."""
    nodes = [tree]
    while nodes:  # no recursion: how deep it may be is checked where it is parsed
        node = nodes.pop()
        if isinstance(node, dict):
            args = node.get("args")
            if node.get("op") == "between" and isinstance(args, list) and len(args) == 2 and isinstance(args[1], list):
                node["args"] = [args[0], *args[1]]
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    return tree


def _fields(lists: FieldLists | None) -> Fields | None:
    return None if lists is None else fields_of(lists.include or (), lists.exclude or ())


def _sorted_by(part: str) -> dict[str, str]:
    # In a URL '+' stands for a blank, which is stripped.
    name = part.strip()
    return {"field": name.lstrip("+-").strip(), "direction": "desc" if name.startswith("-") else "asc"}


def _object(name: str, text: str) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "The request is not valid", f"{name} is no JSON: {str(error)[:200]}") from error
    if not isinstance(found, dict):
        raise Problem(400, "The request is not valid", f"{name} is no JSON object")
    return found
