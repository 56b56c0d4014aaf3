"""The application: settings, store, routes, errors, and what stands before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from anyio import to_thread
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from talik_api import problems
from talik_api.head import HeadRequests
from talik_api.headers import CORS, RequestLimits, SecurityHeaders
from talik_api.observe import Metrics, Observe
from talik_api.routes import downloads, features, landing, operations, pictures, processes, stac, tiles
from talik_api.service import Service, make_service
from talik_api.settings import ApiSettings
from talik_api.strict import only_known

_PACKED = ("application/vnd.apache.parquet", "application/geopackage+sqlite3", "application/flatgeobuf",
           "application/vnd.flatgeobuf", "application/octet-stream", "image/tiff")  # fmt: skip
"""Answers that are compressed already, or whose bytes are counted by range requests."""


def create_app(settings: ApiSettings | None = None, *, on_lambda: bool = False) -> FastAPI:
    """Build the service. Nothing is read from the store before the first request, but what jobs were left over."""
    settings = settings or ApiSettings()
    service = make_service(settings, on_lambda=on_lambda)
    app = FastAPI(
        title=settings.title,
        version=_version(),
        description="Inventories of periglacial landforms: OGC API Features, STAC API, Processes, Tiles and downloads.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(service),
        dependencies=[Depends(only_known)],
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.service = service
    app.state.metrics = Metrics()
    for family in (landing, features, tiles, pictures, downloads, processes, stac, operations):
        app.include_router(family.router)
    problems.install(app)
    _put_before(app, settings)
    return app


def _put_before(app: FastAPI, settings: ApiSettings) -> None:
    """What each request passes on its way in; the last that is added is the first that it meets."""
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1000,
        compresslevel=4,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *_PACKED),
    )
    app.add_middleware(HeadRequests)
    app.add_middleware(RequestLimits, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(CORSMiddleware, **{**CORS, "allow_origins": list(settings.cors_origins)})
    app.add_middleware(SecurityHeaders, https=(settings.base_url or "").startswith("https:"))
    app.add_middleware(Observe, metrics=app.state.metrics)


def _lifespan(service: Service) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if service.executor is not None:
            service.executor.recover()
        yield
        if service.executor is not None:
            await to_thread.run_sync(service.executor.shutdown)

    return lifespan


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}.{route.name}" if route.tags else route.name


def _version() -> str:
    try:
        return version("talik")
    except PackageNotFoundError:
        return "0"
