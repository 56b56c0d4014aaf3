"""`talik serve`: the service on this machine."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from typing import Annotated

import typer

from talik_api.settings import ApiSettings

_M_ARENA_MAX = -8  # malloc.h of glibc

app = typer.Typer(help="Serve the editions and the imagery over HTTP.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    store: Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Believe X-Forwarded-Proto and -For of the proxy on this machine.")
    ] = False,
    root_path: Annotated[str, typer.Option(help="Path under which a proxy shows the service.")] = "",
) -> None:
    """Serve the editions and the imagery over HTTP until Ctrl-C; running jobs stop and go on at the next start."""
    import uvicorn

    from talik_api.app import create_app

    _spare_memory()
    settings = ApiSettings(store=store) if store else ApiSettings()
    application = create_app(settings)
    _calm_collector()
    _log_requests()
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="info",
        access_log=False,  # ours is one JSON line a request
        proxy_headers=behind_proxy,
        root_path=root_path,
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    uvicorn.Server(config).run()


def _spare_memory() -> None:
    """Let one allocator with few arenas serve Arrow and Python, so that what one thread freed another may use.

    Arrow's own pool keeps what it freed, and glibc takes up to eight arenas a core.
    """
    import ctypes

    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _calm_collector() -> None:
    """Collect garbage seldom: answers are thousands of short-lived objects without cycles.

    Walking all that was imported, again and again, made the slowest of a hundred answers take 126 ms, not 50.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _log_requests() -> None:
    """One JSON line a request on standard output, as it is."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("talik_api.access")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
