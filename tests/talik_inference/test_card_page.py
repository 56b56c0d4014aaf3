"""The page of a card says all of the card, models side by side."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from full_cards import full_card
from talik_inference.card_page import headline, page, said_size
from talik_inference.model import load_model
from talik_stac.store import open_store


def test_the_page_says_every_field_of_the_card(tmp_path: Path) -> None:
    card = full_card(tmp_path)
    said = page(card, 4_700_000)
    assert "`tiny@1`, thermokarst lake, 4.7 MB" in said
    assert "| figure | tiny@1 | ndwi@1 |" in said
    assert "| pixel IoU | 0.800 (0.700 to 0.850) | 0.500 (0.400 to 0.600) |" in said
    assert "| pixel F1 | 0.889 (0.700 to 0.850) |\n" in said.replace(" | - |", " |")
    assert "On lakes (40 places):" in said
    assert "On test part: 8 samples of 8 places:" in said
    assert "| ponds \\| simulated | 90 | 50 | 2020 | CC0 | nobody |" in said
    assert "| train | 34 | 1,070 | 60 |" in said
    assert "0.9 x logit -0.1" in said
    assert "0.0123" in said
    assert "2 h 1 min on cpu" in said
    texts = (card.limits, card.architecture, card.encoder, card.precision, card.command, "2026-11-21", card.sha256)
    assert [text for text in texts if text not in said] == []


def test_every_table_has_as_many_cells_in_each_row_as_in_its_heading(tmp_path: Path) -> None:
    lines = page(full_card(tmp_path), 1).replace("\\|", "").splitlines()
    for above, line in pairwise(lines):
        if above.startswith("|") and line.startswith("|"):
            assert above.count("|") == line.count("|"), line


def test_a_card_without_scores_says_that_nothing_was_measured() -> None:
    said = page(load_model("ndwi@1", open_store("nowhere")).card, 812)
    assert "Nothing was measured." in said
    assert "812 bytes" in said


def test_the_headline_is_the_first_pixel_iou_that_has_a_baseline_beside_it(tmp_path: Path) -> None:
    card = full_card(tmp_path)
    found = headline(card)
    assert found is not None
    assert (found.score.data, [other.of for other in found.others]) == ("lakes", ["ndwi@1"])
    alone = headline(card.model_copy(update={"baseline": ()}))
    assert alone is not None
    assert alone.score.value == 0.9
    assert headline(card.model_copy(update={"scores": ()})) is None


def test_sizes_are_said_in_the_unit_that_fits() -> None:
    assert [said_size(n) for n in (812, 12_000, 4_700_000)] == ["812 bytes", "12 kB", "4.7 MB"]
