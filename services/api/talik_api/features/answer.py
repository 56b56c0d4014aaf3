"""From a question to rows on their way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from talik_api.features import select
from talik_api.features.ask import Question
from talik_api.features.layers import Layer, find_layer, last_published
from talik_api.features.query import Cursor
from talik_api.features.sorting import cursor_behind_row, read_sorted, sorted_rows
from talik_api.service import Service
from talik_stac.editions import Edition
from talik_stac.inventory import schema_with

SLICE = 5_000
"""Rows of a table on its way out."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page of an answer; its rows are read when `tables` is used."""

    matched: int
    returned: int
    next: Cursor | None
    schema: pa.Schema
    tables: Iterator[pa.Table]


def layer_of(service: Service, collection: str, cursor: Cursor | None = None) -> Layer:
    """The collection of that id, for a later page as it was when the first was answered. Raises Problem 404."""
    at = None if cursor is None else cursor.at
    return find_layer(service.shelf.all(), collection, service.shelf.find(collection), at=at)


def answer(service: Service, layer: Layer, question: Question) -> Found:
    """Find the rows, cut out the page."""
    at = question.cursor.at if question.cursor else last_published(layer)
    parts = select.find(service, layer, question.query)
    matched = select.count(parts)
    schema = pa.schema([schema_with(layer.attributes).field(name) for name in question.columns])
    if question.query.sort:
        return _sorted(layer, question, parts, at, schema)
    taken, more = select.page(select.after(parts, question.cursor), question.limit)
    return Found(
        matched=matched,
        returned=select.count(taken),
        next=select.cursor_behind(taken[-1], at=at) if more else None,
        schema=schema,
        tables=_tables(layer, taken, question.columns),
    )


def find_object(service: Service, layer: Layer, feature_id: str) -> tuple[Edition, pa.Table] | None:
    """The row of an object; None where the collection has none of that id. Reads ids group by group."""
    edition_id, _, object_id = feature_id.rpartition(":") if layer.qualified else ("", "", feature_id)
    for edition in layer.editions:
        if layer.qualified and edition.id != edition_id:
            continue
        reader = service.reader(edition)
        for group in range(len(reader.groups.rows)):
            place = reader.read(group, ["id"], keep=False)["id"].index(object_id).as_py()
            if place >= 0:
                return edition, reader.read(group, schema_with(layer.attributes).names).slice(place, 1)
    return None


def _sorted(layer: Layer, question: Question, parts: list[select.Part], at: str, schema: pa.Schema) -> Found:
    keys, limit = question.query.sort, question.limit or 0
    rows = sorted_rows(parts, keys, limit, question.cursor)
    page, more = rows.slice(0, limit), len(rows) > limit
    return Found(
        matched=select.count(parts),
        returned=len(page),
        next=cursor_behind_row(parts, page, len(page) - 1, keys, at=at) if more else None,
        schema=schema,
        tables=_sorted_tables(layer, question, parts, page),
    )


def _sorted_tables(
    layer: Layer, question: Question, parts: Sequence[select.Part], page: pa.Table
) -> Iterator[pa.Table]:
    for start in range(0, len(page), SLICE):
        rows = page.slice(start, SLICE)
        table = read_sorted(parts, rows, question.columns)
        editions = [parts[number].edition for number in rows["part"].to_pylist()]
        yield _named(layer, table, editions)


def _tables(layer: Layer, parts: Sequence[select.Part], columns: Sequence[str]) -> Iterator[pa.Table]:
    for part in parts:
        table = part.read(columns)
        yield _named(layer, table, [part.edition] * len(table)) if layer.qualified else table


def _named(layer: Layer, table: pa.Table, editions: Sequence[Edition]) -> pa.Table:
    """Give the rows the ids that they bear in the collection."""
    if not layer.qualified:
        return table
    names = table["id"].to_pylist()
    ids = [layer.feature_id(edition, name) for edition, name in zip(editions, names, strict=True)]
    return table.set_column(table.schema.get_field_index("id"), table.schema.field("id"), pa.array(ids, pa.string()))
