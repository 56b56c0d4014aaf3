"""Models over labelled samples: predict, count by place, draw places again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talik_inference.grid import Rect
from talik_inference.model import Model, ModelCard, Predictor, open_predictor
from talik_inference.plan import Windows
from talik_inference.predict import landform_above, predict_block
from talik_stac.errors import ImageryError, ModelError
from talik_training.evaluate.bootstrap import DRAWS, Draws, Interval, intervals_of_sums
from talik_training.evaluate.scores import UNKNOWN
from talik_training.evaluate.tally import Figures, Tally, figures, tally, tally_of
from talik_training.samples import Sample

COMPARED = ("pixel.iou", "pixel.f1", "object.iou_0.5.f1", "object.overlap.f1", "calibration.ece")
"""Figures whose difference to the baseline gets an interval of its own."""
MANY_LEFT_OUT = 0.5
"""A larger share of true objects left out is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """One model over all samples."""

    card: ModelCard
    figures: dict[str, Interval]
    total: Tally
    places: dict[str, Tally]
    over_baseline: dict[str, Interval]
    """Figure minus the baseline's, over the same draws of places; empty for the baseline and without one."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Several models over the same pixels."""

    models: tuple[ModelScores, ...]
    """As given; the baseline last."""
    samples: int
    places: int
    baseline: str | None
    draws: Draws
    min_object_m2: float
    warnings: tuple[str, ...]


@dataclass(kw_only=True)
class _Contender:
    """A model under test and what was counted so far."""

    model: Model
    predictor: Predictor
    places: dict[str, Tally] = field(default_factory=dict)

    @property
    def card(self) -> ModelCard:
        return self.model.card


def evaluate(
    models: Sequence[Model],
    samples: Iterable[Sample],
    *,
    baseline: Model | None = None,
    threads: int = 1,
    min_object_m2: float = 0.0,
    draws: Draws = DRAWS,
) -> Evaluation:
    """Score models, and a baseline beside them, on the same pixels of all samples, read one at a time.

    A baseline whose bands a sample lacks is left out with a warning; a model so is refused.
    Raises ModelError, ImageryError.
    """
    contenders = [_open(model, threads) for model in models]
    beside = None if baseline is None else _open(baseline, threads)
    _refuse_twice([*contenders, *([beside] if beside else [])])
    warnings: dict[str, None] = {}
    count = 0
    for sample in samples:
        count += 1
        if beside and not set(beside.card.bands) <= set(sample.bands):
            warnings[_left_out(beside.card, sample)] = None
            beside = None
        _count(sample, [*contenders, *([beside] if beside else [])], min_object_m2, warnings)
    if not count:
        raise ImageryError("no labelled samples; check the patterns of the [[source]] tables and --part")
    vectors = _vectors(beside) if beside else None
    tested = [*contenders, *([beside] if beside else [])]
    scores = tuple(_scores(c, None if c is beside else vectors, draws) for c in tested)
    warnings |= dict.fromkeys(_few_objects(scores[0].total))
    return Evaluation(
        models=scores,
        samples=count,
        places=len(tested[0].places),
        baseline=beside.card.reference if beside else None,
        draws=draws,
        min_object_m2=min_object_m2,
        warnings=tuple(warnings),
    )


def predict_sample(model: Model, predictor: Predictor, sample: Sample, wanted: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Map a sample of any size as `talik map` maps a block: uint8 (y, x) 0..250, 255 = no data or not wanted.

    Windows have the card's core and halo, anchored at the sample's first pixel; beyond the sample there is no data,
    so the model sees the sample mirrored. Raises ImageryError where the sample lacks a band of the model.
    """
    card = model.card
    image = sample.with_bands(tuple(card.bands)).image
    height, width = sample.label.shape
    core = Rect(col=0, row=0, col_end=_whole(width, card.core_px), row_end=_whole(height, card.core_px))
    outer = core.expand(card.halo_px)
    inside = Rect(col=0, row=0, col_end=width, row_end=height)
    data = np.full((len(card.bands), *outer.shape), np.nan, np.float32)
    data[:, *inside.within(outer)] = image
    wanted_core = np.zeros(core.shape, bool)
    wanted_core[:height, :width] = wanted
    valid = np.asarray(np.isfinite(data).all(axis=0))
    windows = Windows(core_px=card.core_px, halo_px=card.halo_px)
    return predict_block(predictor, card, windows, data, valid, wanted_core, core)[:height, :width]


def _open(model: Model, threads: int) -> _Contender:
    return _Contender(model=model, predictor=open_predictor(model, threads=threads))


def _count(sample: Sample, contenders: Sequence[_Contender], min_object_m2: float, warnings: dict[str, None]) -> None:
    """Add one sample to its place, for every contender over the pixels that all of them see."""
    bands = tuple({band: None for c in contenders for band in c.card.bands})
    seen = np.isfinite(sample.with_bands(bands).image).all(axis=0)
    label = np.where(seen, sample.label, UNKNOWN).astype(np.uint8)
    for contender in contenders:
        card = contender.card
        probability = predict_sample(contender.model, contender.predictor, sample, label != UNKNOWN)
        counted = tally(
            label,
            probability,
            above=landform_above(card.threshold),
            pixel_m=sample.pixel_m,
            min_object_m2=min_object_m2,
        )
        contender.places[sample.group] = contender.places.get(sample.group, Tally()) + counted
        try:
            card.check_resolution(sample.pixel_m)
        except ModelError as error:
            warnings[str(error)] = None


def _scores(contender: _Contender, baseline: NDArray[np.float64] | None, draws: Draws) -> ModelScores:
    vectors = _vectors(contender)
    return ModelScores(
        card=contender.card,
        figures=intervals_of_sums(vectors, figures, draws),
        total=tally_of(vectors.sum(axis=0)),
        places=dict(sorted(contender.places.items())),
        over_baseline={} if baseline is None else _differences(vectors, baseline, draws),
    )


def _differences(vectors: NDArray[np.float64], baseline: NDArray[np.float64], draws: Draws) -> dict[str, Interval]:
    """Paired: both are figured from the same draw of places."""
    width = vectors.shape[1]

    def over(both: NDArray[np.float64]) -> Figures:
        ours, theirs = figures(both[:width]), figures(both[width:])
        return {name: _minus(ours[name], theirs[name]) for name in COMPARED}

    return intervals_of_sums(np.hstack([vectors, baseline]), over, draws)


def _minus(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _vectors(contender: _Contender) -> NDArray[np.float64]:
    """(place, count), places by name."""
    return np.stack([counted.vector for _, counted in sorted(contender.places.items())])


def _whole(size: int, core_px: int) -> int:
    """The size grown to whole cores."""
    return -(-size // core_px) * core_px


def _left_out(card: ModelCard, sample: Sample) -> str:
    return (
        f"the baseline {card.reference} needs {', '.join(card.bands)} but sample {sample.id} has "
        f"{', '.join(sample.bands)}: left out"
    )


def _few_objects(total: Tally) -> list[str]:
    """Warn where most true objects are left out, so that object scores speak for few of them."""
    counted, out = int(total.by_iou[:, 0].sum()), int(total.left_out[0])
    if out <= MANY_LEFT_OUT * (counted + out):
        return []
    return [
        f"{out:,} of {counted + out:,} true objects touch unknown pixels or are too small and are left out: object and "
        "boundary scores speak for the rest only"
    ]


def _refuse_twice(contenders: Sequence[_Contender]) -> None:
    names = [c.card.reference for c in contenders]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ModelError(f"{', '.join(twice)} is given twice; give each model once, with another version in its card")
