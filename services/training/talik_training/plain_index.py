"""The plain index that a learned model must beat where the field has none: the best threshold of a band or of a ratio.

`python -m talik_training.plain_index RECIPE.toml --out FOLDER` fits it on the recipe's training places and writes a
model folder, so that `talik evaluate MODEL --baseline FOLDER` sets it beside the learned model on the same data.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, checker, helper, numpy_helper

from talik_inference.model import ModelCard, Scaling
from talik_stac.errors import TalikError
from talik_training.recipe import TrainingRecipe, load_recipe
from talik_training.samples import LANDFORM, UNKNOWN, Sample, load_samples
from talik_training.split import split_by_place

LEVELS = 400
"""Thresholds tried over the range of a feature."""
STEEPNESS = 20.0
"""Of the answer around the threshold: a number between 0 and 1, not a calibrated probability."""


@dataclass(frozen=True, kw_only=True)
class PlainIndex:
    """Landform where sign x feature > sign x threshold; the feature is a band or (a - b) / (a + b) of two."""

    first: str
    second: str | None
    sign: int
    threshold: float
    iou: float
    """On the training places, from which the threshold was chosen."""

    @property
    def words(self) -> str:
        """The rule as a reader would write it."""
        feature = self.first if self.second is None else f"({self.first} - {self.second}) / sum"
        return f"{feature} {'>' if self.sign > 0 else '<'} {self.threshold:.4g}"


def fitted_index(samples: Sequence[Sample], bands: Sequence[str]) -> PlainIndex:
    """The band or normalised difference whose threshold has the largest IoU over all samples."""
    return max(_candidates(samples, bands), key=lambda index: index.iou)


def index_onnx(index: PlainIndex, bands: Sequence[str]) -> bytes:
    """Build the graph: float32 (batch, band, y, x) -> float32 (batch, 1, y, x), above 0.5 where the rule holds."""
    constants: dict[str, NDArray[Any]] = {
        "axis": np.array([1], np.int64),
        "slope": np.array(index.sign * STEEPNESS, np.float32),
        "threshold": np.array(index.threshold, np.float32),
        "tiny": np.array(1e-6, np.float32),
    }
    nodes: list[NodeProto] = []
    for name, band in (("a", index.first), ("b", index.second)):
        if band is None:
            continue
        at = bands.index(band)
        constants |= {f"{name}_from": np.array([at], np.int64), f"{name}_to": np.array([at + 1], np.int64)}
        nodes.append(helper.make_node("Slice", ["bands", f"{name}_from", f"{name}_to", "axis"], [name]))
    if index.second is not None:
        nodes += [
            helper.make_node("Sub", ["a", "b"], ["difference"]),
            helper.make_node("Add", ["a", "b"], ["sum"]),
            helper.make_node("Max", ["sum", "tiny"], ["divisor"]),
            helper.make_node("Div", ["difference", "divisor"], ["feature"]),
        ]
    nodes += [
        helper.make_node("Sub", ["a" if index.second is None else "feature", "threshold"], ["beyond"]),
        helper.make_node("Mul", ["beyond", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    return _model(nodes, constants, len(bands))


def write_index(index: PlainIndex, recipe: TrainingRecipe, folder: Path) -> ModelCard:
    """Write model.onnx and card.json."""
    rules = recipe.model
    onnx = index_onnx(index, rules.bands)
    card = ModelCard(
        name=f"{rules.name}-index",
        version=rules.version,
        title=f"Plain index for {rules.landform}: {index.words}",
        landform=rules.landform,
        sha256=hashlib.sha256(onnx).hexdigest(),
        bands={band: Scaling() for band in rules.bands},
        resolution_min_m=rules.resolution_min_m,
        resolution_max_m=rules.resolution_max_m,
        core_px=1024,
        halo_px=0,
        threshold=0.5,
        licence="Apache-2.0",
        training_data=f"one threshold, chosen on the training places of {rules.name}: IoU {index.iou:.3f} there",
        limits="A baseline to measure models against, not for maps.",
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "card.json").write_text(card.model_dump_json(indent=1) + "\n")
    return card


def _candidates(samples: Sequence[Sample], bands: Sequence[str]) -> Iterator[PlainIndex]:
    pairs: list[tuple[str, str | None]] = [(band, None) for band in bands]
    for first, second in [*pairs, *combinations(bands, 2)]:
        values = [_feature(sample, first, second) for sample in samples]
        known = [np.isfinite(v) & (s.label != UNKNOWN) for v, s in zip(values, samples, strict=True)]
        numbers = np.concatenate([v[k] for v, k in zip(values, known, strict=True)])
        truth = np.concatenate([s.label[k] == LANDFORM for s, k in zip(samples, known, strict=True)])
        yield from _best(first, second, numbers, truth)


def _best(
    first: str, second: str | None, numbers: NDArray[np.float32], truth: NDArray[np.bool_]
) -> Iterator[PlainIndex]:
    """The best threshold in either direction, from two histograms."""
    low, high = (float(edge) for edge in np.quantile(numbers, (0.001, 0.999)))
    edges = np.linspace(low, high, LEVELS + 1)
    inside = np.clip(numbers, edges[0], edges[-1])
    right, wrong = (np.histogram(inside[at], edges)[0] for at in (truth, ~truth))
    total = int(truth.sum())
    for sign in (1, -1):
        # Counts on the landform's side of each inner edge.
        hit, false = (
            (counts[::-1].cumsum()[::-1][1:] if sign > 0 else counts.cumsum()[:-1]) for counts in (right, wrong)
        )
        iou = hit / np.maximum(total + false, 1)
        at = int(np.argmax(iou))
        yield PlainIndex(first=first, second=second, sign=sign, threshold=float(edges[at + 1]), iou=float(iou[at]))


def _feature(sample: Sample, first: str, second: str | None) -> NDArray[np.float32]:
    if second is not None:
        return sample.normalised_difference(first, second)
    band: NDArray[np.float32] = sample.image[sample.bands.index(first)]
    return band


def _model(nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]], bands: int) -> bytes:
    free: list[str | int | None] = ["batch", bands, "y", "x"]
    graph = helper.make_graph(
        nodes,
        "plain-index",
        [helper.make_tensor_value_info("bands", TensorProto.FLOAT, free)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1, "y", "x"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="talik")
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit and write; 1 with one line where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m talik_training.plain_index", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        recipe = load_recipe(given.recipe)
        samples = [sample.with_bands(recipe.model.bands) for sample in load_samples(given.recipe)]
        training = split_by_place(samples, recipe.split).part(samples, "train")
        index = fitted_index(training, recipe.model.bands)
        write_index(index, recipe, given.out)
    except TalikError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{index.words}: IoU {index.iou:.3f} on {len(training)} training samples -> {given.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
