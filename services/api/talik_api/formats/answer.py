"""What is to be written, and the word for a way to write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pyproj import CRS
from pyproj.exceptions import CRSError

from talik_stac.errors import TalikError

CRS84 = "OGC:CRS84"
"""Lon/lat on WGS 84: how inventories hold geometries."""
_EPOCH = datetime(1980, 1, 1, tzinfo=UTC)
"""The first moment that a zip file can name."""


class FormatError(TalikError):
    """An answer cannot be written as asked; a client's mistake (400)."""


class NotAcceptableError(TalikError):
    """No format suits the Accept header (406)."""


@lru_cache(maxsize=64)
def is_lonlat(crs: CRS | str) -> bool:
    """Say whether a system is OGC:CRS84, under any of its names. Raises FormatError for one that nobody knows."""
    try:
        return bool(CRS.from_user_input(crs) == CRS.from_user_input(CRS84))
    except CRSError as error:
        raise FormatError(f"no coordinate reference system {crs!r}; ask for {CRS84}, or an EPSG code") from error


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Features to be written once: the tables are used up. Raises FormatError for what cannot be written."""

    schema: pa.Schema
    """Columns of INVENTORY_SCHEMA and of ATTRIBUTES, any subset that holds `id` and `geometry` (WKB, lon/lat)."""
    tables: Iterator[pa.Table]
    """Slices with the columns of `schema`, at most 20,000 rows each; one at a time is held."""
    crs: CRS | str = CRS84
    """The system that coordinates are written in. GeoJSON and CSV keep the authority's axis order, files x before y."""
    name: str = "inventory"
    """Stem of the file and name of its layer: letters, digits, - and _."""
    head: dict[str, Any] = field(default_factory=dict)
    """GeoJSON members before `features`, such as links and numberMatched; `type` is added."""
    foot: Callable[[int], dict[str, Any]] = lambda _: {}
    """GeoJSON members after `features`, given the number of features written."""
    stamp: datetime = _EPOCH
    """The moment that files carry as their last change, so that the same rows give the same bytes."""

    def __post_init__(self) -> None:
        is_lonlat(self.crs)
        if missing := {"id", "geometry"} - set(self.schema.names):
            raise FormatError(f"the columns {sorted(self.schema.names)} lack {sorted(missing)}; always read both")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise FormatError(f"{self.name!r} cannot name a file; expected letters, digits, - and _")


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to write an answer."""

    name: str
    """The value of `f=`."""
    media_type: str
    extension: str
    """With its dot."""
    title: str
    streams: bool
    """True where bytes leave while rows arrive; False where a whole file is made first."""
    write: Callable[[Answer], Iterator[bytes]]
    """Raises before it returns where the first slice (or, without `streams`, any) cannot be written."""
    also: tuple[str, ...] = ()
    """Other media types that ask for it."""


class Started:
    """Chunks whose first one is made already, so that an error can still become a status; close it, or drop it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._first: bytes | None = next(chunks, b"")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._chunks)

    def close(self) -> None:
        """End the work and free its file; also happens when the object is dropped."""
        self._first = None
        if hasattr(self._chunks, "close"):
            self._chunks.close()


def started(make: Callable[[Answer], Iterator[bytes]]) -> Callable[[Answer], Iterator[bytes]]:
    """Turn a lazy writer into one that makes its first chunk when it is called."""
    return lambda answer: Started(make(answer))
