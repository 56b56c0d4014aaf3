"""Who runs the jobs that the service accepts. Local: processes on this machine, each a `talik work JOB`."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from talik_stac.errors import TalikError
from talik_stac.jobs import LEASE_S, claim_attempt, open_ids, report_stopped, standing
from talik_stac.store import open_store

logger = logging.getLogger(__name__)

_POLL_S = 0.2
_SHUTDOWN_S = 15.0
"""How long workers may take to give their jobs back; they promise less (`talik_inference.commands.work`)."""
_TALIK = (sys.executable, "-m", "talik_stac.cli")
_NEEDED = ("talik_inference", "onnxruntime")


class JobExecutor(Protocol):
    """Sees to it that accepted jobs are run. The jobs themselves lie in the store (`talik_stac.jobs`)."""

    def start(self, job_id: str) -> None:
        """See to it that the job is run, at once or when its turn comes; returns before it is."""

    def stop(self, job_id: str) -> None:
        """Make a dismissed job's worker end soon; nothing happens where there is none here."""

    def available(self) -> str | None:
        """Why no job can be run here; None where they can."""

    def recover(self) -> None:
        """Take up the jobs that wait in the store and those whose worker died; call it when the server starts."""

    def shutdown(self) -> None:
        """Stop. Workers give their jobs back, so that the next server goes on with them."""


@dataclass(frozen=True, kw_only=True)
class _Child:
    job_id: str
    worker: str
    """The name it holds the job under."""
    process: subprocess.Popen[bytes]


class LocalExecutor:
    """Runs jobs as processes of this machine, `max_running` at a time, the oldest first.

    Several servers may share a store: each starts what it finds waiting, and the claim decides who runs it. A worker
    ends when its server is gone, having given its job back.
    """

    def __init__(
        self,
        store_root: str,
        *,
        max_running: int = 1,
        command: Sequence[str] = _TALIK,
        options: Sequence[str] = (),
        lease_s: float = LEASE_S,
    ) -> None:
        """`options` are handed to `talik work`, such as --workers 4; all executors on a store share one lease."""
        self._store = open_store(store_root)  # reads nothing
        self._max_running, self._lease_s = max_running, lease_s
        self._command, self._options = tuple(command), tuple(options)
        self._waiting: set[str] = set()
        self._children: list[_Child] = []
        self._lock = threading.Lock()
        """Held for moments only, never while the store is read."""
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._monitor: threading.Thread | None = None
        self._scanned = -1e9

    def start(self, job_id: str) -> None:
        """Queue a job."""
        with self._lock:
            self._waiting.add(job_id)
        self._watch()

    def stop(self, job_id: str) -> None:
        """Take a job off the queue and end its worker, which looks first whether the job was dismissed."""
        with self._lock:
            self._waiting.discard(job_id)
            children = [child for child in self._children if child.job_id == job_id]
        for child in children:
            _terminate(child)

    def available(self) -> str | None:
        """Why no job can be run here: what maps is not installed."""
        missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
        if not missing:
            return None
        return f"this server cannot map: {missing[0]} is not installed (pip install 'talik[inference]')"

    def recover(self) -> None:
        """Look at once, and from then on every quarter of a lease, for jobs that nobody runs."""
        self._scanned = -1e9
        self._watch()

    def shutdown(self) -> None:
        """Stop watching, ask the workers to give their jobs back, kill those that do not. Takes up to 20 seconds."""
        self._closed.set()
        self._wake.set()
        monitor = self._monitor
        if monitor is not None:
            monitor.join(timeout=_SHUTDOWN_S)
        with self._lock:
            children, self._children = self._children, []
        for child in children:
            _terminate(child)
        until = time.monotonic() + _SHUTDOWN_S
        for child in children:
            try:
                child.process.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()

    def _watch(self) -> None:
        """Start the monitor with the first job, not with the server: it runs only where there are jobs."""
        with self._lock:
            if self._monitor is None and not self._closed.is_set():
                self._monitor = threading.Thread(target=self._run, name="jobs", daemon=True)
                self._monitor.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait(_POLL_S if self._children else 1.0)
            self._wake.clear()
            for step in (self._reap, self._scan, self._fill):
                try:
                    step()
                except TalikError as error:  # the store does not answer, or a job's documents are damaged
                    logger.warning("jobs: %s", error)
                except Exception:
                    logger.exception("jobs: the monitor goes on")

    def _reap(self) -> None:
        """Look after workers that ended: a job that has no outcome waits again."""
        for child in [child for child in self._children if child.process.poll() is not None]:
            with self._lock:
                self._children.remove(child)
            if self._look_after(child):
                with self._lock:
                    self._waiting.add(child.job_id)

    def _look_after(self, child: _Child) -> bool:
        """Whether the job waits. A worker that died counts as an attempt, even where it did not come to claim it."""
        store, code = self._store, child.process.returncode
        if code == 0 or standing(store, child.job_id, lease_s=self._lease_s) == "finished":
            return False
        if code not in (_UNFINISHED, -signal.SIGTERM):  # the latter: asked to stop before it had begun
            logger.warning("the worker of job %s ended with code %s", child.job_id, code)
            if not report_stopped(store, child.job_id, child.worker):
                claim_attempt(store, child.job_id, child.worker, lease_s=self._lease_s)
                report_stopped(store, child.job_id, child.worker)
        return standing(store, child.job_id, lease_s=self._lease_s) == "free"

    def _scan(self) -> None:
        """Queue what nobody runs: accepted jobs, and those whose worker was silent for a lease."""
        now = time.monotonic()
        if now - self._scanned < self._lease_s / 4:
            return
        self._scanned = now
        with self._lock:
            known = self._waiting | {child.job_id for child in self._children}
        for job_id in open_ids(self._store):
            if job_id not in known and self._is_free(job_id):
                with self._lock:
                    self._waiting.add(job_id)

    def _fill(self) -> None:
        """Start workers for the oldest waiting jobs while there is room."""
        while len(self._children) < self._max_running and not self._closed.is_set():
            with self._lock:
                job_id = min(self._waiting, default=None)
                self._waiting.discard(job_id or "")
            if job_id is None:
                return
            if self._is_free(job_id):
                self._spawn(job_id)

    def _is_free(self, job_id: str) -> bool:
        """Whether the job may be claimed; one whose documents are damaged is left alone."""
        try:
            return standing(self._store, job_id, lease_s=self._lease_s) == "free"
        except TalikError as error:
            logger.warning("job %s: %s", job_id, error)
            return False

    def _spawn(self, job_id: str) -> None:
        worker = f"{socket.gethostname()}-{secrets.token_hex(8)}"
        held = ["--worker", worker, "--parent", str(os.getpid()), "--lease", str(self._lease_s)]
        command = [*self._command, "work", job_id, "--store", self._store.root, *held, *self._options]
        # A session of its own: Ctrl-C at the server's terminal reaches the server, which ends its workers in order.
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        with self._lock:
            self._children.append(_Child(job_id=job_id, worker=worker, process=process))


_UNFINISHED = 3
"""The exit code of a worker that gave its job back (`talik work --help`)."""


def _terminate(child: _Child) -> None:
    if child.process.poll() is None:
        child.process.send_signal(signal.SIGTERM)
