"""Which bytes of a file a client asks for (RFC 9110, 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from talik_stac.errors import TalikError

_ONE_RANGE = re.compile(
    r"bytes=[ \t]*(?:(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-(?P<suffix>\d{1,18}))[ \t]*", re.ASCII
)


class RangeError(TalikError):
    """A range that the file has no byte of; the answer says how long the file is."""

    status = 416
    title = "The file has no such bytes"

    def __init__(self, header: str, size: int) -> None:
        super().__init__(f"Range '{header[:100]}' begins after the end of the file, which has {size} bytes")
        self.headers = {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"}


@dataclass(frozen=True, kw_only=True)
class Part:
    """`length` bytes from byte `start` of a file of `size` bytes."""

    start: int
    length: int
    size: int

    @property
    def content_range(self) -> str:
        """The value of the header of that name."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{self.size}"

    def at_most(self, length: int) -> Part:
        """This part, cut off after `length` bytes."""
        return Part(start=self.start, length=min(self.length, length), size=self.size)


def part_of(header: str | None, size: int) -> Part | None:
    """Read a Range header; None where the whole file is to be sent.

    A header that is malformed, of another unit, or of several ranges counts as none: a server may ignore it
    (RFC 9110, 14.2). Raises RangeError where no byte of the range exists.
    """
    found = _ONE_RANGE.fullmatch(header.strip().replace("Bytes", "bytes", 1)) if header else None
    if header is None or found is None:
        return None
    if found["suffix"] is not None:
        length = min(int(found["suffix"]), size)
        start = size - length
    else:
        start = int(found["first"])
        last = min(int(found["last"] or size - 1), size - 1)
        if found["last"] is not None and int(found["last"]) < start:
            return None  # malformed: it ends before it begins
        length = last - start + 1
    if length <= 0 or start >= size:
        raise RangeError(header, size)
    return Part(start=start, length=length, size=size)
