"""Editions and their files: lists, pages, downloads, metadata for data centres, stored answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from talik_api.downloads import StoredFile, answer_file
from talik_api.exports import export_key, export_size, media_type_of
from talik_api.formats import format_for
from talik_api.links import link
from talik_api.metadata import METADATA, Record, record_of
from talik_api.page_format import JSON_OR_HTML
from talik_api.problems import Problem, not_found
from talik_api.sending import tag_of, unchanged
from talik_api.service import Served, Service
from talik_stac.editions import Edition
from talik_stac.errors import EditionError

router = APIRouter(tags=["Editions"])
_OCTETS = "application/octet-stream"
_FOR_AN_HOUR = "private, max-age=3600"
FormatName = Annotated[Literal["json", "html"] | None, Query(description="json or html; goes before Accept.")]
EditionName = Annotated[str, Path(alias="editionId", description="Such as water-cottonwood-2014-v1.", max_length=200)]
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}},
    206: {"description": "A part of it.", "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The client holds it."},
    307: {"description": "It lies in a bucket: see Location."},
    412: {"description": "It is another file than If-Match names."},
    416: {"description": "It has no such bytes."},
}


@router.get("/editions")
def editions(request: Request, service: Served, f: FormatName = None) -> Response:
    """Every published edition; a browser gets the portal."""
    base = service.base_url(request)
    if _html(request, f):
        return RedirectResponse(f"{base}/?f=html", 303)
    links = [
        link("self", f"{base}/editions?f=json", title="This document"),
        link("alternate", f"{base}/?f=html", "text/html", "The portal"),
    ]
    return _json({"editions": [_summary(base, each) for each in service.shelf.all()], "links": links})


@router.get("/editions/{editionId}")
def edition(request: Request, service: Served, name: EditionName, f: FormatName = None) -> Response:
    """One edition: what it is, its files with their hashes, its citation and metadata."""
    found = _edition(service, name)
    if _html(request, f):
        from talik_api.pages import edition_page

        return edition_page(service, request, found)
    return _json(edition_document(service.base_url(request), found, _record(service, request, found)))


@router.get("/editions/{editionId}/files/{name:path}", response_class=Response, responses=_BYTES)
def file(
    request: Request,
    service: Served,
    edition_name: EditionName,
    name: Annotated[str, Path(description="A file of the edition, such as inventory.parquet.", max_length=500)],
) -> Response:
    """A file of an edition, whole or in ranges; it never changes, its ETag is its SHA-256."""
    found = _edition(service, edition_name)
    files = _files(found)
    if name not in files:
        raise not_found("file", name, f"edition {found.id} has: {', '.join(list(files)[:20])}")
    return answer_file(service, request, files[name])


@router.get("/editions/{editionId}/metadata/{kind}", response_class=Response)
def metadata(
    request: Request,
    service: Served,
    name: EditionName,
    kind: Annotated[str, Path(json_schema_extra={"enum": list(METADATA)}, max_length=50)],
) -> Response:
    """The metadata of an edition in one standard."""
    found = _edition(service, name)
    if kind not in METADATA:
        raise not_found("kind of metadata", kind, f"there is: {', '.join(METADATA)}")
    written = METADATA[kind]
    try:
        body = written.write(_record(service, request, found))
    except EditionError as error:
        raise Problem(409, "The edition lacks what this standard needs", str(error)) from error
    tag = tag_of(kind, body)
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Content-Disposition": f'inline; filename="{found.id}{written.ending}"',
    }
    if unchanged(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, written.media_type)


@router.get("/exports/{digest}/{name}", response_class=Response, responses=_BYTES)
def export(
    request: Request,
    service: Served,
    digest: Annotated[str, Path(description="SHA-256 of the answer.", max_length=100)],
    name: Annotated[str, Path(max_length=250)],
) -> Response:
    """A large answer that was stored; it is removed after some days."""
    key = export_key(digest, name)
    size = export_size(service, key)
    if size is None:
        raise not_found("export", name, "it may have been removed: ask for the data again")
    stored = StoredFile(
        key=key, filename=name, media_type=media_type_of(name), size=size, sha256=digest, cache=_FOR_AN_HOUR
    )
    return answer_file(service, request, stored)


def edition_document(base: str, edition: Edition, record: Record) -> dict[str, Any]:
    """What is known of an edition, and where its files are."""
    here = f"{base}/editions/{quote(edition.id)}"
    summary = _summary(base, edition)
    files = [
        {
            "name": each.name,
            "title": each.title,
            "href": each.url,
            "type": each.media_type or _OCTETS,
            "length": each.size_bytes,
            "sha256": each.sha256,
        }
        for each in record.files
    ]
    described = [
        link("describedby", f"{here}/metadata/{kind}", each.media_type, each.title) for kind, each in METADATA.items()
    ]
    before = record.predecessor
    older = [link("predecessor-version", before.url, title=before.id)] if before else []
    return {
        **summary,
        "title": record.title,
        "description": record.abstract,
        "lineage": record.lineage,
        "doi": record.doi,
        "published": record.published.isoformat() if record.published else None,
        "citation": METADATA["citation"].write(record).decode().strip(),
        "files": files,
        "links": [
            link("self", f"{here}?f=json", title="This document"),
            link("alternate", f"{here}?f=html", "text/html", "This edition as a page"),
            *summary["links"][1:],
            *(link("enclosure", each.url, each.media_type or _OCTETS, each.title) for each in record.files),
            *described,
            *older,
            *([link("license", record.licence.url, "text/html", record.licence.name)] if record.licence.url else []),
        ],
    }


def _summary(base: str, edition: Edition) -> dict[str, Any]:
    properties = edition.item["properties"]
    here = f"{base}/editions/{quote(edition.id)}"
    collection = f"{base}/collections/{quote(edition.id)}"
    return {
        "id": edition.id,
        "title": str(properties.get("title", edition.id)),
        "landform": edition.landform,
        "area": edition.area,
        "version": edition.version,
        "season": [edition.season_start.isoformat(), edition.season_end.isoformat()],
        "count": edition.count,
        "area_m2": edition.area_m2,
        "license": str(properties.get("license", "other")),
        "bbox": edition.item["bbox"],
        "links": [
            link("self", here, title=edition.id),
            link("collection", collection, title="Its features"),
            link("items", f"{collection}/items", "application/geo+json", "Its features"),
        ],
    }


def _files(edition: Edition) -> dict[str, StoredFile]:
    """The files that the item states, by their names; no other key of the store can be reached."""
    created = edition.item["properties"].get("created")
    modified = datetime.fromisoformat(str(created)) if created else None
    if modified is not None and modified.tzinfo is None:
        modified = modified.replace(tzinfo=UTC)
    found = (_file(edition, asset, modified) for asset in edition.item["assets"].values())
    return {name: each for name, each in found if each is not None}


def _file(edition: Edition, asset: dict[str, Any], modified: datetime | None) -> tuple[str, StoredFile | None]:
    """One asset as a file; None where the item does not say how long it is or what its hash is."""
    name = str(asset["href"]).removeprefix("./")
    size, checksum = asset.get("file:size"), str(asset.get("file:checksum", ""))
    plain = "://" not in name and ".." not in PurePosixPath(name).parts and not name.startswith("/")
    if not plain or size is None or len(checksum) != 68 or not checksum.startswith("1220"):
        return name, None
    return name, StoredFile(
        key=f"{edition.prefix}/{name}",
        filename=f"{edition.id}-{name.replace('/', '-')}",
        media_type=str(asset.get("type") or _OCTETS),
        size=int(size),
        sha256=checksum[4:],
        modified=modified,
    )


def _edition(service: Service, name: str) -> Edition:
    found = service.shelf.find(name)
    if found is None:
        known = ", ".join([each.id for each in service.shelf.all()][:20])
        raise not_found("edition", name, f"there is: {known}" if known else "none is published yet")
    return found


def _record(service: Service, request: Request, edition: Edition) -> Record:
    run = json.loads(service.store.get(f"{edition.prefix}/run.json"))
    return record_of(edition, run, base_url=service.base_url(request), publisher=service.settings.publisher)


def _html(request: Request, f: str | None) -> bool:
    return format_for(f, request.headers.get("accept"), JSON_OR_HTML).name == "html"


def _json(document: dict[str, Any]) -> Response:
    return JSONResponse(document, headers={"Vary": "Accept", "Cache-Control": "no-cache"})
