"""Which answers each operation gives: status, media types, schema; by the id of the operation.

Written here and not beside the routes, so that one rule is written once and the routes stay short.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talik_api.formats import FORMATS
from talik_api.metadata import METADATA
from talik_api.schemas import ref

Responses = dict[str, dict[str, Any]]

OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
_JSON, _HTML, _GEOJSON, _SCHEMA = "application/json", "text/html", "application/geo+json", "application/schema+json"
_BYTES: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
WITHOUT_KEY = frozenset(["Processes.execute"])
"""Operations that take a key and do without one: map-landform alone needs it."""
_ALWAYS = ("400", "414", "500", "503")
"""Statuses that any address may answer: a parameter that there is not, a long address, a fault, a silent store."""
_SAID = {
    "304": "The client holds this answer (If-None-Match).",
    "400": "A parameter or the body is not valid.",
    "401": "A key or a token is needed.",
    "403": "This is not allowed.",
    "404": "There is no such thing.",
    "406": "No format suits the Accept header.",
    "409": "It is not in a state for this.",
    "412": "It is another file than If-Match names.",
    "413": "The body or the answer is too large.",
    "414": "The address is too long.",
    "416": "It has no such bytes.",
    "429": "More is asked than is left; see Retry-After.",
    "500": "Something went wrong here; the incident id finds it in the log.",
    "501": "This server does not offer it.",
    "502": "An image cannot be read.",
    "503": "The store or the workers do not answer, or too much is asked at once.",
}


def _ok(said: str, **content: dict[str, Any]) -> dict[str, Any]:
    return {"description": said, "content": content}


def _document(name: str, *, html: bool = False, media_type: str = _JSON) -> Responses:
    """A JSON document of a schema, and the page that shows it."""
    content = {media_type: {"schema": ref(name)}, **({_HTML: _TEXT} if html else {})}
    return {"200": {"description": name, "content": content}}


def _binary(*media_types: str) -> dict[str, Any]:
    return dict.fromkeys(media_types, _BYTES)


def _features(name: str) -> Responses:
    """Features in every format; files that exist are redirected to."""
    files = _binary(*(form.media_type for form in FORMATS.values() if form.media_type != _GEOJSON))
    content = {_GEOJSON: {"schema": ref(name)}, _HTML: _TEXT, **files}
    return {"200": {"description": name, "content": content}}


_FILE: Responses = {
    "200": _ok("The file.", **{_JSON: {}, _GEOJSON: {}, "*/*": _BYTES}),
    "206": _ok("A part of it.", **{"*/*": {}}),
}
_MOVED = {"description": "It lies elsewhere: see Location.", "headers": {"Location": {"schema": {"type": "string"}}}}
_ACCEPTED = {
    "description": "Accepted as a job.",
    "headers": {"Location": {"schema": {"type": "string"}}},
    "content": {_JSON: {"schema": ref("StatusInfo")}},
}
_PICTURE: Responses = {"200": _ok("The picture.", **_binary("image/png", "image/webp"))}
_MOVING: Responses = {"200": _ok("The pictures, in order.", **_binary("image/webp", "image/gif"))}
_METADATA = {
    each.media_type: _TEXT if each.media_type.startswith(("text", "application/x-")) else {}
    for each in METADATA.values()
}
_OK: dict[str, Responses] = {
    "Common.landing": _document("LandingPage", html=True),
    "Common.conformance": _document("ConfClasses", html=True),
    "Common.api": _document("OpenApi", media_type=OPENAPI),
    "Common.api_page": {"200": _ok("A page.", **{_HTML: _TEXT})},
    "Common.collections": _document("Collections", html=True),
    "Common.collection": _document("Collection", html=True),
    "Common.queryables": _document("JsonSchema", media_type=_SCHEMA),
    "Common.schema": _document("JsonSchema", media_type=_SCHEMA),
    "Common.sortables": _document("JsonSchema", media_type=_SCHEMA),
    "Features.items": {**_features("FeatureCollection"), "307": _MOVED},
    "Features.search": {**_features("FeatureCollection"), "307": _MOVED},
    "Features.item": _features("Feature"),
    "Tiles.matrix_sets": _document("TileMatrixSets"),
    "Tiles.matrix_set_document": _document("TileMatrixSet"),
    "Tiles.vector_tilesets": _document("TileSets"),
    "Tiles.vector_tileset": _document("TileSet"),
    "Tiles.vector_tilejson": _document("TileJson"),
    "Tiles.vector_tile": {"200": _ok("The tile.", **_binary("application/vnd.mapbox-vector-tile"))},
    "Tiles.probability_tilesets": _document("TileSets"),
    "Tiles.probability_tileset": _document("TileSet"),
    "Tiles.probability_tilejson": _document("TileJson"),
    "Tiles.probability_tile": _PICTURE,
    "Tiles.image_tileset": _document("TileSet"),
    "Tiles.image_tilejson": _document("TileJson"),
    "Tiles.image_tile": _PICTURE,
    "Pictures.feature_chip": _PICTURE,
    "Pictures.feature_timelapse": _MOVING,
    "Editions.editions": {**_document("Editions", html=True), "303": _MOVED},
    "Editions.edition": _document("Edition", html=True),
    "Editions.file": {**_FILE, "307": _MOVED},
    "Editions.metadata": {"200": _ok("The metadata.", **_METADATA)},
    "Editions.export": {**_FILE, "307": _MOVED},
    "Processes.processes": _document("ProcessList"),
    "Processes.process": _document("Process"),
    "Processes.execute": {**_document("Outputs"), "201": _ACCEPTED},
    "Processes.jobs": _document("JobList"),
    "Processes.job_status": _document("StatusInfo"),
    "Processes.job_dismissal": _document("StatusInfo"),
    "Processes.job_results": _document("Results"),
    "Processes.job_log": {"200": _ok("The log.", **{"text/plain": _TEXT})},
    "STAC.landing": _document("StacCatalog"),
    "STAC.conformance": _document("ConfClasses"),
    "STAC.queryables": _document("JsonSchema", media_type=_SCHEMA),
    "STAC.collections": _document("StacCollections"),
    "STAC.collection": _document("StacCollection"),
    "STAC.collection_queryables": _document("JsonSchema", media_type=_SCHEMA),
    "STAC.items": _document("StacItemCollection", media_type=_GEOJSON),
    "STAC.item": _document("StacItem", media_type=_GEOJSON),
    "STAC.asset": {**_FILE, "302": _MOVED},
    "STAC.search_by_url": _document("StacItemCollection", media_type=_GEOJSON),
    "STAC.search_by_body": _document("StacItemCollection", media_type=_GEOJSON),
    "Operations.health": _document("Health"),
    "Operations.metrics": {"200": _ok("The counters.", **{"text/plain": _TEXT})},
}
_PICTURES_OF = ("Tiles.probability", "Tiles.image", "Pictures.")
_MORE: dict[str, tuple[str, ...]] = {
    "Common.landing": ("406",),
    "Common.conformance": ("406",),
    "Common.collections": ("406",),
    "Common.collection": ("406",),
    "Features.items": ("304", "406", "413"),
    "Features.search": ("304", "406", "413"),
    "Features.item": ("304", "406"),
    "Editions.editions": ("406",),
    "Editions.edition": ("406",),
    "Editions.file": ("304", "412", "413", "416"),
    "Editions.export": ("304", "412", "413", "416"),
    "Editions.metadata": ("304", "409"),
    "Processes.execute": ("401", "403", "404", "413", "429", "501"),
    "Processes.process": ("501",),
    "Processes.jobs": ("401", "403"),
    "Processes.job_dismissal": ("401", "403"),
    "STAC.asset": ("304", "403", "416"),
    "STAC.search_by_body": ("413",),
}
"""Statuses beyond _ALWAYS, and 404 where a path has a parameter."""


def responses_of(operation_id: str, path: str) -> Mapping[str, dict[str, Any]]:
    """The answers of an operation. Raises KeyError for one that is not described here."""
    statuses = {*_ALWAYS, *_MORE.get(operation_id, ())}
    if "{" in path:
        statuses.add("404")
    if operation_id.startswith("Tiles."):
        statuses.add("304")
    if operation_id.startswith(_PICTURES_OF):
        statuses |= {"304", "403", "502"}
    return {**_OK[operation_id], **{status: _problem(status) for status in sorted(statuses)}}


def _problem(status: str) -> dict[str, Any]:
    if status == "304":
        return {"description": _SAID[status]}
    return {"description": _SAID[status], "content": {"application/problem+json": {"schema": ref("Problem")}}}
