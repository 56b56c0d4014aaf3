"""A loop's rounds as a picture: what was found, and recall and precision against the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from talik_training.rounds.table import MEASURES
from talik_training.rounds.words import RoundRow

COLOURS = {"recall": "tab:blue", "precision": "tab:orange"}


def draw_rounds(rows: Sequence[RoundRow], path: Path, *, title: str, start: int, truth: int | None = None) -> None:
    """Draw a PNG; `start` objects were known before round 1, `truth` there are (None where nobody knows)."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    measured = any(row.measures for row in rows)
    axes = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    _draw_found(axes[0], rows, start=start, truth=truth)
    if measured:
        _draw_scores(axes[1], rows)
    for each in axes:
        each.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=110)


def _draw_found(axes: Axes, rows: Sequence[RoundRow], *, start: int, truth: int | None) -> None:
    rounds = [0, *(row.round for row in rows)]
    axes.bar(rounds[1:], [row.newly_found for row in rows], color="lightgrey", label="newly found")
    axes.plot(rounds, [start, *(row.total for row in rows)], "o-", color="black", label="total known")
    if truth is not None and all("recall" in row.measures for row in rows):
        right = [row.measures["recall"] * truth for row in rows]
        axes.plot(rounds[1:], right, "o:", color="tab:blue", label="of them thaw slumps")
    if truth is not None:
        axes.axhline(truth, color="tab:red", ls="--", label=f"truth: {truth:,}")
    axes.set(xlabel="round (0: before the first)", ylabel="thaw slumps", ylim=(0, None))
    axes.legend(fontsize=8, loc="center right")


def _draw_scores(axes: Axes, rows: Sequence[RoundRow]) -> None:
    for name, label in MEASURES.items():
        points = [(row.round, row.measures[name]) for row in rows if name in row.measures]
        if points:
            colour = COLOURS[name.removeprefix("model_")]
            whose = label if name.startswith("model") else f"inventory's {label}"
            axes.plot(
                *zip(*points, strict=True), "o--" if name.startswith("model") else "o-", color=colour, label=whose
            )
    axes.set(xlabel="round", ylabel="share of objects, against the truth", ylim=(0, 1.02))
    axes.legend(fontsize=8, loc="lower right")
