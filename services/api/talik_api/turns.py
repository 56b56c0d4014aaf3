"""How many answers are made at once: more than the cores can do only takes memory (fifty clients: 860 MB)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from talik_api.problems import Problem

FILES = 2
"""Files that GDAL makes at once; each takes disk, and a core for long."""
WAIT_S = 60.0


class Turns:
    """Answers that read and write rows wait for their turn."""

    def __init__(self, *, answers: int | None = None, files: int = FILES) -> None:
        """`answers`: at once; two a core where left out."""
        self._answers = threading.BoundedSemaphore(max(answers or 2 * (os.cpu_count() or 1), files + 2))
        self._files = threading.BoundedSemaphore(files)

    @contextmanager
    def one(self, *, is_file: bool) -> Iterator[None]:
        """Wait for a turn, for one that makes a file at most WAIT_S. Raises Problem 503."""
        if is_file and not self._files.acquire(timeout=WAIT_S):
            raise Problem(503, "Too many files are being made", "ask again soon", headers={"Retry-After": "30"})
        try:
            with self._answers:
                yield
        finally:
            if is_file:
                self._files.release()
