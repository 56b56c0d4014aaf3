"""What the portal shows of an edition beside its item; read once for each, several at a time, for a bounded time."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastapi import Request

from talik_api.pages.sketch import Sketch, sketch_of_edition
from talik_api.service import Service
from talik_stac.editions import Edition
from talik_stac.errors import MissingKeyError, TalikError

Found = TypeVar("Found")
_LOG = logging.getLogger(__name__)
_KEPT = 1000
_READERS = 4
RUNS_S = 3.0
SKETCHES_S = 2.0
"""A page waits no longer, in seconds; what comes later is there for the next."""
_RUN_PARTS = ("recipe", "model", "imagery", "published", "simulated", "previous_edition")
"""What pages say of a run; the rest of run.json is long."""


class Kept(Generic[Found]):
    """Answers about editions, which never change: the last that were asked for stay in memory."""

    def __init__(self, find: Callable[[Edition], Found], *, most: int = _KEPT) -> None:
        """`find` is called in threads of its own."""
        self._find, self._most = find, most
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="talik-page")
        self._kept: OrderedDict[str, Future[Found]] = OrderedDict()

    def of(self, editions: Sequence[Edition], *, timeout_s: float) -> dict[str, Found]:
        """Answers by edition id; those that failed, or are not there in time, are left out (and there next time)."""
        asked = {edition.id: self._started(edition) for edition in editions}
        wait(asked.values(), timeout=timeout_s)
        return {name: each.result() for name, each in asked.items() if each.done() and each.exception() is None}

    def _started(self, edition: Edition) -> Future[Found]:
        key = f"{edition.id} {edition.configuration} {edition.item['properties'].get('created')}"
        with self._lock:
            known = self._kept.get(key)
            if known is None or (known.done() and known.exception() is not None):
                known = self._kept[key] = self._pool.submit(self._logged, edition)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return known

    def _logged(self, edition: Edition) -> Found:
        try:
            return self._find(edition)
        except Exception as error:
            _LOG.warning(
                "pages leave out part of %s: %s", edition.id, error, exc_info=not isinstance(error, TalikError)
            )
            raise


@dataclass(frozen=True, kw_only=True)
class Glances:
    """What one running application keeps for its pages."""

    runs: Kept[dict[str, Any]]
    sketches: Kept[Sketch | None]


def runs_of(service: Service, request: Request, editions: Sequence[Edition]) -> dict[str, dict[str, Any]]:
    """What run.json says of editions, in short, by edition id."""
    return _glances(service, request).runs.of(editions, timeout_s=RUNS_S)


def sketches_of(
    service: Service, request: Request, editions: Sequence[Edition], *, timeout_s: float = SKETCHES_S
) -> dict[str, Sketch | None]:
    """Drawings of editions, by edition id; None for one without objects."""
    return _glances(service, request).sketches.of(editions, timeout_s=timeout_s)


def read_run(service: Service, edition: Edition) -> dict[str, Any]:
    """The record of an edition's run; empty where there is none."""
    try:
        found = json.loads(service.store.get(f"{edition.prefix}/run.json"))
    except (MissingKeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_simulated(edition: Edition, run: Mapping[str, Any]) -> bool:
    """Whether the objects, or the imagery that they were mapped from, were made by a computer."""
    properties = edition.item["properties"]
    imagery = run.get("imagery") or {}
    named = str(properties.get("talik:model", "")).startswith("simulated@")
    said = bool(run.get("simulated") or properties.get("talik:simulated"))
    return said or named or imagery.get("collection") == "simulated"


def _short(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: run[name] for name in _RUN_PARTS if name in run}


def _glances(service: Service, request: Request) -> Glances:
    known = getattr(request.app.state, "glances", None)
    if not isinstance(known, Glances):
        known = request.app.state.glances = Glances(
            runs=Kept(lambda edition: _short(read_run(service, edition))),
            sketches=Kept(lambda edition: sketch_of_edition(service, edition)),
        )
    return known
