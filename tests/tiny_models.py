"""Tiny ONNX models with cards: one that always answers 1, and one that looks around itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from talik_inference.model import ModelCard, Scaling


def write_model(folder: Path, nodes: list[Any], constants: dict[str, Any], **card: Any) -> str:
    """Write a graph `bands` (1, 2, y, x) -> `probability` (1, 1, y, x); return the folder as a model reference.

    Where the card names its bands the graph has as many inputs.
    """
    shape_in: list[str | int | None] = ["batch", len(card.get("bands", ("green", "nir"))), "y", "x"]
    shape_out: list[str | int | None] = ["batch", 1, "y", "x"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("bands", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape_out)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx)
    described = {
        "name": "tiny",
        "version": "1",
        "title": "For tests",
        "landform": "water",
        "sha256": hashlib.sha256(onnx).hexdigest(),
        "bands": {"green": Scaling(), "nir": Scaling()},
        "resolution_min_m": 0.1,
        "resolution_max_m": 100.0,
        "core_px": 64,
        "halo_px": 0,
        "threshold": 0.5,
        "licence": "Apache-2.0",
        "training_data": "none",
        "limits": "tests only",
        **card,
    }
    (folder / "card.json").write_text(ModelCard.model_validate(described).model_dump_json())
    return str(folder)


def always_one(folder: Path, **card: Any) -> str:
    """A model that is sure of everything."""
    nodes = [
        helper.make_node("ReduceMean", ["bands"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "one"], ["probability"]),
    ]
    return write_model(folder, nodes, {"zero": np.float32(0), "one": np.float32(1)}, **card)


def blurred_green(folder: Path, *, radius: int, **card: Any) -> str:
    """A model that answers the mean of green over (2 radius + 1)^2 pixels: its halo must be at least the radius."""
    side = 2 * radius + 1
    weights = np.zeros((1, 2, side, side), np.float32)
    weights[0, 0] = 1 / side**2
    nodes = [helper.make_node("Conv", ["bands", "weights"], ["probability"], pads=[radius] * 4)]
    return write_model(folder, nodes, {"weights": weights}, **{"halo_px": radius, **card})


def dark(folder: Path, *, bands: Sequence[str], below: float, radius: int = 0, **card: Any) -> str:
    """A model that finds what is darker than `below` in the mean of its bands over (2 radius + 1)^2 pixels.

    probability = 1 / (1 + exp(8 (mean / below - 1))): above 0.5 where the mean is below the limit.
    """
    side = 2 * radius + 1
    nodes = [
        helper.make_node("Conv", ["bands", "weights"], ["mean"], pads=[radius] * 4),
        helper.make_node("Mul", ["mean", "steep"], ["scaled"]),
        helper.make_node("Sub", ["eight", "scaled"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants = {
        "weights": np.full((1, len(bands), side, side), 1 / (len(bands) * side**2), np.float32),
        "steep": np.float32(8 / below),
        "eight": np.float32(8),
    }
    described = {"bands": {name: Scaling() for name in bands}, "halo_px": radius, **card}
    return write_model(folder, nodes, constants, **described)
