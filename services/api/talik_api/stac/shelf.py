"""The collections of the API, found in the store again when they may have changed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from fastapi import Request

from talik_api.service import EditionShelf, Service
from talik_api.stac.holdings import EditionsHolding, Holding, ImageryHolding
from talik_api.stac.index_file import IndexFile, IndexFiles
from talik_api.stac.names import imagery_name, landform_of
from talik_stac.errors import ImageryError, MissingKeyError, StoreError
from talik_stac.imagery import check_collection_id, collections
from talik_stac.store import Store

_log = logging.getLogger(__name__)
FRESH_S = 2.0
"""For so long the list of imagery collections is taken for true."""


class HoldingShelf:
    """Every collection of one store."""

    def __init__(self, store: Store, editions: EditionShelf, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` tells seconds."""
        self._store, self._editions, self._clock = store, editions, clock
        self._files = IndexFiles(store, clock=clock)
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._until = float("-inf")
        self._made: dict[str, tuple[object, Holding]] = {}

    def all(self) -> list[Holding]:
        """Every collection that has items, by id."""
        landforms = sorted({edition.landform for edition in self._editions.all()})
        found = [self._unless_damaged(name) for name in self._listed()]
        found += [self._of_editions(landform) for landform in landforms]
        return sorted((each for each in found if each is not None), key=lambda holding: holding.id)

    def find(self, collection: str) -> Holding | None:
        """The collection of this id; one that was made a moment ago is found too."""
        landform = landform_of(collection)
        if landform is not None:
            return self._of_editions(landform)
        name = imagery_name(collection)
        return None if name is None else self._of_imagery(name)

    def _listed(self) -> list[str]:
        with self._lock:
            if self._clock() >= self._until:
                self._names = collections(self._store)
                self._until = self._clock() + FRESH_S
            return self._names

    def _unless_damaged(self, name: str) -> Holding | None:
        """One damaged index must not take the others with it; asked for by name it is an error."""
        try:
            return self._of_imagery(name)
        except StoreError as error:
            _log.error("imagery collection %s is left out: %s", name, error)
            return None

    def _of_imagery(self, name: str) -> Holding | None:
        try:
            file: IndexFile = self._files.of(check_collection_id(name))
        except MissingKeyError:
            self._made.pop(f"imagery {name}", None)
            return None
        except ImageryError:  # not a name that a collection can have
            return None
        return self._kept(f"imagery {name}", file, lambda: ImageryHolding(name, file))

    def _of_editions(self, landform: str) -> Holding | None:
        editions = [edition for edition in self._editions.all() if edition.landform == landform]
        if not editions:
            return None
        version = tuple((each.id, each.configuration, each.item["properties"].get("created")) for each in editions)
        return self._kept(f"editions {landform}", version, lambda: EditionsHolding(landform, editions))

    def _kept(self, key: str, version: object, make: Callable[[], Holding]) -> Holding:
        known = self._made.get(key)
        if known is not None and known[0] == version:
            return known[1]
        holding = make()
        self._made[key] = (version, holding)
        return holding


def shelf_of(request: Request, service: Service) -> HoldingShelf:
    """The collections of the application that a request reached; one shelf for all requests."""
    state = request.app.state
    if not hasattr(state, "stac_shelf"):  # two first requests at once make two shelves, of which one is dropped
        state.stac_shelf = HoldingShelf(service.store, service.shelf)
    found: HoldingShelf = state.stac_shelf
    return found
