"""The picture of the loop on real slump patches: what each round found, and what the model is worth elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from talik_training.rounds.words import RoundRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_rounds(rows: Sequence[RoundRow], path: Path, *, start: int, of: int) -> None:
    """Write a PNG; nothing where no round is finished."""
    if not rows:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _draw_found(left, rows, start=start, of=of)
    _draw_scores(right, rows)
    figure.savefig(path)


def _draw_found(axes: Axes, rows: Sequence[RoundRow], *, start: int, of: int) -> None:
    numbers = [0, *(row.round for row in rows)]
    total = [start, *(row.total for row in rows)]
    axes.bar(numbers[1:], [row.newly_found for row in rows], color="#9ecae1", label="newly found")
    axes.plot(numbers, total, "o-", color="#08519c", label="known")
    axes.axhline(of, color="grey", linestyle=":", label=f"all {of}")
    for number, count in zip(numbers, total, strict=True):
        axes.annotate(str(count), (number, count), xytext=(0, -13), textcoords="offset points", ha="center", size=8)
    axes.set(xlabel="round", ylabel="slump patches", ylim=(0, of * 1.08), title="Found, of real slump patches")
    axes.set_xticks(numbers)
    axes.legend(loc="center right", fontsize=8)


def _draw_scores(axes: Axes, rows: Sequence[RoundRow]) -> None:
    numbers = [row.round for row in rows]
    for name, label, colour in (
        ("recall", "unknown patches found so far", "#08519c"),
        ("f1", "pixel F1, patches never searched", "#d95f0e"),
    ):
        axes.plot(numbers, [row.measures[name] for row in rows], "o-", color=colour, label=label)
    false = [(row.measures["false_in_patches"] + row.measures["false_elsewhere"]) for row in rows]
    share = [wrong / max(row.proposed, 1) for wrong, row in zip(false, rows, strict=True)]
    axes.plot(numbers, share, "s--", color="grey", label="false share of candidates")
    axes.set(xlabel="round", ylim=(0, 1.02), title="Against the published masks")
    axes.set_xticks(numbers)
    axes.legend(loc="best", fontsize=8)
