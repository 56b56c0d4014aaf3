"""Read parts of a published inventory: only the row groups that a place or a range of values can touch."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from talik_stac.editions import Edition
from talik_stac.errors import EditionError
from talik_stac.inventory import ATTRIBUTES
from talik_stac.store import FolderStore, Store

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; west <= east: a box over the antimeridian is two."""
_SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The row groups of a file: parallel arrays (group,)."""

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    """Number of the first row in the file."""
    bounds: NDArray[np.float64]
    """(group, 4): west, south, east, north of the rows' bounds."""


class InventoryReader:
    """The inventory of one edition; safe to share between threads.

    The footer is read once and kept: what is published never changes.
    """

    def __init__(self, store: Store, edition: Edition, *, shelf: ColumnShelf | None = None) -> None:
        """Read the footer. Raises EditionError where the file is damaged, StoreError where it cannot be reached.

        `shelf` keeps columns that were read before.
        """
        self.edition = edition
        self._shelf = shelf or ColumnShelf(most_bytes=0)
        self._name = name_of(edition)
        self._store = store
        self._key = f"{edition.prefix}/inventory.parquet"
        self._size = _asset_size(edition)
        try:
            with self._open() as file:
                self._footer = file.metadata
                self.schema: pa.Schema = file.schema_arrow
        except pa.ArrowInvalid as error:
            raise EditionError(
                f"{store.url(self._key)} is no GeoParquet file ({error}); restore it from a copy"
            ) from error
        self._places = column_places(self._footer)
        self.groups = _groups(self._footer, self._places)

    @property
    def count(self) -> int:
        """How many objects the inventory holds."""
        return int(self._footer.num_rows)

    def touching(
        self,
        boxes: Sequence[Box] | None = None,
        ranges: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> NDArray[np.int64]:
        """Numbers of the groups that may hold rows in the boxes and in the ranges (lowest, highest; None: open)."""
        found = np.ones(len(self.groups.rows), bool)
        if boxes is not None:
            found &= _touch_any(self.groups.bounds, boxes)
        numbers = np.flatnonzero(found)
        for column, (low, high) in (ranges or {}).items():
            kept = [number for number in numbers if self._may_hold(int(number), column, low, high)]
            numbers = np.array(kept, np.int64)
        return numbers

    def read(self, group: int, columns: Sequence[str], *, keep: bool = True) -> pa.Table:
        """Read columns of one row group, in the order of `columns`; an attribute that the file lacks is null.

        `keep` False where all groups are read in turn.
        """
        there = {column: self._shelf.get((self._name, group, column)) for column in columns}
        absent = {name for name in there if name in ATTRIBUTES.names and name not in self.schema.names}
        there |= {name: self._unknown(name, group) for name in absent}
        missing = [column for column, values in there.items() if values is None]
        if missing:
            with self._open() as file:
                table = file.read_row_group(group, columns=missing, use_threads=False)
            for column in missing:
                there[column] = table[column]
                if keep:
                    self._shelf.put((self._name, group, column), table[column])
        fields = [(ATTRIBUTES if column in absent else self.schema).field(column) for column in columns]
        return pa.table([there[column] for column in columns], schema=pa.schema(fields))

    def rows_in(self, boxes: Sequence[Box] | None, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows whose bounds touch one of the boxes, group by group; None: all rows."""
        wanted = list(dict.fromkeys([*columns, "bbox"]))
        for group in self.touching(boxes):
            table = self.read(int(group), wanted, keep=boxes is not None)
            if boxes is not None:
                table = table.filter(pa.array(_touch_any(box_array(table), boxes)))
            if len(table):
                yield table.select(list(columns))

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield all rows, group by group."""
        for group in range(len(self.groups.rows)):
            yield self.read(group, columns, keep=False)

    def _unknown(self, attribute: str, group: int) -> pa.ChunkedArray:
        return pa.chunked_array([pa.nulls(int(self.groups.rows[group]), ATTRIBUTES.field(attribute).type)])

    def _open(self) -> pq.ParquetFile:
        # One open file a read: cheap with the footer at hand, and no lock between threads.
        return pq.ParquetFile(self._source(), metadata=getattr(self, "_footer", None), pre_buffer=True)

    def _source(self) -> Any:
        if isinstance(self._store, FolderStore):
            # Not mapped into memory: mapped pages would count as the server's own.
            try:
                return pa.OSFile(self._store.url(self._key))
            except OSError:
                self._store.get_range(self._key, start=0, length=4)  # says what is wrong
                raise
        return pa.PythonFile(StoreFile(self._store, self._key, self._size), mode="r")

    def _may_hold(self, group: int, column: str, low: Any, high: Any) -> bool:
        return may_hold(self._footer, group, self._places.get(column), low, high)


class StoreFile(io.RawIOBase):
    """An object of a store as a seekable file, read in ranges."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        """`size` in bytes, which the edition's item states."""
        self._store, self._key, self._size, self._at = store, key, size, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence] + offset
        return self._at

    def size(self) -> int:
        """Bytes in all."""
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, or the rest."""
        left = max(0, self._size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        data = self._store.get_range(self._key, start=self._at, length=length)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class ColumnShelf:
    """Columns of row groups that were read last, up to so many bytes: a page, a count and a tile read the same ones."""

    def __init__(self, *, most_bytes: int) -> None:
        """0 keeps nothing."""
        self._most, self._bytes = most_bytes, 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, str], pa.ChunkedArray] = OrderedDict()

    def get(self, key: tuple[str, int, str]) -> pa.ChunkedArray | None:
        """The column of (inventory, group, name), None where it is not here."""
        with self._lock:
            values = self._kept.get(key)
            if values is not None:
                self._kept.move_to_end(key)
            return values

    def put(self, key: tuple[str, int, str], values: pa.ChunkedArray) -> None:
        """Keep a column; those used longest ago make room."""
        with self._lock:
            if key in self._kept or values.nbytes > self._most:
                return
            self._kept[key] = values
            self._bytes += values.nbytes
            while self._bytes > self._most:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes


class Readers:
    """The readers of the editions that were asked for last: their footers stay in memory, and some columns."""

    def __init__(self, store: Store, *, most: int = 64, shelf_bytes: int = 64_000_000) -> None:
        """Keep at most `most` footers."""
        self._store, self._most = store, most
        self._shelf = ColumnShelf(most_bytes=shelf_bytes)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, InventoryReader] = OrderedDict()

    def of(self, edition: Edition) -> InventoryReader:
        """Return the reader of an edition."""
        key = name_of(edition)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        reader = InventoryReader(self._store, edition, shelf=self._shelf)
        with self._lock:
            self._kept[key] = reader
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return reader


def may_hold(footer: pq.FileMetaData, group: int, place: int | None, low: Any, high: Any) -> bool:
    """Whether a row group's statistics leave room for values from low to high (inclusive; None: open).

    `place` is the column's number in the file; None: it has none.
    """
    statistics = None if place is None else footer.row_group(group).column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        below = high is not None and statistics.min > high
        above = low is not None and statistics.max < low
    except TypeError:  # a filter that compares apples with pears is told so elsewhere
        return True
    return not (below or above)


def column_places(footer: pq.FileMetaData) -> dict[str, int]:
    """The number of each column in the file, by its path."""
    return {footer.schema.column(place).path: place for place in range(footer.num_columns)}


def name_of(edition: Edition) -> str:
    """What tells an edition from one of the same id in a store that was made anew."""
    return f"{edition.id} {edition.configuration} {edition.item['properties'].get('created')}"


def box_array(table: pa.Table) -> NDArray[np.float64]:
    """The `bbox` column of a table as an array (row, 4)."""
    column = table["bbox"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return np.column_stack([column.field(side).to_numpy(zero_copy_only=False) for side in _SIDES])


def _touch_any(bounds: NDArray[np.float64], boxes: Iterable[Box]) -> NDArray[np.bool_]:
    """Whether bounds (row, 4) touch at least one of the boxes; a common edge counts."""
    found = np.zeros(len(bounds), bool)
    for west, south, east, north in boxes:
        touches = (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
        found |= touches
    return found


def _groups(footer: pq.FileMetaData, places: Mapping[str, int]) -> Groups:
    count = footer.num_row_groups
    rows = np.array([footer.row_group(number).num_rows for number in range(count)], np.int64)
    bounds = np.full((count, 4), (-180.0, -90.0, 180.0, 90.0))
    for number in range(count):
        group = footer.row_group(number)
        sides = [group.column(places[f"bbox.{side}"]).statistics for side in _SIDES]
        if all(side is not None and side.has_min_max for side in sides):
            bounds[number] = (sides[0].min, sides[1].min, sides[2].max, sides[3].max)
    first = np.concatenate([[0], np.cumsum(rows)[:-1]]) if count else np.empty(0, np.int64)
    return Groups(rows=rows, first=first.astype(np.int64), bounds=bounds)


def _asset_size(edition: Edition) -> int:
    try:
        return int(edition.item["assets"]["inventory-parquet"]["file:size"])
    except (KeyError, TypeError, ValueError) as error:
        raise EditionError(
            f"the item of {edition.id} states no inventory ({error!r}); restore its item.json"
        ) from error
