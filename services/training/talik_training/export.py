"""Export: the trained network as an ONNX graph that answers as torch does, or none."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from talik_stac.errors import ModelError
from talik_training.networks import Network

OPSET = 17
SMALLEST_HALVED = 16
"""Tensors of fewer numbers stay float32."""
TOLERANCE = 1e-4
"""Largest difference of probability between ONNX Runtime and torch."""

Variant = Literal["fp16", "int8-dynamic", "int8-static"]
Windows = Sequence[NDArray[np.float32]]
"""Each (band, y, x), scaled."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """probability = sigmoid(slope x logit + shift) (Platt 1999)."""

    slope: float = 1.0
    shift: float = 0.0


class Answering(nn.Module):
    """What is exported: scaled reflectance (sample, band, y, x) -> probability (sample, 1, y, x)."""

    def __init__(self, network: Network, calibration: Calibration) -> None:
        """Wrap a network; the calibration becomes part of the graph."""
        super().__init__()
        self.network, self.calibration = network, calibration

    def forward(self, scaled: Tensor) -> Tensor:
        """Give the probability of every pixel."""
        return torch.sigmoid(self.network(scaled) * self.calibration.slope + self.calibration.shift)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An ONNX graph that was checked."""

    onnx: bytes
    difference: float
    """The largest found, of probability."""
    windows: int
    """How many were compared."""


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A smaller or faster variant and what it costs."""

    variant: Variant
    onnx: bytes
    difference_max: float
    difference_mean: float
    """Of probability, against the float32 graph."""
    iou: float
    """Of its landform pixels with those of the float32 graph at the threshold."""


def round_weights(network: nn.Module) -> None:
    """Round all weights to what float16 can hold, in place: what is measured afterwards is what is exported."""
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())


def export(
    network: Network,
    calibration: Calibration,
    real: Windows,
    *,
    stored: Literal["float32", "float16"] = "float32",
    seed: int = 0,
) -> Exported:
    """Export to ONNX and compare with torch on random and on real windows. Raises ModelError where they differ.

    `stored` float16: for a network whose weights were rounded by `round_weights`.
    """
    answering = Answering(network, calibration).cpu().eval()
    graph = _graph(answering, len(network.bands))
    if stored == "float16":
        graph = stored_in_half(graph)
    windows = [*_random_windows(len(network.bands), seed), *real]
    session = _session(graph)
    found = []
    for window in windows:
        with torch.inference_mode():
            expected = answering(torch.from_numpy(window)[None]).numpy()
        found.append(np.abs(_ask(session, window) - expected[0, 0]).max())
    difference = float(np.max(found))  # NaN stays NaN, which Python's max would lose
    if not difference <= TOLERANCE:
        raise ModelError(
            f"the ONNX graph differs from torch by {difference:.2g} on {len(windows)} windows, at most {TOLERANCE:g} "
            "is allowed; nothing was exported. Try another architecture or version of torch"
        )
    return Exported(onnx=graph, difference=difference, windows=len(windows))


def quantised(graph: bytes, variant: Variant, windows: Windows, *, threshold: float) -> Quantised:
    """Make a variant and measure it against the float32 graph; the first half of the windows calibrates int8-static."""
    if len(windows) < 2:
        raise ModelError(f"{len(windows)} windows are too few to make {variant}: some calibrate, others measure")
    half = len(windows) // 2
    small = _half_precision(graph) if variant == "fp16" else _int8(graph, variant, windows[:half])
    before, after = _session(graph), _session(small)
    pairs = [(_ask(before, window), _ask(after, window)) for window in windows[half:]]
    gaps = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    both = sum(int(((a > threshold) & (b > threshold)).sum()) for a, b in pairs)
    either = sum(int(((a > threshold) | (b > threshold)).sum()) for a, b in pairs)
    return Quantised(
        variant=variant,
        onnx=small,
        difference_max=float(gaps.max()),
        difference_mean=float(gaps.mean()),
        iou=both / either if either else 1.0,
    )


def _graph(answering: Answering, bands: int) -> bytes:
    free = {0: "batch", 2: "y", 3: "x"}
    out = io.BytesIO()
    with warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but the new one needs onnxscript and gives no smaller graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            answering,
            (torch.zeros(1, bands, 64, 96),),
            out,  # type: ignore[arg-type]  # the TorchScript exporter writes to files in memory
            opset_version=OPSET,
            dynamo=False,
            input_names=["bands"],
            output_names=["probability"],
            dynamic_axes={"bands": free, "probability": free},
        )
    return out.getvalue()


def stored_in_half(graph: bytes) -> bytes:
    """The same graph with float32 weights kept as float16 and cast back: ONNX Runtime does so once, when it loads."""
    model = onnx.load_from_string(graph)
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16) if values.dtype == np.float32 else None
        # Scalars such as epsilon, and what was not rounded before, stay as they are.
        if half is None or values.size < SMALLEST_HALVED or not np.array_equal(half.astype(np.float32), values):
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(half, f"{tensor.name}.half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString())


def _random_windows(bands: int, seed: int) -> Iterator[NDArray[np.float32]]:
    chance = np.random.default_rng(seed)
    for shape in ((64, 64), (64, 192), (256, 128), (320, 320)):
        yield chance.standard_normal((bands, *shape), np.float32)


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _ask(session: Any, window: NDArray[np.float32]) -> NDArray[np.float32]:
    (answer,) = session.run(None, {session.get_inputs()[0].name: window[None]})
    probability: NDArray[np.float32] = answer[0, 0]
    return probability


def _half_precision(graph: bytes) -> bytes:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        # It warns of every weight too small for 16 bits; the accuracy is measured afterwards.
        warnings.simplefilter("ignore")
        small = convert_float_to_float16(onnx.load_from_string(graph), keep_io_types=True)
    written: bytes = small.SerializeToString()
    return written


def _int8(graph: bytes, variant: Variant, windows: Windows) -> bytes:
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder:
        source, ready, target = (Path(folder) / name for name in ("source.onnx", "ready.onnx", "target.onnx"))
        source.write_bytes(graph)
        quantization.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        if variant == "int8-dynamic":
            quantization.quantize_dynamic(str(ready), str(target), weight_type=quantization.QuantType.QUInt8)
        else:
            quantization.quantize_static(
                str(ready),
                str(target),
                _CalibrationWindows(windows),
                per_channel=True,
                # The last convolution and sigmoid keep their precision: thresholds lie there.
                op_types_to_quantize=["Conv"],
            )
        return target.read_bytes()


class _CalibrationWindows:
    """What onnxruntime.quantization calls a CalibrationDataReader."""

    def __init__(self, windows: Windows) -> None:
        """Give each window once."""
        self._left = iter(windows)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Give the next input, None at the end."""
        window = next(self._left, None)
        return None if window is None else {"bands": window[None]}
