"""The description of the API for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from talik_api.openapi import described
from talik_api.pages.render import render
from talik_api.service import Service

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    place: str
    """path, query or header."""
    required: bool
    kind: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    anchor: str
    method: str
    path: str
    href: str | None
    """Where anyone can look at it: GET without a parameter in its path, without a key."""
    summary: str
    parameters: tuple[Parameter, ...]
    media_types: tuple[str, ...]
    secured: bool
    """Whether it may ask for a key."""


def api_page(service: Service, request: Request) -> Response:
    """Paths, methods and parameters, by family."""
    base = service.base_url(request)
    document = described(request.app, base)
    families: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method in (each for each in _METHODS if each in methods):
            operation = methods[method]
            family = (operation.get("tags") or ["Other"])[0]
            families.setdefault(family, []).append(_operation(base, path, method, operation))
    return render(service, request, "api.html", info=document["info"], families=families)


def _operation(base: str, path: str, method: str, operation: Mapping[str, Any]) -> Operation:
    answers = operation.get("responses", {}).get("200", {}).get("content", {})
    secured = bool(operation.get("security"))
    said = str(operation.get("description") or operation.get("summary", ""))
    return Operation(
        anchor=str(operation.get("operationId") or f"{method}{path}"),
        method=method.upper(),
        path=path,
        href=f"{base}{path}" if method == "get" and "{" not in path and not secured else None,
        summary=said,
        parameters=tuple(_parameter(each) for each in operation.get("parameters", ())),
        media_types=tuple(answers),
        secured=secured,
    )


def _parameter(said: Mapping[str, Any]) -> Parameter:
    schema = said.get("schema", {})
    return Parameter(
        name=str(said.get("name", "")),
        place=str(said.get("in", "")),
        required=bool(said.get("required")),
        kind=_kind(schema),
        description=str(said.get("description") or schema.get("description") or ""),
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """The type, and what values there are."""
    values = schema.get("enum")
    if isinstance(values, list):
        return " | ".join(map(str, values))
    return str(schema.get("type", ""))
