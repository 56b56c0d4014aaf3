"""A file on another host as a seekable file, read by range requests through the one door for outgoing requests."""

from __future__ import annotations

import io
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

CHUNK = 256 * 1024
"""Bytes of one request: the header of a COG and its first tile directory fit."""
KEPT = 24
"""Chunks in memory: 6 MB a file."""
MAX_REQUESTS = 400
"""Of one picture and file: 100 MB."""


class RemoteFile(io.RawIOBase):
    """Reads are put together from chunks; the server must know range requests (RFC 9110, 14)."""

    def __init__(self, session: requests.Session, href: str) -> None:
        """Nothing is asked yet."""
        self._session, self._href = session, href
        self._at, self._size, self._asked = 0, -1, 0
        self._chunks: OrderedDict[int, bytes] = OrderedDict()

    def close(self) -> None:
        """Let go of the connection."""
        if not self.closed:
            self._session.close()
        super().close()

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
        self._at = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size()}[whence] + offset
        return self._at

    def size(self) -> int:
        """Bytes in all, as the server says with the first chunk."""
        if self._size < 0:
            self._chunk(0)
        return self._size

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, fewer at the end. Raises OSError, OutgoingError."""
        left = max(0, self.size() - self._at)
        length = left if size is None or size < 0 else min(size, left)
        parts, end = [], self._at + length
        while self._at < end:
            number, start = divmod(self._at, CHUNK)
            part = self._chunk(number)[start : start + end - self._at]
            if not part:
                raise OSError(f"{self._href}: the file ends before the size it states")
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _chunk(self, number: int) -> bytes:
        if number in self._chunks:
            self._chunks.move_to_end(number)
            return self._chunks[number]
        data = self._chunks[number] = self._fetched(number * CHUNK)
        while len(self._chunks) > KEPT:
            self._chunks.popitem(last=False)
        return data

    def _fetched(self, start: int) -> bytes:
        self._asked += 1
        if self._asked > MAX_REQUESTS:
            raise OSError(f"{self._href}: more than {MAX_REQUESTS} requests for one picture; give the file overviews")
        wanted = {"Range": f"bytes={start}-{start + CHUNK - 1}", "Accept-Encoding": "identity"}
        with self._session.get(self._href, headers=wanted, stream=True) as answer:
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status_code != 206 or not size.isdecimal():
                raise OSError(f"{self._href}: status {answer.status_code}; expected 206, a part of a file")
            self._size = int(size)
            return answer.content
