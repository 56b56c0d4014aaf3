"""What every route is handed: the settings, the store, and what was read of it before."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from talik_api.access import AccessRules, JwtRules
from talik_api.executors import JobExecutor, LocalExecutor
from talik_api.settings import ApiSettings
from talik_api.turns import Turns
from talik_stac.editions import Edition, EditionId, list_editions, load_edition
from talik_stac.errors import EditionError
from talik_stac.reading import InventoryReader, Readers
from talik_stac.store import Store, open_store

FRESH_S = 1.0
"""For so long a listing of the editions is taken for true: on S3 it is many requests."""
KNOWN_S = 60.0
"""For so long an edition's item is taken for true: it is never rewritten, but a store may be made anew."""


class EditionShelf:
    """The published editions; an item is read once, the list of them again when it is older than FRESH_S."""

    def __init__(self, store: Store, *, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._store, self._fresh_s, self._clock = store, fresh_s, clock
        self._lock = threading.Lock()
        self._listed: list[Edition] = []
        self._until = float("-inf")
        self._known_until = float("-inf")

    def all(self) -> list[Edition]:
        """Every edition, by landform, area, season and version."""
        with self._lock:
            if self._clock() >= self._until:
                if self._clock() >= self._known_until:
                    self._listed, self._known_until = [], self._clock() + KNOWN_S
                known = {edition.id: edition for edition in self._listed}
                self._listed = list_editions(self._store, known=known)
                self._until = self._clock() + self._fresh_s
            return self._listed

    def find(self, edition_id: str) -> Edition | None:
        """The edition of this id, None where there is none (or the id is none)."""
        known = next((edition for edition in self.all() if edition.id == edition_id), None)
        if known is not None:
            return known
        try:
            EditionId.parse(edition_id)
            return load_edition(self._store, edition_id)  # published since the list was read
        except EditionError:
            return None


@dataclass(frozen=True, kw_only=True)
class Service:
    """One running service."""

    settings: ApiSettings
    store: Store
    shelf: EditionShelf
    readers: Readers
    access: AccessRules
    executor: JobExecutor | None
    """Who runs jobs; None where this process takes none."""
    turns: Turns
    on_lambda: bool = False
    """Answers hold 6 MB at most and pass through JSON."""

    def reader(self, edition: Edition) -> InventoryReader:
        """The inventory of an edition."""
        return self.readers.of(edition)

    def base_url(self, request: Request) -> str:
        """The address of the landing page as the client sees it, without a slash at the end."""
        return (self.settings.base_url or str(request.base_url)).rstrip("/")


def make_service(settings: ApiSettings, *, on_lambda: bool = False) -> Service:
    """Open the store; nothing is read yet."""
    store = open_store(settings.store)
    local = not on_lambda and settings.local_jobs > 0
    return Service(
        settings=settings,
        store=store,
        shelf=EditionShelf(store),
        readers=Readers(store),
        access=rules_of(settings),
        executor=LocalExecutor(
            store.root,
            max_running=settings.local_jobs,
            options=[word for host in settings.catalogue_hosts for word in ("--catalogue-host", host)],
        )
        if local
        else None,
        turns=Turns(),
        on_lambda=on_lambda,
    )


def rules_of(settings: ApiSettings) -> AccessRules:
    """Which credentials are known, by the settings."""
    jwt = settings.jwt
    return AccessRules(
        keys=settings.api_keys,
        jwt=None
        if jwt is None
        else JwtRules(issuer=jwt.issuer, audience=jwt.audience, jwks_url=jwt.jwks_url, public_key=jwt.public_key),
    )


def service_of(request: Request) -> Service:
    """The service of the application that a request reached."""
    service: Service = request.app.state.service
    return service


Served = Annotated[Service, Depends(service_of)]
