"""The log of one attempt: lines with their time, written to the store as one small file."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from talik_stac.job_documents import log_key
from talik_stac.jobs import Attempt
from talik_stac.store import Store

MAX_LOG_LETTERS = 256 * 1024
"""What comes after is left out, but for the last line."""


class JobLog:
    """Collects lines; `flush` writes all of them where there are new ones. Safe between threads."""

    def __init__(self, store: Store, attempt: Attempt) -> None:
        self._store, self._key = store, log_key(attempt.job, attempt.number)
        self._text = ""
        self._left_out = 0
        self._last = ""
        self._written = ""
        self._lock = threading.Lock()

    def say(self, message: str) -> None:
        """Add a line; line breaks in the message become spaces."""
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {' '.join(message.split())}\n"
        with self._lock:
            if not self._left_out and len(self._text) + len(line) <= MAX_LOG_LETTERS:
                self._text += line
            else:
                self._left_out, self._last = self._left_out + 1, line

    @property
    def text(self) -> str:
        """The whole log."""
        rest = f"... {self._left_out - 1:,} lines left out\n{self._last}" if self._left_out else ""
        return self._text + rest

    def flush(self) -> None:
        """Write the file where lines were added since. Raises StoreError."""
        with self._lock:
            text = self.text
            if text != self._written:
                self._store.put(self._key, text.encode())
                self._written = text
