"""What schemathesis is told beside the description of the API: names that exist, so that paths lead to something."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import schemathesis

CLAMPED = ("Features.items", "STAC.items", "STAC.search_by_url")
"""Operations whose `limit` has a maximum that is no rule: a larger limit is taken for it, as OGC 17-069r4 asks
(/req/core/fc-limit-response-1 and its permission); the description states it for clients, which read it."""


@schemathesis.hook
def before_load_schema(_: Any, raw_schema: dict[str, Any]) -> None:
    """Change the description for this run: names that exist, and no maximum of `limit` where it is clamped."""
    names = _names(raw_schema["servers"][0]["url"])
    for path, operation, parameter in _parameters(raw_schema):
        if operation["operationId"] in CLAMPED and parameter["name"] == "limit":
            del parameter["schema"]["maximum"]
        known = names.get(_family(path), {}).get(parameter["name"])
        if parameter["in"] == "path" and known:
            parameter["example"] = known[0]
            parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}


def _parameters(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for path, operations in description["paths"].items():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                yield path, operation, parameter


def _family(path: str) -> str:
    return path.split("/")[1]


def _names(base: str) -> dict[str, dict[str, list[Any]]]:
    """The first part of a path -> parameter -> values that exist."""
    found = _vectors(base)
    found["stac"] = _items(base)
    imagery = [each for each in found["stac"]["collectionId"] if not each.startswith("inventories-")]
    if imagery:
        item = _get(f"{base}/stac/collections/{quote(imagery[0])}/items?limit=1")["features"][0]["id"]
        found["imagery"] = {"imageryId": imagery[:1], "itemId": [item]}
        found["imagery"] |= _tile(f"{base}/imagery/{quote(imagery[0])}/{quote(item)}/tiles/WebMercatorQuad")
    return found


def _vectors(base: str) -> dict[str, dict[str, list[Any]]]:
    """Names of the collections, their features and their editions."""
    edition = _get(f"{base}/editions")["editions"][-1]["id"]
    features = _get(f"{base}/collections/{edition}/items?limit=2")["features"]
    maps = _get(f"{base}/editions/{edition}/map/tiles/WebMercatorQuad")
    vectors = _tile(f"{base}/collections/{edition}/tiles/WebMercatorQuad")
    return {
        "collections": {"collectionId": [edition], "featureId": [each["id"] for each in features], **vectors},
        "editions": {
            "editionId": [edition],
            "edition": [edition],
            "name": ["inventory.parquet", "run.json"],
            **(_tile(f"{base}/editions/{edition}/map/tiles/WebMercatorQuad") if "links" in maps else {}),
        },
        "processes": {"processId": [each["id"] for each in _get(f"{base}/processes")["processes"]]},
    }


def _items(base: str) -> dict[str, list[Any]]:
    """Of the last collection of the STAC API, which holds imagery where there is any."""
    collection = _get(f"{base}/stac/collections")["collections"][-1]["id"]
    item = _get(f"{base}/stac/collections/{quote(collection)}/items?limit=1")["features"][0]
    return {"collectionId": [collection], "itemId": [item["id"]], "assetKey": sorted(item["assets"])[:2]}


def _tile(address: str) -> dict[str, list[Any]]:
    """A tile that its tileset has."""
    limits = _get(address)["tileMatrixSetLimits"][-1]
    return {
        "tileMatrix": [int(limits["tileMatrix"])],
        "tileRow": [limits["minTileRow"]],
        "tileCol": [limits["minTileCol"]],
    }


def _get(address: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError:
        return {}
