"""Executors: who runs the blocks of a plan. Same plan, same blocks, same bytes."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from talik_inference.blocks import BlockDone, Job, run_block
from talik_inference.plan import Block
from talik_stac.errors import ExecutorError


class Executor(Protocol):
    """Runs blocks in any order; yields each as it is done; raises the first failure."""

    @property
    def threads(self) -> int:
        """Threads that one inference may use."""

    @property
    def workers(self) -> int:
        """Blocks that are mapped at the same time."""

    def run(self, job: Job, blocks: Sequence[Block]) -> Iterator[BlockDone]:
        """Map the blocks. After an error no further block is started."""


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """This process: each thread takes a block from reading to writing, all share one session.

    Inferences of one thread each side by side give 10 % more than one inference of all threads (measured on two
    cores, docs/benchmarks.md), and one thread's reading and writing hides behind the other's inference.
    """

    workers: int
    threads: int = 1

    def run(self, job: Job, blocks: Sequence[Block]) -> Iterator[BlockDone]:
        with ThreadPoolExecutor(self.workers, thread_name_prefix="block") as pool:
            yield from _drain({pool.submit(run_block, job, block) for block in blocks})


@dataclass(frozen=True, kw_only=True)
class ProcessPool:
    """Several processes on this machine, each with its own session and one block at a time."""

    workers: int
    threads: int = 1

    def run(self, job: Job, blocks: Sequence[Block]) -> Iterator[BlockDone]:
        context = multiprocessing.get_context("spawn")  # fork and the threads of ONNX Runtime do not go together
        with ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_start_worker, initargs=(job, os.getpid())
        ) as pool:
            try:
                yield from _drain({pool.submit(_run_in_worker, block) for block in blocks})
            except BrokenProcessPool as error:
                raise ExecutorError(
                    "a worker process was killed (out of memory?); the same command goes on where it stopped, "
                    "fewer --workers or smaller --block need less memory"
                ) from error


@dataclass(frozen=True, kw_only=True)
class Dask:
    """A dask.distributed cluster: a scheduler's address, or `local` for one of its own with `workers` processes.

    Workers need the same version of Talik, and reach the store and the imagery under the same names.
    """

    address: str = "local"
    workers: int = 2
    threads: int = 1

    def run(self, job: Job, blocks: Sequence[Block]) -> Iterator[BlockDone]:
        from distributed import as_completed as completed

        logging.getLogger("distributed").setLevel(logging.ERROR)  # its INFO is not for who maps lakes

        with _dask_client(self) as client:
            shared = client.scatter(job, broadcast=True)
            futures = [
                client.submit(run_block, shared, block, key=f"{job.configuration}-{block.id}", pure=False)
                for block in blocks
            ]
            try:
                for future in completed(futures):
                    yield future.result()
            finally:
                client.cancel(futures)


def executor(name: str, *, workers: int) -> Executor:
    """Make an executor: `threads`, `processes`, `dask` (a local cluster) or `dask=tcp://host:port`."""
    kind, _, address = name.partition("=")
    if kind == "threads":
        return InProcess(workers=workers)
    if kind == "processes":
        return ProcessPool(workers=workers)
    if kind == "dask":
        return Dask(address=address or "local", workers=workers)
    raise ExecutorError(f"no executor '{name}'; there is: threads, processes, dask, dask=tcp://host:port")


def _drain(futures: set[Future[BlockDone]]) -> Iterator[BlockDone]:
    """Yield results as they come; on the first failure start nothing more."""
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


_job: Job | None = None
"""The run that this worker process serves; set once, before its first block."""


def _start_worker(job: Job, parent: int) -> None:
    global _job  # noqa: PLW0603 - a pool hands its initializer no other place
    _job = job
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _run_in_worker(block: Block) -> BlockDone:
    if _job is None:
        raise ExecutorError("worker without a job")
    return run_block(_job, block)


def _die_with(parent: int) -> None:
    """End this worker when its parent is gone: after kill -9 nobody else would."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _dask_client(settings: Dask) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ExecutorError("dask.distributed is not installed: pip install 'talik[dask]'") from error
    if settings.address == "local":
        with (
            LocalCluster(
                n_workers=settings.workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.ERROR,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(settings.address, timeout="10s")
    except (OSError, TimeoutError, ValueError) as error:
        raise ExecutorError(f"no dask scheduler answers at {settings.address}: {error}") from error
    with client:
        yield client
