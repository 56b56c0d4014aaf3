"""Who asks: what routes that write depend on."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer

from talik_api.access import Principal, authenticate, require
from talik_api.service import Served, Service

JOBS = "jobs"
"""The scope that submitting, listing and dismissing jobs needs; every API key has it."""
# Only told to the OpenAPI document: `authenticate` reads the headers itself.
_key = APIKeyHeader(name="X-API-Key", auto_error=False, description="A key made by `talik key new`.")
_bearer = HTTPBearer(auto_error=False, description="A key, or a token of the configured issuer.")
DOCUMENTED = [Depends(_key), Depends(_bearer)]
"""Dependencies that tell clients which credentials a route takes."""


def asking(request: Request, service: Service) -> Principal:
    """Who asks and may submit jobs. Raises AccessError 401, ForbiddenError 403."""
    principal = authenticate(request.headers, service.access)
    request.scope.setdefault("state", {})["principal"] = principal
    return require(principal, JOBS)


def _submitter(request: Request, service: Served) -> Principal:
    return asking(request, service)


Submitter = Annotated[Principal, Depends(_submitter)]
