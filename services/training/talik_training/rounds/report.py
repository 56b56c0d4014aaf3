"""What a loop says at its end: the table as Markdown, and the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talik_training.rounds.figure import draw_rounds
from talik_training.rounds.kept import write_whole
from talik_training.rounds.loop import Rounds
from talik_training.rounds.table import as_markdown

TABLE, FIGURE = "rounds.md", "rounds.png"


def write_report(rounds: Rounds, folder: Path, *, notes: Sequence[str] = (), truth: int | None = None) -> list[Path]:
    """Write rounds.md, and rounds.png where a round is done; the paths come back."""
    title = f"Rounds of the loop: {rounds.site}"
    how = f"ended: {rounds.ended}" if rounds.ended else "not ended"
    write_whole(folder / TABLE, as_markdown(rounds.rows, title=title, notes=[how, *notes]))
    if not rounds.rows:
        return [folder / TABLE]
    first = rounds.rows[0]
    draw_rounds(rounds.rows, folder / FIGURE, title=rounds.site, start=first.total - first.newly_found, truth=truth)
    return [folder / TABLE, folder / FIGURE]
