"""The plain text of what service.py measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_TIMED = ("", "p50 ms", "p95 ms", "p99 ms", "requests", "errors", "a second", "features", "kB")
_DOWNLOADED = ("download", "MB", "first s", "s", "MB/s", "peak MB", "anonymous MB after")


def table(document: Mapping[str, Any]) -> str:
    """Times, downloads, ratios, and what must be known to read them."""
    parts = [
        f"\n{document['edition']}: {document['count']:,} rows",
        *_aligned(
            ("", "p50 ms", "p95 ms", "p99 ms", "requests", "errors", "a second", "features", "kB"), _times(document)
        ),
        "",
        *_aligned(_DOWNLOADED, _downloads(document)),
        "",
        "p50 of ours over theirs (below 1: ours is the faster)",
        *_aligned(("", "ratio"), ((name, f"{value:.3f}") for name, value in document["ratios"].items())),
        "",
        *(f"{name}: {_plain(value)}" for name, value in document["said"].items()),
        *(f"differs - {each}" for each in document["differences"]),
        *(f"skipped - {each}" for each in document["skipped"]),
        *(f"error - {each['name']}: {each['first_error']}" for each in document["times"] if each["first_error"]),
    ]
    return "\n".join(parts)


def _times(document: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for each in document["times"]:
        yield (
            each["name"] + (f" ({each['note']})" if each["note"] else ""),
            *(f"{each[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            str(each["requests"]),
            str(each["errors"]),
            *(_number(each[name]) for name in ("requests_per_s", "mean_features", "mean_kb")),
        )


def _downloads(document: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    for each in document["downloads"]:
        name = each["name"] if each["whole"] else f"{each['name']} (broken off)"
        numbers = (
            each["size"] / 1e6,
            each["first_s"],
            each["seconds"],
            each["mb_per_s"],
            each["peak"],
            each["anonymous"],
        )
        yield name, *(f"{number:.1f}" for number in numbers)


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines: the first column to the left, numbers to the right."""
    every = [head, *rows]
    widths = [max(len(row[place]) for row in every) for place in range(len(head))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in every
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return f"{value:.1f}" if isinstance(value, float) else str(value)
