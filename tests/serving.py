"""The service on a real port, for clients that speak HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port of 127.0.0.1; yields its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class ServerProcess:
    """`talik serve` as a process of its own, which can be killed; keywords are environment variables."""

    def __init__(self, store_root: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._command = [sys.executable, "-m", "talik_stac.cli", "serve", "--port", str(self._port)]
        self._environment = {**os.environ, "TALIK_LOCAL_JOBS": "0", "TALIK_STORE": store_root, **environment}

    def __enter__(self) -> ServerProcess:
        self.process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_for(self._port, self.process)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        finally:
            self.process.kill()


@contextmanager
def serving_process(store_root: str, **environment: str) -> Iterator[str]:
    """Run `talik serve` as a process of its own: GDAL waits for answers with Python's lock held."""
    with ServerProcess(store_root, **environment) as server:
        yield server.address


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"talik serve did not start (exit {process.poll()})")
