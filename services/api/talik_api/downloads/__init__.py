"""Files of the store over HTTP: whole, in ranges, or by a redirect to the bucket they lie in."""

from __future__ import annotations

from talik_api.downloads.files import StoredFile, answer_file
from talik_api.downloads.presign import in_bucket, presigned, size_of
from talik_api.downloads.ranges import Part, RangeError, part_of

__all__ = [
    "Part",
    "RangeError",
    "StoredFile",
    "answer_file",
    "in_bucket",
    "part_of",
    "presigned",
    "size_of",
]
