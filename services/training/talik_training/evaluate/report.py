"""An evaluation for people and programs: a table, JSON and a picture, models side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from talik_training.evaluate.bootstrap import Interval
from talik_training.evaluate.calibration import Binning, reliability
from talik_training.evaluate.objects import SIZES, counts_of
from talik_training.evaluate.run import Evaluation, ModelScores
from talik_training.evaluate.scores import confusion_of
from talik_training.evaluate.tally import NEAR_PX, SIZE_KEYS, Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = {
    "pixel.iou": "pixel IoU",
    "pixel.f1": "pixel F1",
    "pixel.precision": "pixel precision",
    "pixel.recall": "pixel recall",
    "pixel.kappa": "pixel kappa",
    "pixel.accuracy": "pixel accuracy",
    "pixel.local_accuracy": f"pixel accuracy within {NEAR_PX} px of landform",
    "object.iou_0.5.f1": "object F1, IoU >= 0.5",
    "object.iou_0.5.precision": "object precision, IoU >= 0.5",
    "object.iou_0.5.recall": "object recall, IoU >= 0.5",
    "object.overlap.f1": "object F1, overlap",
    "object.overlap.precision": "object precision, overlap",
    "object.overlap.recall": "object recall, overlap",
    **{
        f"object.overlap.{key}.recall": f"object recall, overlap, {size}"
        for key, size in zip(SIZE_KEYS, SIZES, strict=True)
    },
    "boundary.mean_m": "boundary error, mean, m",
    "boundary.p95_m": "boundary error, 95 %, m",
    "calibration.ece": "expected calibration error",
    "calibration.brier": "Brier score",
}
BARS = ("pixel.iou", "pixel.f1", "pixel.precision", "pixel.recall", "object.iou_0.5.f1", "object.overlap.f1")
RECALL_BARS = tuple(f"object.overlap.{key}.recall" for key in SIZE_KEYS)
METRES = ("boundary.mean_m", "boundary.p95_m")
BINNINGS: tuple[Binning, ...] = ("equal width", "equal mass")


def table(evaluation: Evaluation) -> Table:
    """One column a model, one row a figure with its interval."""
    level = f"{evaluation.draws.level:.0%}"
    made = Table(
        title=f"{evaluation.samples:,} samples of {evaluation.places:,} places; {level} intervals over places",
        title_justify="left",
    )
    made.add_column("figure", no_wrap=True)
    for scores in evaluation.models:
        made.add_column(_heading(evaluation, scores), justify="right", no_wrap=True)
    for name, words in ROWS.items():
        made.add_row(words, *(said(scores.figures[name]) for scores in evaluation.models))
    made.add_row("true objects (left out)", *(_objects_said(scores.total, 0) for scores in evaluation.models))
    made.add_row("predicted objects (left out)", *(_objects_said(scores.total, 1) for scores in evaluation.models))
    if evaluation.baseline:
        made.add_section()
        for name in evaluation.models[0].over_baseline:
            differences = (scores.over_baseline.get(name, Interval(value=None)) for scores in evaluation.models)
            made.add_row(f"{ROWS[name]}, over {evaluation.baseline}", *(said(d, signed=True) for d in differences))
    return made


def said(interval: Interval, *, signed: bool = False) -> str:
    """Such as 0.812 (0.790 to 0.833); a dash where undefined."""
    if interval.value is None:
        return "-"
    form = "+.3f" if signed else ".3f"
    if interval.low is None or interval.high is None:
        return f"{interval.value:{form}}"
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def as_json(evaluation: Evaluation) -> str:
    """The whole evaluation; the same evaluation gives the same bytes."""
    document = {
        "samples": evaluation.samples,
        "places": evaluation.places,
        "baseline": evaluation.baseline,
        "min_object_m2": evaluation.min_object_m2,
        "intervals": {
            "method": "percentile bootstrap over places",
            "level": evaluation.draws.level,
            "draws": evaluation.draws.count,
            "seed": evaluation.draws.seed,
        },
        "models": [_model(scores) for scores in evaluation.models],
        "warnings": list(evaluation.warnings),
    }
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def draw(path: Path, evaluation: Evaluation) -> Path:
    """Write a PNG: bars with intervals of scores, of recall by size and of boundary error; reliability diagrams."""
    from matplotlib.figure import Figure  # slow to import, and `talik --help` does without

    figure = Figure(figsize=(13, 9), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2)
    _bars(axes[0, 0], evaluation, BARS, "scores")
    _bars(axes[0, 1], evaluation, RECALL_BARS, "object recall by size, overlap", labels=_sizes_said(evaluation))
    _bars(axes[1, 0], evaluation, METRES, "boundary error of matched objects, m", labels=("mean", "95 %"))
    _reliability(axes[1, 1], evaluation)
    for axis in (axes[0, 0], axes[0, 1]):
        axis.set_ylim(0, 1.02)
    figure.suptitle(
        f"{evaluation.samples:,} samples of {evaluation.places:,} places; "
        f"whiskers: {evaluation.draws.level:.0%} over places"
    )
    figure.savefig(path)
    return path


def _model(scores: ModelScores) -> dict[str, Any]:
    card = scores.card
    return {
        "model": card.reference,
        "sha256": card.sha256,
        "threshold": card.threshold,
        "figures": {name: _interval(interval) for name, interval in scores.figures.items()},
        "over_baseline": {name: _interval(interval) for name, interval in scores.over_baseline.items()},
        "counts": _counts(scores.total),
        "reliability": {binning: _diagram(scores.total, binning) for binning in BINNINGS},
        "places": {place: _place(counted) for place, counted in scores.places.items()},
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"value": _rounded(interval.value), "low": _rounded(interval.low), "high": _rounded(interval.high)}


def _counts(counted: Tally) -> dict[str, Any]:
    pixels = confusion_of(counted.pixels)
    return {
        "pixels": {
            "true_positive": pixels.true_positive,
            "false_positive": pixels.false_positive,
            "false_negative": pixels.false_negative,
            "true_negative": pixels.true_negative,
        },
        "objects": {
            rule: {key: vars(counts_of(row)) for key, row in zip(SIZE_KEYS, by_size, strict=True)}
            for rule, by_size in (("iou_0.5", counted.by_iou), ("overlap", counted.by_overlap))
        },
        "objects_left_out": {"truth": int(counted.left_out[0]), "predicted": int(counted.left_out[1])},
        "outlines_compared": int(counted.boundary[0]),
    }


def _diagram(counted: Tally, binning: Binning) -> dict[str, Any]:
    diagram = reliability(counted.histogram, binning=binning)
    return {
        "predicted": [_rounded(value) for value in diagram.predicted],
        "observed": [_rounded(value) for value in diagram.observed],
        "pixels": diagram.count.tolist(),
    }


def _place(counted: Tally) -> dict[str, Any]:
    pixels, objects = confusion_of(counted.pixels), counts_of(counted.by_overlap.sum(axis=0))
    return {
        "pixels": pixels.total,
        "pixel.iou": _rounded(pixels.iou),
        "pixel.f1": _rounded(pixels.f1),
        "objects": objects.truth,
        "object.overlap.recall": _rounded(objects.recall),
        "object.overlap.precision": _rounded(objects.precision),
    }


def _rounded(value: float | None) -> float | None:
    """Six decimals: sums of floats may differ beyond from machine to machine."""
    return None if value is None else round(float(value), 6)


def _objects_said(counted: Tally, which: int) -> str:
    """Such as 13 (402): true (0) or predicted (1) objects that count, and those left out."""
    return f"{int(counted.by_iou[:, 2 * which].sum()):,} ({int(counted.left_out[which]):,})"


def _sizes_said(evaluation: Evaluation) -> tuple[str, ...]:
    """The sizes with how many true objects each holds: the same for every model."""
    counts = evaluation.models[0].total.by_iou[:, 0]
    return tuple(f"{size}\n{count:,} objects" for size, count in zip(SIZES, counts, strict=True))


def _heading(evaluation: Evaluation, scores: ModelScores) -> str:
    name = scores.card.reference
    return f"{name} (baseline)" if name == evaluation.baseline else name


def _bars(
    axis: Axes, evaluation: Evaluation, names: tuple[str, ...], title: str, labels: tuple[str, ...] | None = None
) -> None:
    """Groups of bars, one bar a model; no bar where a figure is undefined."""
    width = 0.8 / len(evaluation.models)
    for k, scores in enumerate(evaluation.models):
        shown = [(i, scores.figures[name]) for i, name in enumerate(names) if scores.figures[name].value is not None]
        where = [i - 0.4 + (k + 0.5) * width for i, _ in shown]
        values = [interval.value or 0.0 for _, interval in shown]
        axis.bar(where, values, width, label=_heading(evaluation, scores), color=f"C{k}")
        for x, (_, interval) in zip(where, shown, strict=True):
            if interval.low is not None and interval.high is not None:
                axis.plot([x, x], [interval.low, interval.high], color="black", linewidth=1.2)
    words = labels or tuple(ROWS[name].replace(", ", ",\n").replace("pixel ", "pixel\n") for name in names)
    axis.set_xticks(range(len(names)), words, fontsize=8)
    axis.set(title=title, xlim=(-0.6, len(names) - 0.4))
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)


def _reliability(axis: Axes, evaluation: Evaluation) -> None:
    axis.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    for k, scores in enumerate(evaluation.models):
        for binning, style in zip(BINNINGS, ("o-", "x:"), strict=True):
            diagram = reliability(scores.total.histogram, binning=binning)
            label = f"{scores.card.reference}, {binning}"
            axis.plot(diagram.predicted, diagram.observed, style, color=f"C{k}", markersize=4, label=label)
    axis.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="mean probability of a bin", ylabel="share of landform", title="reliability"
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
