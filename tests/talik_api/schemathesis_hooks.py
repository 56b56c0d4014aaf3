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
    base = raw_schema["servers"][0]["url"]
    names = _names(base)
    _with_inputs(raw_schema, _inputs(base))
    for path, operation, parameter in _parameters(raw_schema):
        if operation["operationId"] in CLAMPED and parameter["name"] == "limit":
            del parameter["schema"]["maximum"]
        known = names.get(_family(path), {}).get(parameter["name"])
        if parameter["in"] == "path" and known:
            parameter["example"] = known[0]
            parameter["schema"] = {"anyOf": [{"enum": known}, parameter["schema"]]}


def _with_inputs(description: dict[str, Any], inputs: list[dict[str, Any]]) -> None:
    """Inputs and outputs that there are, among any others; the first go with the first process."""
    given = description["components"]["schemas"]["Execute"]["properties"]
    given["inputs"] = {"anyOf": [{"enum": inputs}, given["inputs"]]}
    given["outputs"] = {"anyOf": [{"enum": [{"summary": {}}]}, given["outputs"]]}
    execution = description["paths"]["/processes/{processId}/execution"]["post"]
    execution["requestBody"]["content"]["application/json"]["example"] = {"inputs": inputs[0]}


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


def _inputs(base: str) -> list[dict[str, Any]]:
    """Inputs that the processes take; those of map-landform map again what an edition of indexed imagery shows."""
    editions = _get(f"{base}/editions")["editions"]
    first, last = editions[0], editions[-1]
    taken: list[dict[str, Any]] = [
        {"collection": last["id"]},
        {"collection": last["id"], "area": last["bbox"], "filter": "area_m2 > 1000"},
        {"a": first["id"], "b": last["id"]},
    ]
    imagery = [each for each in _items(base)["collectionId"] if not each.startswith("inventories-")]
    if imagery:
        year = last["season"][0][:4]
        west, south, _, _ = last["bbox"]
        small = [west, south, round(west + 0.02, 4), round(south + 0.01, 4)]
        taken.append({"landform": last["landform"], "season": year, "area": small, "collection": imagery[0]})
    return taken


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
