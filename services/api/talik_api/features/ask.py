"""From the parameters of a request to a Query: the same names in a URL and in a posted body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from talik_api.cql import Filter, parse_filter
from talik_api.crs import CRS84, SUPPORTED, checked_crs
from talik_api.features.layers import Layer
from talik_api.features.place import Place, place_of_bbox, place_of_geometry
from talik_api.features.query import MAX_SORTED, SORTABLE, Cursor, Query, parse_sortby
from talik_api.features.queryables import QUERYABLES
from talik_api.problems import Problem
from talik_api.settings import ApiSettings
from talik_api.times import parse_span
from talik_stac.aoi import parse_aoi
from talik_stac.inventory import ATTRIBUTES, schema_with

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000_000
"""Larger limits are taken for this one, as OGC API Features allows."""
_EVERY = schema_with(ATTRIBUTES.names).names
PROPERTIES = tuple(name for name in _EVERY if name not in ("id", "geometry"))


FilterLang = Literal["cql2-text", "cql2-json"]
_CRS: dict[str, Any] = {"enum": [*SUPPORTED, None]}  # as OpenAPI 3.0 writes an enumeration that may be null


class Asked(BaseModel):
    """What a client asks for, as it wrote it; the body of a POST has these names too."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    bbox: str | Annotated[list[float], Field(min_length=4, max_length=6)] | None = Field(
        None, description="Lower corner, then upper corner, in bbox-crs."
    )
    bbox_crs: str | None = Field(None, alias="bbox-crs", json_schema_extra=_CRS)
    intersects: dict[str, Any] | None = Field(None, description="A GeoJSON polygon, Feature or FeatureCollection.")
    datetime: str | None = Field(None, description="An instant, or an interval such as 2020-06-01/..")
    filter: str | dict[str, Any] | bool | None = Field(None, description="CQL2: text, or JSON.")
    filter_lang: FilterLang | None = Field(None, alias="filter-lang")
    filter_crs: str | None = Field(None, alias="filter-crs", json_schema_extra=_CRS)
    sortby: str | None = None
    properties: str | list[str] | None = None
    crs: str | None = Field(None, json_schema_extra=_CRS)
    limit: int | None = Field(None, ge=1)
    token: str | None = Field(None, description="From a 'next' link.", min_length=1)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, understood."""

    query: Query
    columns: tuple[str, ...]
    """Columns of the answer; `id` and `geometry` are among them."""
    crs: str
    limit: int | None
    """None: every match."""
    cursor: Cursor | None
    named: frozenset[str] = frozenset()
    """Every column that the client wrote."""

    def of(self, layer: Layer) -> Question:
        """The question put to a collection, which lacks some attributes. Raises Problem 400 where one was named."""
        lacking = set(ATTRIBUTES.names) - set(layer.attributes)
        if unknown := sorted(self.named & lacking):
            raise Problem(
                400,
                "There is no such property",
                f"collection '{layer.id}' has no property {', '.join(unknown)}; see its queryables",
            )
        return replace(self, columns=tuple(name for name in self.columns if name not in lacking))


def understand(asked: Asked, settings: ApiSettings, *, whole: bool) -> Question:
    """Read every parameter. `whole`: without a limit the answer holds every match. Raises Problem 400, TalikError."""
    sort = parse_sortby(asked.sortby) if asked.sortby else ()
    limit = None if whole and asked.limit is None else min(asked.limit or DEFAULT_LIMIT, MAX_LIMIT)
    if sort and (limit is None or limit > MAX_SORTED):
        limit = _sorted_limit(limit)
    query = Query(
        place=_place(asked, settings),
        during=None if asked.datetime is None else parse_span(asked.datetime),
        filter=_filter(asked),
        sort=sort,
    )
    chosen = _columns(asked.properties)
    written = {key.column for key in sort} | (query.filter.columns if query.filter else set())
    return Question(
        query=query,
        columns=chosen,
        named=frozenset(written if asked.properties is None else written | set(chosen)),
        crs=checked_crs(asked.crs, "crs"),
        limit=limit,
        cursor=None if asked.token is None else Cursor.parse(asked.token, values=len(sort)),
    )


def _sorted_limit(limit: int | None) -> int:
    if limit is None:
        return MAX_SORTED
    raise Problem(
        400,
        "The limit is too large",
        f"limit={limit} with sortby; at most {MAX_SORTED} features are sorted at a time, follow 'next'",
    )


def _place(asked: Asked, settings: ApiSettings) -> Place | None:
    if asked.intersects is not None:
        if asked.bbox is not None:
            raise Problem(400, "Two places", "give bbox or intersects, not both; a filter may hold a second geometry")
        aoi = parse_aoi(json.dumps(asked.intersects), max_area_km2=float("inf"), max_vertices=settings.max_vertices)
        return place_of_geometry(aoi.geometry)
    crs = checked_crs(asked.bbox_crs, "bbox-crs")
    if asked.bbox is None:
        return None
    text = asked.bbox if isinstance(asked.bbox, str) else ",".join(map(repr, asked.bbox))
    return place_of_bbox(text, crs)


def _filter(asked: Asked) -> Filter | None:
    crs = checked_crs(asked.filter_crs, "filter-crs")
    if asked.filter is None or asked.filter == "":
        return None
    is_text = asked.filter_lang == "cql2-text" if asked.filter_lang else isinstance(asked.filter, str)
    if is_text and not isinstance(asked.filter, str):
        raise Problem(
            400,
            "The filter is not valid",
            "filter-lang is cql2-text, but the filter is JSON; give filter-lang cql2-json",
        )
    return parse_filter(
        json.dumps(asked.filter) if isinstance(asked.filter, bool) else asked.filter,
        language="cql2-text" if is_text else "cql2-json",
        queryables=QUERYABLES,
        crs="OGC:CRS84" if crs == CRS84 else crs,
    )


def _columns(properties: str | list[str] | None) -> tuple[str, ...]:
    if properties is None:
        return tuple(_EVERY)
    names = properties.split(",") if isinstance(properties, str) else properties
    wanted = {name.strip() for name in names if name.strip()}
    unknown = sorted(wanted - {*PROPERTIES, "id", "geometry"})
    if unknown:
        raise Problem(
            400,
            "There is no such property",
            f"properties={','.join(unknown)[:200]}; expected some of: {', '.join(PROPERTIES)}",
        )
    wanted |= {"id", "geometry"}
    return tuple(name for name in _EVERY if name in wanted)


def of_parameters(given: Mapping[str, Any]) -> Asked:
    """Put the parameters of a URL into the form of a body."""
    return Asked.model_validate({name: value for name, value in given.items() if value is not None})


__all__ = [
    "DEFAULT_LIMIT",
    "MAX_LIMIT",
    "PROPERTIES",
    "SORTABLE",
    "Asked",
    "FilterLang",
    "Question",
    "of_parameters",
    "understand",
]
