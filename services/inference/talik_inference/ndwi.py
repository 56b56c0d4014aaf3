"""NDWI as an ONNX model: the baseline that every learned water model must beat, on the same path.

NDWI = (green - nir) / (green + nir), McFeeters 1996, Int. J. Remote Sensing 17(7), 1425-1432.
The model answers (NDWI + 1) / 2, so that NDWI > 0 reads probability > 0.5; it is an index, not a calibrated
probability. `python -m talik_inference.ndwi FOLDER` writes the files that ship in models/ndwi/1.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from talik_inference.model import ModelCard, Scaling

SMALLEST_SUM = 1e-6
"""Reflectance: below it green + nir says nothing, and NDWI is taken as 0 (not water)."""


def ndwi_onnx() -> bytes:
    """Build the graph: float32 (batch, [green, nir], y, x) -> float32 (batch, 1, y, x)."""
    constants: dict[str, NDArray[Any]] = {
        "start_green": np.array([0], np.int64),
        "start_nir": np.array([1], np.int64),
        "end_nir": np.array([2], np.int64),
        "band_axis": np.array([1], np.int64),
        "smallest_sum": np.array(SMALLEST_SUM, np.float32),
        "half": np.array(0.5, np.float32),
        "zero": np.array(0.0, np.float32),
    }
    nodes = [
        helper.make_node("Max", ["bands", "zero"], ["positive"]),
        helper.make_node("Slice", ["positive", "start_green", "start_nir", "band_axis"], ["green"]),
        helper.make_node("Slice", ["positive", "start_nir", "end_nir", "band_axis"], ["nir"]),
        helper.make_node("Sub", ["green", "nir"], ["difference"]),
        helper.make_node("Add", ["green", "nir"], ["sum"]),
        helper.make_node("Max", ["sum", "smallest_sum"], ["divisor"]),
        helper.make_node("Div", ["difference", "divisor"], ["ndwi"]),
        helper.make_node("Mul", ["ndwi", "half"], ["half_ndwi"]),
        helper.make_node("Add", ["half_ndwi", "half"], ["probability"]),
    ]
    shape_in: list[str | int | None] = ["batch", 2, "y", "x"]
    shape_out: list[str | int | None] = ["batch", 1, "y", "x"]
    graph = helper.make_graph(
        nodes,
        "ndwi",
        [helper.make_tensor_value_info("bands", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape_out)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="talik")
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def ndwi_card(onnx: bytes) -> ModelCard:
    """Describe the model."""
    return ModelCard(
        name="ndwi",
        version="1",
        title="Normalized difference water index above zero (McFeeters 1996)",
        landform="water",
        sha256=hashlib.sha256(onnx).hexdigest(),
        bands={"green": Scaling(), "nir": Scaling()},
        resolution_min_m=0.3,
        resolution_max_m=100.0,
        core_px=1024,
        halo_px=0,
        threshold=0.5,
        licence="Apache-2.0",
        training_data="none: a formula",
        architecture="(green - nir) / (green + nir), rescaled to 0..1",
        command="python -m talik_inference.ndwi FOLDER",
        limits=(
            "An index, not a calibrated probability. It takes mountain and cloud shadow, wet snow and dark roofs "
            "for water and misses turbid, shallow and overgrown water. Green and NIR must share one radiometric "
            "scale; in stretched 8-bit imagery the threshold has no physical meaning."
        ),
    )


def write_ndwi(folder: Path) -> None:
    """Write model.onnx and card.json."""
    onnx = ndwi_onnx()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "card.json").write_text(ndwi_card(onnx).model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    write_ndwi(Path(sys.argv[1]))
