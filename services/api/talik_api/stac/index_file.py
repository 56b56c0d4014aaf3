"""The items of one imagery collection: a stac-geoparquet file that is kept open, and read in parts."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from talik_stac.errors import MissingKeyError, StoreError
from talik_stac.imagery import index_key
from talik_stac.reading import column_places, may_hold
from talik_stac.store import FolderStore, Store

FRESH_S = 2.0
"""For so long an index in a bucket is taken for the one that was read before."""
_TAIL_BYTES = 65_536
"""The end of a Parquet file holds the place, size and range of every column chunk: another end, another file."""

Version = tuple[int | bytes, ...]
"""What tells one version of a file from another: of a folder its inode, time and size; of a bucket its size and end."""


class IndexFile:
    """One version of an index; safe to share between threads, and whole even when the file is replaced meanwhile."""

    def __init__(self, source: Any, name: str) -> None:
        """`source` is an open file of Arrow. Raises StoreError where it is no Parquet file."""
        self._source = source
        try:
            with self._open() as file:
                self._footer = file.metadata
                self.schema: pa.Schema = file.schema_arrow
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(
                f"the index of imagery collection '{name}' is damaged; delete it and run talik index again"
            ) from error
        self._places = column_places(self._footer)

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return int(self._footer.num_row_groups)

    def read(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one row group; None reads every column."""
        with self._open() as file:
            return file.read_row_group(group, columns=None if columns is None else list(columns), use_threads=False)

    def may_hold(self, group: int, column: str, low: Any, high: Any) -> bool:
        """Whether the statistics leave room for values from low to high (inclusive, None open)."""
        return may_hold(self._footer, group, self._places.get(column), low, high)

    def _open(self) -> pq.ParquetFile:
        # The source stays open: it was given open, and ParquetFile closes what it opened itself.
        return pq.ParquetFile(self._source, metadata=getattr(self, "_footer", None), pre_buffer=True)


class IndexFiles:
    """The indexes that were asked for last, each as new as the store has it."""

    def __init__(
        self,
        store: Store,
        *,
        most: int = 256,
        fresh_s: float = FRESH_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep at most `most` files; `clock` tells seconds."""
        self._store, self._most, self._fresh_s, self._clock = store, most, fresh_s, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Version, float, IndexFile]] = OrderedDict()

    def of(self, name: str) -> IndexFile:
        """The index of a collection. Raises MissingKeyError where there is none, StoreError."""
        with self._lock:
            known = self._kept.get(name)
        if known is not None and self._still(name, known):
            return known[2]
        version, file = self._opened(name)
        with self._lock:
            self._kept[name] = (version, self._clock() + self._fresh_s, file)
            self._kept.move_to_end(name)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return file

    def _still(self, name: str, known: tuple[Version, float, IndexFile]) -> bool:
        version, until, file = known
        key = index_key(name)
        if isinstance(self._store, FolderStore):
            return _stamp(Path(self._store.url(key))) == version
        if self._clock() < until:
            return True
        size, tail = version
        start = max(0, int(size) - _TAIL_BYTES)
        same = bool(_tail(self._store, key, start, _TAIL_BYTES + 1) == tail)
        if same:
            with self._lock:
                self._kept[name] = (version, self._clock() + self._fresh_s, file)
        return same

    def _opened(self, name: str) -> tuple[Version, IndexFile]:
        key = index_key(name)
        if isinstance(self._store, FolderStore):
            path = Path(self._store.url(key))
            version = _stamp(path)  # before it is opened: a file that is replaced in between is read again
            try:
                return version, IndexFile(pa.OSFile(str(path)), name)
            except FileNotFoundError as error:
                raise MissingKeyError(f"no index at {key}") from error
        data = self._store.get(key)
        return (len(data), data[-_TAIL_BYTES:]), IndexFile(pa.BufferReader(data), name)


def _stamp(path: Path) -> Version:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _tail(store: Store, key: str, start: int, length: int) -> bytes | None:
    """The end of an object; None where it has become shorter, or is gone: reading it again says so."""
    try:
        return store.get_range(key, start=start, length=length)
    except StoreError:
        return None
