"""The table of rounds, on the published figures of the corridor inventory (Xia et al. 2022)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from PIL import Image

from talik_training.rounds.loop import Rounds
from talik_training.rounds.report import write_report
from talik_training.rounds.table import as_markdown, as_text
from talik_training.rounds.words import Known, RoundRow

TOTALS = (300, 449, 645, 718, 804, 838, 842, 863, 875, 875)


def rows(**measures: float) -> tuple[RoundRow, ...]:
    return tuple(
        RoundRow(
            round=number,
            positives=before,
            negatives=1_000 * number,
            proposed=2_000,
            inspected=2_000,
            accepted=after - before,
            newly_found=after - before,
            total=after,
            measures=measures,
        )
        for number, (before, after) in enumerate(pairwise(TOTALS), start=1)
    )


def test_the_table_has_the_columns_of_the_paper() -> None:
    lines = as_markdown(rows(), title="Rounds").splitlines()
    assert lines[2] == "| round | positives | negatives | candidates inspected | newly found | total |"
    assert lines[4] == "| 1 | 300 | 1,000 | 2,000 | 149 | 449 |"
    assert lines[12] == "| 9 | 875 | 9,000 | 2,000 | 0 | 875 |"


def test_measures_are_shown_where_there_are_any() -> None:
    assert "model's recall" not in as_text(rows())[0]
    lines = as_text(rows(model_recall=0.5, recall=0.25, other=1))
    assert lines[0].split("  ")[-3:] == ["recall", "model's recall", "other"]
    assert lines[1].split()[-3:] == ["0.250", "0.500", "1.000"]


def test_the_lines_of_the_terminal_are_of_one_width() -> None:
    assert len({len(line) for line in as_text(rows(recall=1))}) == 1


def test_the_report_holds_the_notes_and_a_picture(tmp_path: Path) -> None:
    known = Known(positives=(), negatives=())
    done = Rounds(site="simulated", rows=rows(recall=0.5, model_precision=0.9), known=known, ended="nothing new")
    table, picture = write_report(done, tmp_path, notes=["the expert errs"], truth=900)
    assert "- ended: nothing new\n- the expert errs" in table.read_text()
    with Image.open(picture) as shown:
        assert shown.size[0] > 900


def test_a_loop_without_a_round_is_reported_without_a_picture(tmp_path: Path) -> None:
    waiting = Rounds(site="here", rows=(), known=Known(positives=(), negatives=()), waiting="look")
    (table,) = write_report(waiting, tmp_path)
    assert "- not ended" in table.read_text()
