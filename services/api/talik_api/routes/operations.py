"""For operators: whether the service is well, and what it counted."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from talik_api.observe import METRICS_TYPE, metrics_text
from talik_api.service import Served

router = APIRouter(tags=["Operations"])


@router.get("/health")
def health(service: Served) -> Response:
    """200 where the store answers, 503 where it does not."""
    service.store.exists("catalog.json")
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request) -> Response:
    """Requests, times and bytes in Prometheus' text format."""
    text = metrics_text(request.app.state.metrics.registry)
    return Response(text, headers={"Cache-Control": "no-store", "Content-Type": METRICS_TYPE})
