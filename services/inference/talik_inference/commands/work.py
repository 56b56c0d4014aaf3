"""`talik work`: run one job of the store, as the service's workers do."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Literal

import typer

from talik_inference.blocks import BlockDone
from talik_inference.executors import InProcess
from talik_inference.gdal import refuse_indirect_files
from talik_inference.pipeline import BLOCK_PX, MapRequest, MapResult, map_landform
from talik_inference.plan import Plan
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_stac.errors import TalikError
from talik_stac.job_log import JobLog
from talik_stac.jobs import (
    LEASE_S,
    PROCESS,
    Attempt,
    JobError,
    Outcome,
    claim_attempt,
    finish,
    heartbeat,
    load_job,
    release,
)
from talik_stac.map_inputs import parse_map_inputs
from talik_stac.settings import Settings
from talik_stac.store import Store, open_store

app = typer.Typer(help="Run one job of the store.")
logger = logging.getLogger(__name__)

DONE, FAULT, REFUSED, UNFINISHED = 0, 1, 2, 3
"""Exit codes: nothing is left to do; a fault of ours; one of the user's or the data's; start the command again."""

_GRACE_S = 5.0
"""How long blocks in work may go on after a stop; then the process ends, which they survive."""


class Stopped(BaseException):
    """The attempt is over. No `Exception`, so that nothing on the way up takes it for a failed read."""


@app.command()
def work(  # noqa: PLR0913, PLR0917  (options of a command)
    job_id: Annotated[str, typer.Argument(help="The id of the job.", metavar="JOB")],
    store: Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; all cores if left out.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Side of a block in pixels; changes memory, never results.")] = (
        BLOCK_PX
    ),
    worker: Annotated[str | None, typer.Option(help="Name to hold the job under, unique.")] = None,
    parent: Annotated[int | None, typer.Option(help="Give the job back when this is no longer the parent.")] = None,
    lease: Annotated[float, typer.Option(min=1, help="Seconds of silence after which a worker is dead.")] = LEASE_S,
    catalogue_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host that a job's catalogue and its files may lie on: example.org, *.example.org, "
            "http://127.0.0.1:9000; once for each. Without any no job may name a catalogue.",
            metavar="HOST",
        ),
    ] = None,
) -> None:
    """Run one job of the store, going on where a worker before it stopped.

    Exits 0 where nothing is left to do, 2 where the job failed, 1 where that is a fault of ours, 3 where the job was
    given back unfinished (SIGTERM, the server gone): the same command goes on.
    """
    settings = Settings()
    opened = open_store(store or settings.store)
    name = worker or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    attempt = claim_attempt(opened, job_id, name, lease_s=lease)
    if attempt is None:
        job = load_job(opened, job_id)
        held = "held by another worker" if job.finished is None else job.status
        typer.echo(f"job {job_id} is {held}: nothing to do", err=True)
        raise typer.Exit(REFUSED if job.status == "failed" else DONE)
    runner = Runner(opened, attempt, lease_s=lease, parent=parent)
    means = Means(
        settings=settings,
        threads=workers or settings.workers or os.cpu_count() or 1,
        block_px=block,
        catalogue_hosts=tuple(catalogue_host or ()),
    )
    raise typer.Exit(runner.run(means))


@dataclass(frozen=True, kw_only=True)
class Means:
    """What this worker runs jobs with; whoever submits them has no say in it."""

    settings: Settings
    threads: int
    block_px: int
    catalogue_hosts: tuple[str, ...]
    """Where a job's catalogue and its files may lie; empty: it may name none."""


@dataclass(kw_only=True)
class Progress:
    """Blocks counted: what the heartbeat tells."""

    message: str = "searching and planning"
    total: int = 0
    done: int = 0
    said: int = -1

    @property
    def percent(self) -> int:
        """0-99: publication is what is left of the last percent."""
        return 99 * self.done // self.total if self.total else 0


class Runner:
    """One attempt at one job: maps in the main thread, keeps the lease in another."""

    def __init__(self, store: Store, attempt: Attempt, *, lease_s: float, parent: int | None) -> None:
        self._store, self._attempt = store, attempt
        self._lease_s, self._parent = lease_s, parent
        self._log = JobLog(store, attempt)
        self._progress = Progress()
        self._furthest = 0
        self._stopping: str | None = None
        self._raised = False
        self._closing = False
        """From here on the main thread writes the outcome and nothing interrupts it."""
        self._code: int | None = None
        self._ending = threading.Lock()
        self._over = threading.Event()

    def run(self, means: Means) -> int:
        """Map, and give the job its outcome; returns the exit code. Only in the main thread."""
        self._log.say(f"attempt {self._attempt.number}, worker {self._attempt.worker}")
        before = signal.getsignal(signal.SIGTERM)
        beating = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beating.start()
        try:
            signal.signal(signal.SIGTERM, self._on_signal)
            return self._map(means)
        except Stopped:
            return self._stopped()
        finally:
            self._over.set()
            beating.join()
            signal.signal(signal.SIGTERM, before)

    def _map(self, means: Means) -> int:
        try:
            request = _request(self._store, self._attempt, means)
            result = map_landform(request, planned=self._planned, progress=self._advance)
        except TalikError as error:
            return self._fail(str(error), REFUSED)
        except Exception:
            incident = secrets.token_hex(4)
            logger.exception("job %s, incident %s", self._attempt.job, incident)
            return self._fail(f"internal error, incident {incident}; tell whoever runs this service", FAULT)
        self._closing = True
        for warning in result.warnings:
            self._log.say(f"warning: {warning}")
        return self._close(_success(result), DONE)

    def _planned(self, plan: Plan) -> None:
        self._progress = Progress(message="mapping", total=len(plan.blocks))
        self._log.say(f"{len(plan.blocks):,} blocks, {plan.pixels / 1e6:,.1f} million pixels")

    def _advance(self, _done: BlockDone) -> None:
        """Count a block; after the last one ask whether the edition is still wanted."""
        now = self._progress
        now.done += 1
        now.message = f"{now.done:,} of {now.total:,} blocks" if now.done < now.total else "publishing"
        if now.percent != now.said:
            now.said = now.percent
            self._log.say(now.message)
        if now.done == now.total and self._say_alive() != "held":
            self._raised = True
            raise Stopped

    def _say_alive(self) -> Literal["held", "finished", "lost"]:
        now = self._progress
        self._furthest = max(self._furthest, now.percent)  # leaving out a bad scene plans anew, and counts from 0
        return heartbeat(self._store, self._attempt, progress=self._furthest, message=now.message)

    def _beat(self) -> None:
        """Keep the lease and look whether to stop, until the main thread is through."""
        every_s = min(2.0, self._lease_s / 5)
        held = beaten = time.monotonic()
        while self._stopping is None and not self._over.wait(0.2):
            if self._parent is not None and os.getppid() != self._parent:
                self._stop("the server that started it is gone")
            elif time.monotonic() - beaten >= every_s:
                beaten = time.monotonic()
                held = self._beat_once(held)
        if not self._over.wait(_GRACE_S) and not self._closing:
            self._stop_at_once()

    def _stop_at_once(self) -> None:
        """End the process: a block in work would go on for minutes. It is done again, the others are kept."""
        code = UNFINISHED
        try:
            code = self._stopped()
        finally:
            os._exit(code)

    def _beat_once(self, held: float) -> float:
        """Return when the lease was last known to be held (monotonic seconds)."""
        try:
            standing = self._say_alive()
            self._log.flush()
        except TalikError as error:
            logger.warning("job %s: no heartbeat: %s", self._attempt.job, error)
            if time.monotonic() - held > self._lease_s:
                self._stop("the store did not answer for a whole lease")
            return held
        if standing != "held":
            self._stop("the job was dismissed" if standing == "finished" else "another worker took the job over")
        return time.monotonic()

    def _stop(self, reason: str) -> None:
        """Interrupt the main thread, wherever it waits; called by the other."""
        self._stopping = self._stopping or reason
        main = threading.main_thread().ident
        if main is not None and not self._closing:
            signal.pthread_kill(main, signal.SIGTERM)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._closing:
            return
        self._stopping = self._stopping or "asked to stop"
        if not self._raised:  # a second one would break into the handling of the first
            self._raised = True
            raise Stopped

    def _stopped(self) -> int:
        """Give the attempt back; by the main thread, or by the other where that one is stuck in a block."""
        with self._ending:
            if self._code is None:
                standing = self._say_alive()
                self._log.say(f"stopped: {self._stopping or 'the job was dismissed'}")
                self._log.flush()
                if standing == "held":
                    release(self._store, self._attempt)
                self._code = DONE if standing == "finished" else UNFINISHED
            return self._code

    def _fail(self, message: str, code: int) -> int:
        """Give the job its failure, where this worker still holds it: one that lost it fails for reasons of its own."""
        self._closing = True
        if self._say_alive() == "lost":
            self._log.say(f"stopped: another worker took the job over ({message})")
            self._log.flush()
            return UNFINISHED
        return self._close(Outcome(status="failed", message=message), code)

    def _close(self, outcome: Outcome, code: int) -> int:
        self._log.say(f"{outcome.status}: {outcome.message}")
        self._log.flush()
        job = finish(self._store, self._attempt.job, outcome)
        if job.status != outcome.status:
            self._log.say(f"the job was {job.status} before")
            self._log.flush()
        typer.echo(f"job {job.id} {job.status}: {job.message}", err=True)
        return code if job.status == outcome.status else DONE


def _request(store: Store, attempt: Attempt, means: Means) -> MapRequest:
    """What `talik map` would make of the same words."""
    job = load_job(store, attempt.job)
    if job.process != PROCESS:
        raise JobError(f"job {job.id} is of process '{job.process}'; this worker knows {PROCESS}")
    inputs = parse_map_inputs(job.inputs)
    settings, recipe = means.settings, inputs.recipe()
    if inputs.catalog is not None:
        refuse_indirect_files()
    return MapRequest(
        store_root=store.root,
        aoi=inputs.resolve(store, max_area_km2=settings.max_area_km2, max_vertices=settings.max_vertices),
        recipe=recipe,
        season=parse_season(inputs.season, recipe),
        imagery=Imagery(collection=inputs.collection, catalog=inputs.catalog, hosts=means.catalogue_hosts),
        skip_bad=inputs.skip_bad,
        executor=InProcess(workers=means.threads),
        block_px=means.block_px,
    )


def _success(result: MapResult) -> Outcome:
    edition = result.edition
    how = "was published before" if result.published_before else "published"
    return Outcome(
        status="successful",
        message=f"{edition.id} {how}: {edition.count:,} objects, {edition.area_m2 / 1e6:,.3f} km2",
        result=edition.id,
        warnings=result.warnings,
        blocks_done=result.blocks_done,
        blocks_resumed=result.blocks_resumed,
    )
