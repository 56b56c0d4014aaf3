"""Pictures of a training run: its curves, and examples of image, label and probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from talik_training.samples import UNKNOWN

SHOWN = ("red", "green", "blue")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One window with the model's answer."""

    title: str
    image: NDArray[np.float32]
    """(band, y, x) reflectance, NaN where no data."""
    bands: tuple[str, ...]
    label: NDArray[np.uint8]
    probability: NDArray[np.float32]


def draw_curves(history: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Draw loss and validation scores over epochs as a PNG."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in history]
    left.plot(epochs, [row["loss"] for row in history], color="black")
    left.set(xlabel="epoch", ylabel="training loss", title=title)
    for name in ("iou", "f1", "precision", "recall"):
        right.plot(epochs, [row[name] for row in history], label=name, lw=2 if name == "iou" else 1)
    right.set(xlabel="epoch", ylabel="validation, at the best threshold", ylim=(0, 1))
    right.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def draw_examples(examples: Sequence[Example], path: Path, *, threshold: float) -> None:
    """Draw image, label and probability of each example in a row, with the outline at the threshold."""
    figure = Figure(figsize=(9, 3 * max(len(examples), 1)), layout="constrained")
    axes = figure.subplots(max(len(examples), 1), 3, squeeze=False)
    for row, example in zip(axes, examples, strict=False):
        row[0].imshow(_colours(example))
        row[0].set_title(example.title[:40], fontsize=8)
        row[1].imshow(np.ma.masked_equal(example.label, UNKNOWN), vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
        row[1].set_title("label (grey: unknown)" if UNKNOWN in example.label else "label", fontsize=8)
        row[1].set_facecolor("0.7")
        row[2].imshow(example.probability, vmin=0, vmax=1, cmap="magma")
        if example.probability.min() < threshold < example.probability.max():
            row[2].contour(example.probability, [threshold], colors="cyan", linewidths=0.7)
        row[2].set_title(f"probability, outline at {threshold:.2f}", fontsize=8)
        for axis in row:
            axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)


def _colours(example: Example) -> NDArray[np.float32]:
    """Red, green, blue, or the first band as grey, stretched from 2 to 98 % of the example."""
    has = all(band in example.bands for band in SHOWN)
    layers = example.image[[example.bands.index(b) for b in SHOWN] if has else [0, 0, 0]]
    if np.isnan(layers).all():
        return np.ones((*layers.shape[1:], 3), np.float32)
    low, high = np.nanpercentile(layers, (2, 98))
    stretched = np.clip((layers - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(np.moveaxis(np.nan_to_num(stretched, nan=1.0), 0, -1), np.float32)
