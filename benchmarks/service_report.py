"""The plain text of what service.py measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from load import Times

_TIMED = ("", "p50 ms", "p95 ms", "p99 ms", "requests", "errors", "a second", "features", "kB", "ours / it")
_DOWNLOADED = ("download", "MB", "first s", "s", "MB/s", "peak MB", "anonymous MB after")


@dataclass(kw_only=True)
class Report:
    """What was measured."""

    times: list[Times] = field(default_factory=list)
    downloads: list[dict[str, Any]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def add(self, times: Times) -> Times:
        """Keep and show."""
        self.times.append(times)
        count, errors = len(times.seconds), len(times.errors)
        print(f"  {times.name}: p50 {times.quantile_ms(0.5):.1f} ms of {count}, {errors} errors", flush=True)
        return times

    def ours(self, name: str) -> Times:
        """What was measured of our own server under a name."""
        return next(each for each in self.times if each.name == name)


def table(document: Mapping[str, Any]) -> str:
    """Times, downloads, ratios, and what must be known to read them."""
    parts = [
        f"\n{document['edition']}: {document['count']:,} rows",
        *_aligned(_TIMED, _times(document)),
        "",
        "ours / it: our p50, measured beside it, over its p50; below 1 ours is the faster",
        "",
        *_aligned(_DOWNLOADED, _downloads(document)),
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
            "-" if each["ours_over_it"] is None else f"{each['ours_over_it']:.3f}",
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
