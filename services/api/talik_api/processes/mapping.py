"""Submitting a job that maps: who may, how much, from where; then a document in the store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from talik_api.access import Principal
from talik_api.problems import Problem
from talik_api.quotas import book, check_running, release
from talik_api.service import Service
from talik_stac.jobs import Job, list_jobs, submit
from talik_stac.map_inputs import parse_map_inputs
from talik_stac.outgoing import check_url


def submit_mapping(service: Service, principal: Principal, given: Any) -> Job:
    """Accept a job and start it. Raises Problem, JobError, AoiError, OutgoingError, QuotaError."""
    executor = offered(service)
    if not isinstance(given, dict):
        raise Problem(400, "The inputs are not valid", f"inputs is {type(given).__name__}; expected an object")
    inputs = parse_map_inputs(given)
    settings = service.settings
    aoi = inputs.resolve(service.store, max_area_km2=settings.max_area_km2, max_vertices=settings.max_vertices)
    if inputs.catalog is not None:
        check_url(inputs.catalog, settings.catalogue_hosts)
    limit = settings.running_jobs
    unfinished = list_jobs(service.store, owner=principal.id, status=("accepted", "running"), limit=limit)
    check_running(len(unfinished), limit=limit)
    booking = book(service.store, principal, aoi.area_km2, limit_km2=settings.km2_per_day, now=datetime.now(UTC))
    try:
        job = submit(service.store, inputs=inputs.model_dump(exclude_none=True), owner=principal.id, km2=aoi.area_km2)
    except BaseException:
        release(service.store, booking)
        raise
    executor.start(job.id)
    return job


def offered(service: Service) -> Any:
    """The executor, where jobs can be run here. Raises Problem 501."""
    executor = service.executor
    reason = (
        "this server runs no jobs (TALIK_LOCAL_JOBS=0, or it is a Lambda)" if executor is None else executor.available()
    )
    if reason is not None:
        raise Problem(501, "Jobs are not run here", f"{reason}; summarise and compare are answered at once")
    return executor
