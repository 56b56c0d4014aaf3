"""What an evaluation found, as scores of a model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from talik_inference.model import ModelCard, Score, read_card
from talik_stac.errors import ModelError
from talik_training.card import with_scores, write_card
from talik_training.evaluate.report import ROWS
from talik_training.evaluate.run import Evaluation, ModelScores

FIGURES = (
    *(f"pixel.{name}" for name in ("iou", "f1", "precision", "recall", "kappa")),
    *(f"object.overlap.{name}" for name in ("f1", "precision", "recall")),
    "object.iou_0.5.f1",
    "boundary.mean_m",
    "calibration.ece",
)
"""Those of the table that a card holds; evaluation.json has them all."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured on, and how again."""

    data: str
    """As the card is to call it."""
    sources: Sequence[str]
    """Names of the data sets in it."""
    test_only: bool
    """Whether only samples that their publisher keeps for tests were looked at."""
    command: str


def add_to_card(folder: Path, ours: ModelScores, done: Evaluation, measured: Measured) -> ModelCard:
    """Write the scores of a model into the card.json of its folder, with the baseline's; earlier ones are replaced.

    Raises ModelError where another model lies in the folder by now.
    """
    card = read_card(str(folder), (folder / "card.json").read_bytes())
    if card.sha256 != ours.card.sha256:
        raise ModelError(f"{folder} holds another model than was evaluated; evaluate it again")
    data = data_words(card, measured)
    theirs = [
        score.model_copy(update={"of": other.card.reference})
        for other in done.models
        if other is not ours and other.card.reference == done.baseline
        for score in scores_of(other, done.places, data, measured.command)
    ]
    written = with_scores(card, scores_of(ours, done.places, data, measured.command), theirs)
    write_card(written, folder)
    return written


def scores_of(found: ModelScores, places: int, data: str, command: str) -> list[Score]:
    """The figures of one model that are defined, rounded to four decimals."""
    made = []
    for name in FIGURES:
        figure = found.figures[name]
        if figure.value is None:
            continue
        made.append(
            Score(
                metric=ROWS[name],
                value=round(figure.value, 4),
                low=None if figure.low is None else round(figure.low, 4),
                high=None if figure.high is None else round(figure.high, 4),
                data=data,
                places=places,
                command=command,
            )
        )
    return made


def data_words(card: ModelCard, measured: Measured) -> str:
    """What the card calls the data: a score on what a model has learned from must not pass for a test."""
    known = sorted({source.name for source in card.sources} & set(measured.sources))
    part = ", test part" if measured.test_only else ""
    return f"{measured.data}{part}" + (
        "" if measured.test_only or not known else " (the model learned from part of it)"
    )
