"""Asynchronous jobs whose whole state is documents in the store; any server and any worker may stop at any time.

jobs/<id>/job.json            the request; written once, never changed
jobs/<id>/attempts/<n>.json   who runs attempt n; put-if-absent decides, so that none runs twice
jobs/<id>/state-<n>.json      heartbeat and progress; only the worker that holds attempt n writes it
jobs/<id>/ended-<n>.json      attempt n is over without an outcome; the next one need not wait for the lease
jobs/<id>/log-<n>.txt         what attempt n says (`job_log`)
jobs/<id>/result.json         the one outcome; put-if-absent decides between success, failure and dismissal
job-index/all/<id>-<owner>    empty, like all below: a listing reads names, then the documents of one page
job-index/open/<id>           until the job has its outcome
job-index/<outcome>/<id>      from then on

No document but state and log is ever replaced and none is deleted, so a job's status never goes back.
A lease compares the clocks of two machines: they must agree to well within LEASE_S.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from talik_stac.errors import MissingKeyError
from talik_stac.job_documents import (
    FINAL,
    Attempt,
    Ended,
    Final,
    Job,
    JobError,
    NoJobError,
    Outcome,
    Request,
    Result,
    State,
    Status,
    document_bytes,
    id_time,
    job_folder,
    job_of,
    load,
    log_key,
    names_of,
    new_id,
    numbers_in,
    read_names,
    read_papers,
)
from talik_stac.store import Store

__all__ = [
    "FINAL",
    "LEASE_S",
    "MAX_ATTEMPTS",
    "PROCESS",
    "Attempt",
    "Job",
    "JobError",
    "NoJobError",
    "Outcome",
    "Status",
    "claim_attempt",
    "dismiss",
    "finish",
    "heartbeat",
    "list_jobs",
    "load_job",
    "open_ids",
    "read_log",
    "release",
    "report_stopped",
    "standing",
    "submit",
]

logger = logging.getLogger(__name__)

PROCESS = "map-landform"
"""The one process there is."""
LEASE_S = 60.0
"""A worker silent for so long is taken for dead, and its job may be taken over."""
MAX_ATTEMPTS = 3
"""A job whose worker died so often is given up. Attempts that were released in good order do not count."""

_ORPHAN = timedelta(hours=1)
"""A submission without a request after so long was killed."""


def submit(
    store: Store,
    *,
    inputs: dict[str, Any],
    owner: str | None = None,
    km2: float | None = None,
    process: str = PROCESS,
    at: datetime | None = None,
) -> Job:
    """Accept a job. The inputs are kept as they are: validate them before."""
    created = at or _now()
    request = Request(id=new_id(created), process=process, inputs=inputs, owner=owner, km2=km2, created=created)
    # The request comes last: a submission killed before it leaves names that lead nowhere, not a job that nobody finds.
    store.put(f"job-index/all/{request.id}-{_owner_tag(owner)}", b"")
    store.put(f"job-index/open/{request.id}", b"")
    store.put_if_absent(f"{job_folder(request.id)}/job.json", document_bytes(request))
    return load_job(store, request.id)


def load_job(store: Store, job_id: str) -> Job:
    """Return the job as it stands. Raises NoJobError, JobError where a document is damaged, StoreError."""
    return job_of(read_papers(store, job_id))


def list_jobs(
    store: Store,
    *,
    owner: str | None = None,
    status: Collection[Status] | None = None,
    limit: int = 10,
    after: str | None = None,
) -> list[Job]:
    """Return a page of jobs, newest first: those of one owner, in one of several statuses, older than id `after`.

    Lists names, then reads the documents of the jobs it returns and of no more than those still open.
    """
    page: list[Job] = []
    for job_id in _newest_ids(store, owner, status):
        if len(page) >= limit:
            break
        if after is not None and job_id >= after:
            continue
        job = _load_listed(store, job_id)
        if job is not None and (status is None or job.status in status):
            page.append(job)
    return page


def open_ids(store: Store) -> list[str]:
    """Return the ids of the jobs that have no outcome yet, oldest first; may name one that was just finished."""
    return [key.rpartition("/")[2] for key in store.list("job-index/open")]


def standing(store: Store, job_id: str, *, lease_s: float = LEASE_S) -> Literal["finished", "held", "free"]:
    """Tell whether a job has its outcome, is held by a live worker, or may be claimed. Tidies the index on the way."""
    try:
        papers = read_papers(store, job_id)
    except NoJobError:
        if _now() - id_time(job_id) > _ORPHAN:  # its submission was killed
            store.delete(f"job-index/open/{job_id}")
        return "finished"
    if papers.result is not None:
        _index_outcome(store, job_id, papers.result.outcome.status)  # whoever wrote it may have been killed before
        return "finished"
    return "held" if papers.live(_now(), lease_s) else "free"


def claim_attempt(
    store: Store, job_id: str, worker: str, *, lease_s: float = LEASE_S, at: datetime | None = None
) -> Attempt | None:
    """Take up a job; None where it has its outcome, a live worker holds it, or another was faster.

    A job whose worker stopped MAX_ATTEMPTS times gets its outcome here: failed.
    """
    at = at or _now()
    papers = read_papers(store, job_id)
    if papers.result is not None or papers.live(at, lease_s):
        return None
    if papers.crashes >= MAX_ATTEMPTS:
        reason = f"the worker stopped {papers.crashes} times; it may need more memory: try a smaller area"
        finish(store, job_id, Outcome(status="failed", message=reason), at=at)
        return None
    attempt = Attempt(
        job=job_id,
        number=papers.number + 1,
        worker=worker,
        token=secrets.token_hex(8),
        claimed=at,
        started=papers.attempt.started if papers.attempt else at,
        crashes=papers.crashes,
        progress=papers.progress,
    )
    key = f"{job_folder(job_id)}/attempts/{attempt.number}.json"
    ours = store.put_if_absent(key, document_bytes(attempt)) or load(store, key, Attempt) == attempt
    return attempt if ours else None


def heartbeat(
    store: Store, attempt: Attempt, *, progress: int, message: str, at: datetime | None = None
) -> Literal["held", "finished", "lost"]:
    """Say that the worker lives, and how far it is; tells it whether to go on.

    finished: the job has its outcome (dismissed); lost: the attempt is over or another worker took the job over.
    """
    folder = job_folder(attempt.job)
    names = names_of(store, attempt.job)
    if "result.json" in names:
        return "finished"
    if f"ended-{attempt.number}.json" in names or f"attempts/{attempt.number + 1}.json" in names:
        return "lost"
    state = State(beat=at or _now(), progress=max(attempt.progress, progress), message=message)
    store.put(f"{folder}/state-{attempt.number}.json", document_bytes(state))
    return "held"


def release(store: Store, attempt: Attempt, *, at: datetime | None = None) -> None:
    """Give an attempt back in good order: the next may begin at once, and this one does not count as a crash."""
    _end(store, attempt, Ended(how="released", at=at or _now()))


def report_stopped(store: Store, job_id: str, worker: str, *, at: datetime | None = None) -> bool:
    """Say that a worker is dead, by who saw it die; whether it held the job's latest attempt."""
    attempt = read_papers(store, job_id).attempt
    if attempt is None or attempt.worker != worker:
        return False
    _end(store, attempt, Ended(how="stopped", at=at or _now()))
    return True


def finish(store: Store, job_id: str, outcome: Outcome, *, at: datetime | None = None) -> Job:
    """Give a job its outcome where it has none; returns the job with the outcome that counts."""
    papers = read_papers(store, job_id)
    if papers.result is None:
        result = Result(
            outcome=outcome,
            attempt=papers.number,
            progress=100 if outcome.status == "successful" else papers.progress,
            started=papers.attempt.started if papers.attempt else None,
            finished=at or _now(),
        )
        store.put_if_absent(f"{job_folder(job_id)}/result.json", document_bytes(result))
        papers = read_papers(store, job_id)
    if papers.result is not None:
        _index_outcome(store, job_id, papers.result.outcome.status)
    return job_of(papers)


def dismiss(store: Store, job_id: str, *, at: datetime | None = None) -> Job:
    """Dismiss a job, whether it waits or runs; one that has its outcome keeps it.

    A worker hears of it with its next heartbeat. Where that falls together with the last write of publication,
    the edition is there, whole, though the job reads dismissed.
    """
    return finish(store, job_id, Outcome(status="dismissed", message="dismissed on request"), at=at)


def read_log(store: Store, job_id: str) -> str:
    """Return what the job's workers said, all attempts in their order. Raises NoJobError."""
    numbers = numbers_in(read_names(store, job_id), r"log-(\d+)\.txt")
    return "".join(store.get(log_key(job_id, number)).decode() for number in numbers)


def _newest_ids(store: Store, owner: str | None, status: Collection[Status] | None) -> Iterator[str]:
    tag = None if owner is None else _owner_tag(owner)
    wanted = None if status is None else {job_id for each in status for job_id in _ids_in(store, each)}
    for key in reversed(list(store.list("job-index/all"))):
        job_id, _, of = key.rpartition("/")[2].partition("-")
        if (tag is None or of == tag) and (wanted is None or job_id in wanted):
            yield job_id


def _ids_in(store: Store, status: Status) -> list[str]:
    """Return the ids that may have this status."""
    folder = status if status in FINAL else "open"
    return [key.rpartition("/")[2] for key in store.list(f"job-index/{folder}")]


def _load_listed(store: Store, job_id: str) -> Job | None:
    """Return a job of the index; None where its submission was killed, or is not through yet, or it is damaged."""
    try:
        return load_job(store, job_id)
    except (JobError, MissingKeyError) as error:
        logger.info("left out of the list: %s", error)
        return None


def _index_outcome(store: Store, job_id: str, status: Final) -> None:
    store.put_if_absent(f"job-index/{status}/{job_id}", b"")
    store.delete(f"job-index/open/{job_id}")


def _end(store: Store, attempt: Attempt, ended: Ended) -> None:
    store.put_if_absent(f"{job_folder(attempt.job)}/ended-{attempt.number}.json", document_bytes(ended))


def _owner_tag(owner: str | None) -> str:
    """Return what stands for an owner in a key: names may hold any character."""
    return "none" if owner is None else hashlib.sha256(owner.encode()).hexdigest()[:16]


def _now() -> datetime:
    return datetime.now(UTC)
