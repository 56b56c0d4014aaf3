"""The description of the API as OpenAPI 3.0, which OGC API clients and validators read.

FastAPI writes OpenAPI 3.1; its JSON Schema is put into the words of 3.0 here (https://spec.openapis.org/oas/v3.0.3).
"""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI

from talik_api.features import ask
from talik_api.responses import OPENAPI, WITHOUT_KEY, responses_of
from talik_api.schemas import SCHEMAS
from talik_api.stac import asked

MEDIA_TYPE = OPENAPI
_NUMBERS = {"type": "array", "items": {"type": "number"}}
_BBOX: dict[str, Any] = {
    "schema": {**_NUMBERS, "oneOf": [{"minItems": 4, "maxItems": 4}, {"minItems": 6, "maxItems": 6}]},
    "style": "form",
    "explode": False,
}
"""As OGC API Features Part 1 writes it (requirement fc-bbox-definition); the routes read it as text."""
_LIMITS = {
    "Features.items": ask.DEFAULT_LIMIT,
    "STAC.items": asked.DEFAULT_LIMIT,
    "STAC.search_by_url": asked.DEFAULT_LIMIT,
}
"""Operation -> `limit` where none is given, which depends on more than the routes could tell FastAPI: its None wins."""


def described(app: FastAPI, base_url: str) -> dict[str, Any]:
    """The OpenAPI 3.0 document of an application at an address."""
    made = getattr(app.state, "openapi_document", None)
    if made is None:
        made = app.state.openapi_document = _document(app.openapi())
    return {**made, "servers": [{"url": base_url}]}


def _document(source: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = lowered(copy.deepcopy(source))
    document["openapi"] = "3.0.3"
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(copy.deepcopy(SCHEMAS))
    for address, path in document["paths"].items():
        for operation in path.values():
            operation["responses"] = copy.deepcopy(dict(responses_of(operation["operationId"], address)))
            if operation["operationId"] in WITHOUT_KEY:
                operation["security"] = [*operation["security"], {}]
            operation["parameters"] = [_parameter(each) for each in operation.get("parameters", ())]
            for parameter in operation["parameters"]:
                if parameter["name"] == "limit" and operation["operationId"] in _LIMITS:
                    parameter["schema"]["default"] = _LIMITS[operation["operationId"]]
    return document


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter of a URL is there or not, never null."""
    if parameter["name"] == "bbox":
        return {**parameter, **copy.deepcopy(_BBOX)}
    schema = {key: value for key, value in parameter["schema"].items() if key != "nullable"}
    if "enum" in schema:
        schema["enum"] = [each for each in schema["enum"] if each is not None]
    # OGC API Features writes both out for each of its parameters, and its validator looks for them.
    style = {"style": "form", "explode": False} if parameter["in"] == "query" else {}
    return {**parameter, "schema": schema, **style}


def lowered(value: Any) -> Any:
    """A schema of JSON Schema 2020-12 in the words of OpenAPI 3.0."""
    if isinstance(value, list):
        return [lowered(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: lowered(each) for key, each in value.items()}
    for step in (_nullable, _constant, _exclusive, _tuple, _foreign):
        found = step(found)
    return found


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """anyOf [X, null] -> X that is nullable; in 3.0.3 `nullable` counts beside `type` alone, and not beside $ref."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return schema
    kept = [each for each in choices if each != {"type": "null"}]
    rest = {key: each for key, each in schema.items() if key != "anyOf"}
    if len(kept) == 1 and "$ref" not in kept[0]:
        return _with_null({**kept[0], **rest, "nullable": True})
    return {
        "anyOf": [_with_null({**each, "nullable": True}) if "type" in each else each for each in kept]
        + ([] if any("type" in each for each in kept) else [{"type": "object", "nullable": True, "enum": [None]}]),
        **rest,
    }


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An enumeration that may be null names null."""
    if "enum" in schema and None not in schema["enum"]:
        return {**schema, "enum": [*schema["enum"], None]}
    return schema


def _constant(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" in schema and "properties" not in schema:
        return {**{key: each for key, each in schema.items() if key != "const"}, "enum": [schema["const"]]}
    return schema


def _exclusive(schema: dict[str, Any]) -> dict[str, Any]:
    for side, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        number = schema.get(side)
        if isinstance(number, int | float) and not isinstance(number, bool):
            schema = {**schema, limit: number, side: True}
    return schema


def _tuple(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("prefixItems"), list):
        return {
            **{key: each for key, each in schema.items() if key != "prefixItems"},
            "items": schema["prefixItems"][0],
        }
    return schema


def _foreign(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out words that 3.0 does not know."""
    return {key: each for key, each in schema.items() if key not in ("contentMediaType", "propertyNames")}
