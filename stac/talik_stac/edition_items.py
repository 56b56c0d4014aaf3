"""The STAC documents of editions: an item for each, a collection for each landform."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from shapely.geometry import mapping

if TYPE_CHECKING:
    from talik_stac.editions import EditionDraft, EditionId

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROCESSING_EXTENSION = "https://stac-extensions.github.io/processing/v1.2.0/schema.json"
_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".fgb": "application/vnd.flatgeobuf",
    ".tif": str(pystac.MediaType.COG),
    ".json": str(pystac.MediaType.JSON),
}
_TITLES = {
    "inventory.parquet": "Inventory as GeoParquet",
    "inventory.fgb": "Inventory as FlatGeobuf",
    "observed.parquet": "Ground that was seen, as GeoParquet",
    "run.json": "Record of the run",
}


def media_type(name: str) -> str | None:
    """The media type of a file by its ending."""
    return _TYPES.get(Path(name).suffix)


def item_document(
    edition: EditionId, draft: EditionDraft, files: dict[str, Path], run: bytes, *, before: str | None
) -> dict[str, Any]:
    """Describe an edition; links and hrefs are relative, so that the store can be moved.

    `before` is the last published version of the same area and season.
    """
    assets = {_asset_key(name): _asset(name, *_sum(path)) for name, path in files.items()}
    assets["run"] = _asset("run.json", len(run), hashlib.sha256(run).hexdigest())
    item = pystac.Item(
        id=str(edition),
        geometry=mapping(draft.footprint),
        bbox=_bbox(draft.footprint.bounds),
        datetime=None,
        start_datetime=datetime.combine(draft.season_start, time.min, UTC),
        end_datetime=datetime.combine(draft.season_end, time(23, 59, 59), UTC),
        collection=edition.landform,
        properties={
            "title": f"{edition.landform}, {edition.area}, {edition.season}, version {edition.version}",
            # Here and not in run.json: two runs that publish at once write the same files, and one of them the item.
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "license": draft.licence,
            "processing:software": draft.run.get("versions", {}),
            "talik:landform": edition.landform,
            "talik:area": edition.area,
            "talik:version": edition.version,
            "talik:count": draft.summary.count,
            "talik:area_m2": draft.summary.area_m2,
            "talik:model": draft.model,
            "talik:configuration": draft.configuration,
            **({"talik:attributes": list(draft.summary.attributes)} if draft.summary.attributes else {}),
        },
        stac_extensions=[FILE_EXTENSION, PROCESSING_EXTENSION],
        assets=assets,
    )
    document: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    document["collection"] = edition.landform
    document["links"] = _links(before)
    return document


def collection_document(landform: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Describe all editions of a landform."""
    boxes = [item["bbox"] for item in items]
    starts = [item["properties"]["start_datetime"] for item in items]
    ends = [item["properties"]["end_datetime"] for item in items]
    whole = [
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    ]
    licences = {item["properties"]["license"] for item in items}
    return {
        "type": "Collection",
        "stac_version": pystac.get_stac_version(),
        "id": landform,
        "title": f"Inventories of {landform}",
        "description": f"Editions of the inventory of {landform}, one for each area, season and version.",
        "license": licences.pop() if len(licences) == 1 else "other",
        "extent": {"spatial": {"bbox": [whole]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../../catalog.json", "type": "application/json"},
            *(
                {"rel": "item", "href": f"./{item['id']}/item.json", "type": "application/geo+json"}
                for item in sorted(items, key=lambda item: str(item["id"]))
            ),
        ],
    }


def _links(before: str | None) -> list[dict[str, str]]:
    links = [
        {"rel": "root", "href": "../../../catalog.json", "type": "application/json"},
        {"rel": "parent", "href": "../collection.json", "type": "application/json"},
        {"rel": "collection", "href": "../collection.json", "type": "application/json"},
    ]
    if before is not None:
        links.append({"rel": "predecessor-version", "href": f"../{before}/item.json", "type": "application/geo+json"})
    return links


def _asset_key(name: str) -> str:
    """inventory.parquet -> inventory-parquet, probability/epsg-32633-3-4.tif -> probability-epsg-32633-3-4."""
    if name.startswith("probability/"):
        return f"probability-{Path(name).stem}"
    return name.replace(".", "-").removesuffix("-json")


def _asset(name: str, size: int, sha256: str) -> pystac.Asset:
    roles = ["metadata"] if name == "run.json" else ["data"]
    title = _TITLES.get(name, "Probability 0-250, 255 not seen")
    # A multihash: 12 says SHA-256, 20 its 32 bytes.
    fields = {"file:size": size, "file:checksum": f"1220{sha256}"}
    return pystac.Asset(href=f"./{name}", media_type=media_type(name), title=title, roles=roles, extra_fields=fields)


def _sum(path: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _bbox(bounds: tuple[float, float, float, float]) -> list[float]:
    return [float(side) for side in bounds]
