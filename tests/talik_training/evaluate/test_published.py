"""Claims of others: agreement within rounding is silent, contradiction is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik_inference.model import Score, load_model
from talik_stac.errors import TalikError
from talik_stac.store import open_store
from talik_training.evaluate.published import Claim, claims_of, contradiction, contradictions, read_claims


def claim(f1: str, iou: str) -> Claim:
    return Claim(source="Somebody 2020", f1=f1, iou=iou)


@given(st.floats(0, 1), st.integers(1, 6), st.integers(1, 6))
def test_figures_of_one_confusion_never_contradict_however_they_are_rounded(f1: float, d: int, e: int) -> None:
    iou = f1 / (2 - f1)
    assert contradiction(claim(f"{f1:.{d}f}", f"{iou:.{e}f}")) is None
    assert contradiction(claim(repr(f1), repr(iou))) is None


@given(st.floats(0.02, 1))
def test_percent_are_understood(f1: float) -> None:
    iou = f1 / (2 - f1)
    assert contradiction(claim(f"{100 * f1:.1f}", f"{100 * iou:.1f}")) is None


def test_a_contradiction_names_the_source_both_figures_and_what_f1_means() -> None:
    said = contradiction(claim("0.85", "0.85"))
    assert said is not None
    assert "Somebody 2020: F1 0.85 means IoU 0.7316 to 0.7467" in said
    assert "given as 0.85" in said


def test_the_last_digit_decides() -> None:
    # F1 0.8: IoU 2/3.
    assert contradiction(claim("0.80", "0.67")) is None
    assert contradiction(claim("0.800", "0.660")) is not None
    assert contradiction(claim("0.8", "0.66")) is None


def test_what_is_no_score_is_refused() -> None:
    with pytest.raises(TalikError, match="IoU 101 is no score"):
        contradiction(claim("0.8", "101"))
    with pytest.raises(TalikError, match="F1 'high' is no number"):
        contradiction(claim("high", "0.5"))


def test_a_file_of_claims_is_read_and_a_malformed_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text('[[published]]\nsource = "A"\nf1 = "0.80"\niou = 0.60\n')
    assert read_claims(path) == (Claim(source="A", f1="0.80", iou="0.6"),)
    assert len(contradictions(read_claims(path))) == 1
    path.write_text('[[published]]\nsource = "A"\nf1 = 0.8\n')
    with pytest.raises(TalikError, match=r"published\.0\.iou"):
        read_claims(path)
    path.write_text("= 1")
    with pytest.raises(TalikError, match="is not TOML"):
        read_claims(path)
    with pytest.raises(TalikError, match="cannot read"):
        read_claims(tmp_path / "nowhere.toml")


def test_the_scores_of_a_card_are_claims_by_data(tmp_path: Path) -> None:
    card = load_model("ndwi@1", open_store(str(tmp_path))).card
    stated = tuple(
        Score(metric=metric, value=value, data=data, command="none")
        for metric, value, data in (("pixel F1", 0.8, "A"), ("IoU", 0.9, "A"), ("F1", 0.8, "B"), ("recall", 1.0, "B"))
    )
    (found,) = claims_of(card.model_copy(update={"scores": stated}))
    assert found == Claim(source="card of ndwi@1, A", f1="0.8", iou="0.9")
