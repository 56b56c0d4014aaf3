"""Find corrupt and truncated files before a run reads them, without reading their pixels."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from talik_inference.gdal import gdal_env
from talik_stac.errors import ReadError
from talik_stac.scenes import Scene

_OFFSETS, _COUNTS = (273, 324), (279, 325)  # strips, tiles
_SUB_IFDS = 330
_TYPE_BYTES = {3: 2, 4: 4, 13: 4, 16: 8, 18: 8}  # SHORT, LONG, IFD, LONG8, IFD8
_TYPE_CODES = {3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_MOST_IFDS = 1000  # a chain of directories longer than this is a loop


class _BadTiffError(Exception):
    """What is wrong with a TIFF file, in words that follow its name."""


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How the numbers of a TIFF directory are written."""

    order: str
    """'<' or '>', as struct and numpy say it."""
    big: bool

    @property
    def entry_bytes(self) -> int:
        return 20 if self.big else 12

    @property
    def word(self) -> str:
        return self.order + ("Q" if self.big else "I")


def check_scene_files(scenes: Iterable[Scene]) -> list[ReadError]:
    """Open each file of the scenes once and return what is wrong, in the order of the scenes.

    Local files are also compared with what their directories promise, which finds truncation.
    """
    verdicts: dict[str, str | None] = {}
    errors = []
    for scene in scenes:
        hrefs = [band.href for band in scene.bands.values()]
        hrefs += [scene.quality.href] if scene.quality is not None else []
        for href in dict.fromkeys(hrefs):
            if href not in verdicts:
                verdicts[href] = file_problem(href)
            if (reason := verdicts[href]) is not None:
                errors.append(ReadError(scene_id=scene.id, href=href, reason=reason))
    return errors


def file_problem(href: str) -> str | None:
    """Say in one line why a raster cannot be read, None where it seems whole."""
    if not _is_remote(href):
        path = Path(href)
        if not path.is_file():
            return "there is no such file" if not path.exists() else "it is not a file"
        try:
            _check_tiff(path)
        except _BadTiffError as error:
            return str(error)
        except OSError as error:
            return error.strerror or str(error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with gdal_env(), rasterio.open(href) as source:
                return None if source.count > 0 else "it holds no raster band"
    except RasterioError as error:
        return " ".join(str(error).split())


def _is_remote(href: str) -> bool:
    return "://" in href or href.startswith("/vsi")


def _check_tiff(path: Path) -> None:
    """Compare where the tiles of every image in a TIFF end with the file's size. Raises _BadTiffError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if size == 0:
            raise _BadTiffError("it is empty")
        if head[:2] not in (b"II", b"MM"):
            return  # not TIFF: opening decides
        order = "<" if head[:2] == b"II" else ">"
        version = struct.unpack_from(order + "H", head.ljust(16, b"\0"), 2)[0]
        layout = _Layout(order=order, big=version == 43)
        if len(head) < (16 if layout.big else 8):
            raise _BadTiffError(f"it is truncated: {size} bytes")
        first = struct.unpack_from(layout.word, head, 8 if layout.big else 4)[0]
        for end in _data_ends(file, layout, first, size):
            if end > size:
                raise _BadTiffError(f"it is truncated: {size:,} bytes, its pixels need {end:,}")


def _data_ends(file: BinaryIO, layout: _Layout, first: int, size: int) -> Iterator[int]:
    """Yield the byte after the last tile of each image directory, sub-directories too."""
    todo, seen = [first], set()
    while todo:
        at = todo.pop()
        if at == 0 or at in seen:
            continue
        seen.add(at)
        if len(seen) > _MOST_IFDS:
            raise _BadTiffError("its image directories form no list")
        tags, following = _directory(file, layout, at, size)
        todo += [following, *(int(v) for v in tags.get(_SUB_IFDS, ()))]
        for offsets_tag, counts_tag in zip(_OFFSETS, _COUNTS, strict=True):
            offsets, counts = tags.get(offsets_tag), tags.get(counts_tag)
            if offsets is not None and counts is not None and len(offsets) == len(counts) > 0:
                yield int((offsets + counts)[counts > 0].max(initial=0))


def _directory(
    file: BinaryIO, layout: _Layout, at: int, size: int
) -> tuple[dict[int, np.ndarray[tuple[int], np.dtype[np.uint64]]], int]:
    """Read one image directory: the tags that say where pixels lie, and where the next directory is."""
    counter = layout.order + ("Q" if layout.big else "H")
    entries = struct.unpack(counter, _read(file, at, struct.calcsize(counter), size))[0]
    start = at + struct.calcsize(counter)
    raw = _read(file, start, entries * layout.entry_bytes + struct.calcsize(layout.word), size)
    tags = {}
    for number in range(entries):
        entry = raw[number * layout.entry_bytes : (number + 1) * layout.entry_bytes]
        tag, kind = struct.unpack_from(layout.order + "HH", entry)
        if tag not in (*_OFFSETS, *_COUNTS, _SUB_IFDS) or kind not in _TYPE_BYTES:
            continue
        count = struct.unpack_from(layout.word, entry, 4)[0]
        value_at = 12 if layout.big else 8
        length = count * _TYPE_BYTES[kind]
        if length <= layout.entry_bytes - value_at:
            values = entry[value_at : value_at + length]
        else:
            values = _read(file, struct.unpack_from(layout.word, entry, value_at)[0], length, size)
        tags[tag] = np.frombuffer(values, dtype=layout.order + _TYPE_CODES[kind]).astype(np.uint64)
    following = struct.unpack_from(layout.word, raw, entries * layout.entry_bytes)[0]
    return tags, following


def _read(file: BinaryIO, at: int, length: int, size: int) -> bytes:
    if at + length > size:
        raise _BadTiffError(f"it is truncated: {size:,} bytes, its directory needs {at + length:,}")
    file.seek(at)
    return file.read(length)
