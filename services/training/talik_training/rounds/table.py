"""A loop's rounds as a table, with the columns of Table 1 of Xia et al. 2022 (Earth Syst. Sci. Data 14, 3875-3908)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from talik_training.rounds.words import RoundRow

COLUMNS = {
    "round": "round",
    "positives": "positives",
    "negatives": "negatives",
    "inspected": "candidates inspected",
    "newly_found": "newly found",
    "total": "total",
}
"""Field of a row -> heading."""
MEASURES = {
    "recall": "recall",
    "precision": "precision",
    "model_recall": "model's recall",
    "model_precision": "model's precision",
}
"""Measure against the truth -> heading."""


def headings(rows: Sequence[RoundRow]) -> list[str]:
    """Of the columns; measures only where they are known."""
    return [*COLUMNS.values(), *(MEASURES.get(name, name) for name in _measured(rows))]


def cells(rows: Sequence[RoundRow]) -> list[list[str]]:
    """The rows as text, in the order of `headings`."""
    names = _measured(rows)
    return [
        [*(f"{getattr(row, name):,}" for name in COLUMNS), *(_said(row.measures, name) for name in names)]
        for row in rows
    ]


def as_markdown(rows: Sequence[RoundRow], *, title: str, notes: Sequence[str] = ()) -> str:
    """A table with its title above and its notes below."""
    lines = [headings(rows), ["---:"] * len(headings(rows)), *cells(rows)]
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"# {title}", "", *table, "", *(f"- {note}" for note in notes), ""])


def as_text(rows: Sequence[RoundRow]) -> list[str]:
    """Lines of fixed width for a terminal: headings, then one a round."""
    lines = [headings(rows), *cells(rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines]


def _measured(rows: Sequence[RoundRow]) -> list[str]:
    """Known measures in their order, then others."""
    there = dict.fromkeys(name for row in rows for name in row.measures)
    return [*(name for name in MEASURES if name in there), *(name for name in there if name not in MEASURES)]


def _said(measures: Mapping[str, float], name: str) -> str:
    return f"{measures[name]:.3f}" if name in measures else ""
