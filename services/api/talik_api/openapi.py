"""The description of the API as OpenAPI 3.0, which OGC API clients and validators read.

FastAPI writes OpenAPI 3.1; its JSON Schema is put into the words of 3.0 here (https://spec.openapis.org/oas/v3.0.3).
"""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI

MEDIA_TYPE = "application/vnd.oai.openapi+json;version=3.0"
_PROBLEM = {
    "description": "A problem (RFC 9457).",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "incident": {"type": "string", "description": "Tell the operator this number."},
    },
}
_ANY_ERROR = ("400", "404", "406", "413", "414")


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
    schemas["Problem"] = _PROBLEM_SCHEMA
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            responses.pop("422", None)
            for status in _ANY_ERROR:
                responses.setdefault(status, _PROBLEM)
            responses.setdefault("default", _PROBLEM)
    return document


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
    """anyOf [X, null] -> X that is nullable."""
    choices = schema.get("anyOf")
    if not isinstance(choices, list) or {"type": "null"} not in choices:
        return schema
    kept = [each for each in choices if each != {"type": "null"}]
    rest = {key: each for key, each in schema.items() if key != "anyOf"}
    if len(kept) == 1 and "$ref" not in kept[0]:
        return {**kept[0], **rest, "nullable": True}
    return {"anyOf": kept, **rest, "nullable": True}


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
