"""The portal: every edition, by landform and area, its years side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import Request
from starlette.responses import Response

from talik_api.formats import FORMATS
from talik_api.metadata import Record, record_of
from talik_api.metadata.citation import citation
from talik_api.metadata.record import Licence, licence_of
from talik_api.pages.glance import is_simulated, runs_of, sketches_of
from talik_api.pages.render import part, render, season
from talik_api.pages.sketch import Sketch
from talik_api.pages.world import Spot, world_map
from talik_api.service import Service
from talik_stac.editions import Edition

ROWS_OF_PAGE = 60
"""An area is shown whole; a page ends with the area that reaches this number of seasons."""
SKETCHES_OF_PAGE = 12
SPOTS = 500
"""More areas are not told apart on the small map."""
STORED = (("inventory-parquet", "GeoParquet"), ("inventory-fgb", "FlatGeobuf"))
MADE = ("gpkg", "shp", "geojson", "csv")
"""Formats that are written when they are asked for."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A link to a file."""

    title: str
    href: str
    size_bytes: int | None
    """None: made on request."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One season of an area: its last version, and links to those before."""

    edition: Edition
    season: str
    href: str
    licence: Licence
    simulated: bool
    downloads: tuple[Download, ...]
    versions_before: tuple[Edition, ...]
    compared: Edition | None
    """The edition that is next before in time."""


@dataclass(frozen=True, kw_only=True)
class Area:
    """All editions of one landform in one area, newest season first."""

    anchor: str
    landform: str
    area: str
    rows: tuple[Row, ...]
    sketch: Sketch | None
    citation: str


def portal(service: Service, request: Request) -> Response:
    """The page at /; `page` in the query counts from 1."""
    editions = service.shelf.all()
    pages = _pages(editions)
    number = _page_number(request, len(pages))
    shown = pages[number - 1] if pages else []
    base = service.base_url(request)
    return render(
        service,
        request,
        "portal.html",
        areas=_areas(service, request, base, shown),
        count=len(editions),
        objects=sum(edition.count for edition in _newest(editions)),
        world=world_map(_spots(base, editions, shown)),
        number_of_page=number,
        pages=len(pages),
    )


def downloads_of(base: str, edition: Edition) -> tuple[Download, ...]:
    """The inventory in every format: stored files with their sizes, then those that are made on request."""
    assets = edition.item.get("assets", {})
    stored = [
        Download(
            title=title,
            href=f"{base}/editions/{part(edition.id)}/files/{part(str(assets[key]['href']).removeprefix('./'))}",
            size_bytes=assets[key].get("file:size"),
        )
        for key, title in STORED
        if key in assets
    ]
    made = [
        Download(
            title=FORMATS[name].title.removesuffix(" (zip)"),
            href=f"{base}/collections/{part(edition.id)}/items?f={name}",
            size_bytes=None,
        )
        for name in MADE
        if name in FORMATS
    ]
    return (*stored, *made)


def record_for(service: Service, base: str, edition: Edition, run: Mapping[str, Any]) -> Record:
    """The metadata record of an edition."""
    return record_of(edition, run, base_url=base, publisher=service.settings.publisher)


def _pages(editions: Sequence[Edition]) -> list[list[list[Edition]]]:
    """Pages of areas of editions."""
    pages: list[list[list[Edition]]] = []
    rows = ROWS_OF_PAGE
    for _, group in groupby(editions, key=lambda each: (each.landform, each.area)):
        area = list(group)
        if rows >= ROWS_OF_PAGE:
            pages.append([])
            rows = 0
        pages[-1].append(area)
        rows += len(_newest(area))
    return pages


def _page_number(request: Request, count: int) -> int:
    text = request.query_params.get("page", "1")
    asked = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
    return min(max(asked, 1), max(count, 1))


def _areas(service: Service, request: Request, base: str, shown: Sequence[Sequence[Edition]]) -> list[Area]:
    newest = [_newest(area) for area in shown]
    runs = runs_of(service, request, [edition for rows in newest for edition in rows])
    sketches = sketches_of(service, request, [rows[0] for rows in newest[:SKETCHES_OF_PAGE]])
    return [
        Area(
            anchor=_anchor(rows[0]),
            landform=rows[0].landform.replace("_", " ").capitalize(),
            area=rows[0].area,
            rows=tuple(_row(base, edition, area, runs) for edition in rows),
            sketch=sketches.get(rows[0].id),
            citation=citation(record_for(service, base, rows[0], runs.get(rows[0].id, {}))).decode().strip(),
        )
        for area, rows in zip(shown, newest, strict=True)
    ]


def _row(base: str, edition: Edition, area: Sequence[Edition], runs: Mapping[str, Mapping[str, Any]]) -> Row:
    return Row(
        edition=edition,
        season=season(edition.season_start, edition.season_end),
        href=f"{base}/editions/{part(edition.id)}",
        licence=licence_of(str(edition.item["properties"].get("license", "other"))),
        simulated=is_simulated(edition, runs.get(edition.id, {})),
        downloads=downloads_of(base, edition),
        versions_before=tuple(e for e in area if _season(e) == _season(edition) and e.version < edition.version),
        compared=before(edition, area),
    )


def before(edition: Edition, area: Sequence[Edition]) -> Edition | None:
    """The last version of the season before this one's; the version before where there is none."""

    def place(each: Edition) -> tuple[object, int]:
        return (each.season_start, each.version)

    earlier = [each for each in area if each.season_start < edition.season_start]
    same = [each for each in area if _season(each) == _season(edition) and each.version < edition.version]
    return max(earlier or same, key=place, default=None)


def _newest(area: Sequence[Edition]) -> list[Edition]:
    """The last version of each season, newest season first, areas in the order given."""
    last: dict[object, Edition] = {}
    for edition in area:
        key = (edition.landform, edition.area, _season(edition))
        if key not in last or last[key].version < edition.version:
            last[key] = edition
    by_area: dict[tuple[str, str], list[Edition]] = {}
    for edition in last.values():
        by_area.setdefault((edition.landform, edition.area), []).append(edition)
    return [e for rows in by_area.values() for e in sorted(rows, key=lambda each: each.season_start, reverse=True)]


def _season(edition: Edition) -> tuple[object, object]:
    return (edition.season_start, edition.season_end)


def _anchor(edition: Edition) -> str:
    return f"{edition.landform}-{edition.area}"


def _spots(base: str, editions: Sequence[Edition], shown: Sequence[Sequence[Edition]]) -> list[Spot]:
    """One spot for each area; those on another page lead to its newest edition."""
    here = {_anchor(area[0]) for area in shown}
    last = {_anchor(edition): edition for edition in editions}
    return [
        Spot(
            title=f"{edition.area}: {edition.landform.replace('_', ' ')}",
            href=f"#{anchor}" if anchor in here else f"{base}/editions/{part(edition.id)}",
            geometry=edition.item["geometry"],
        )
        for anchor, edition in list(last.items())[:SPOTS]
    ]
