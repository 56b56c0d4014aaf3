"""What the picture routes keep between requests: headers of files that were read, and how much is made at once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar, cast

from fastapi import Request

from talik_api.pictures.remote import CHUNK, RemoteFile
from talik_api.problems import Problem
from talik_api.service import Service
from talik_stac import outgoing

T = TypeVar("T")
WAIT_S = 20.0
"""So long a request waits for its turn before it is told to come again."""


@dataclass(frozen=True, kw_only=True)
class StoreDoor:
    """Which files pictures may be made from: the store's, and imagery in the operator's roots and hosts."""

    store_root: str
    imagery_roots: tuple[str, ...]
    hosts: tuple[str, ...]

    def __call__(self, href: str) -> None:
        """Raises OutgoingError (403) for any other file."""
        outgoing.check_href(
            href, store_root=self.store_root, indexed_roots=self.imagery_roots, allowed_hosts=self.hosts
        )

    def fetch(self, href: str) -> BinaryIO:
        """Open a file on an allowed host; each redirect and each address is checked again."""
        limits = outgoing.Limits(max_bytes=2 * CHUNK, connect_s=5.0, read_s=10.0, total_s=20.0, redirects=3)
        return cast(BinaryIO, RemoteFile(outgoing.session(self.hosts, limits=limits), href))


class Desk:
    """Bounds the memory of pictures: few are made at once, whatever the number of threads."""

    def __init__(self, *, pictures: int = 6, animations: int = 2, kept: int = 256) -> None:
        """`pictures` and `animations` at once; `kept` answers of files' headers."""
        self._turns = {
            "picture": threading.BoundedSemaphore(pictures),
            "animation": threading.BoundedSemaphore(animations),
        }
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._most, self._lock = kept, threading.Lock()

    @contextmanager
    def turn(self, kind: str, *, wait_s: float = WAIT_S) -> Iterator[None]:
        """Wait for a place to make a picture or an animation. Raises Problem 503 where none comes free."""
        turns = self._turns[kind]
        if not turns.acquire(timeout=wait_s):
            raise Problem(503, "Busy", f"too many {kind}s are being made; try again", headers={"Retry-After": "5"})
        try:
            yield
        finally:
            turns.release()

    def remember(self, key: Hashable, make: Callable[[], T], *, fresh_s: float) -> T:
        """Return what was made for a key less than `fresh_s` ago, else make it."""
        now = time.monotonic()
        with self._lock:
            made_at, value = self._kept.get(key, (float("-inf"), None))
            if now - made_at < fresh_s:
                self._kept.move_to_end(key)
                kept: T = value
                return kept
        made = make()
        with self._lock:
            self._kept[key] = (now, made)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return made


def desk_of(request: Request) -> Desk:
    """The desk of the application that a request reached, made with its first picture."""
    state = request.app.state
    if not hasattr(state, "pictures"):
        state.pictures = Desk()
    desk: Desk = state.pictures
    return desk


def door_of(service: Service) -> StoreDoor:
    """Which files the service may open, by its settings."""
    settings = service.settings
    return StoreDoor(
        store_root=service.store.root, imagery_roots=settings.imagery_roots, hosts=settings.catalogue_hosts
    )
