"""Which tests answer for which abstract test of an OGC standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", bound=Callable[..., None])


def abstract(*ids: str) -> Callable[[T], T]:
    """Say which abstract tests a test carries out; `test_table.py` compares with docs/ogc-conformance.md."""

    def mark(test: T) -> T:
        test.abstract_ids = ids  # type: ignore[attr-defined]
        return test

    return mark
