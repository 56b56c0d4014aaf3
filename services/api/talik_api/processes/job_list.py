"""The list of jobs and its conditions (OGC API Processes Part 1, class job-list)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from talik_api.service import Service
from talik_api.times import Span
from talik_stac.jobs import Job, Status, list_jobs

_BATCH = 100
MOST_READ = 2_000
"""Jobs that one listing reads; the next page goes on behind them."""


@dataclass(frozen=True, kw_only=True)
class JobConditions:
    """All hold at once; None holds always."""

    statuses: tuple[Status, ...] | None = None
    kinds: frozenset[str] | None = None
    """`type`: every job here is a process."""
    processes: frozenset[str] | None = None
    created: Span | None = None
    shortest_s: float | None = None
    """From start to end, or to now; a job that has not started has no duration and meets neither bound."""
    longest_s: float | None = None

    def met_by(self, job: Job, now: datetime) -> bool:
        """Whether a job is asked for; its status aside."""
        if self.kinds is not None and "process" not in self.kinds:
            return False
        if self.processes is not None and job.process not in self.processes:
            return False
        if self.created is not None and not _within(job.created, self.created):
            return False
        if self.shortest_s is None and self.longest_s is None:
            return True
        if job.started is None:
            return False
        seconds = ((job.finished or now) - job.started).total_seconds()
        return (self.shortest_s or 0.0) <= seconds <= (float("inf") if self.longest_s is None else self.longest_s)


def find_jobs(
    service: Service, owner: str, conditions: JobConditions, *, limit: int, after: str | None
) -> tuple[list[Job], str | None]:
    """A page of an owner's jobs, newest first, and the id behind which the next page begins (None: the last)."""
    found: list[Job] = []
    now, read = datetime.now(UTC), 0
    while read < MOST_READ:
        batch = list_jobs(service.store, owner=owner, status=conditions.statuses, limit=_BATCH, after=after)
        for job in batch:
            if conditions.met_by(job, now):
                if len(found) == limit:
                    return found, found[-1].id
                found.append(job)
        if len(batch) < _BATCH:
            return found, None
        after, read = batch[-1].id, read + len(batch)
    return found, after


def _within(moment: datetime, span: Span) -> bool:
    return (span.start is None or moment >= span.start) and (span.end is None or moment <= span.end)
