"""Export: ONNX answers as torch, or nothing is exported; small variants say what they cost."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch

from talik_inference.model import Scaling
from talik_stac.errors import ModelError
from talik_training import export as exporting
from talik_training.export import OPSET, TOLERANCE, Calibration, export, quantised
from talik_training.networks import Network, NetworkRules

RULES = NetworkRules(weights="random", decoder_channels=(32, 16, 16, 8, 8), indices=(("green", "nir"),))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    made = Network(RULES, {"green": Scaling(mean=0.1, std=0.1), "nir": Scaling(mean=0.2, std=0.1)})
    with torch.no_grad():
        for _ in range(3):  # statistics of batch norms that are not those of a fresh network
            made(torch.randn(4, 2, 64, 64))
    return made.eval()


def windows(count: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    chance = np.random.default_rng(1)
    return [chance.standard_normal((2, 64, 96), np.float32) for _ in range(count)]


def test_export_equals_torch_on_windows_of_any_size(network: Network) -> None:
    exported = export(network, Calibration(slope=1.7, shift=-0.4), windows(2))
    assert exported.windows == 6
    assert exported.difference <= TOLERANCE
    graph = onnx.load_from_string(exported.onnx)
    assert graph.opset_import[0].version >= OPSET
    sides = [d.dim_param for d in graph.graph.input[0].type.tensor_type.shape.dim]
    assert sides[2:] == ["y", "x"]


def test_a_graph_that_differs_is_not_exported(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    right = exporting._ask
    monkeypatch.setattr(exporting, "_ask", lambda session, window: right(session, window) + np.float32(2e-4))
    with pytest.raises(ModelError, match=r"differs from torch by 0\.0002 on 5 windows"):
        export(network, Calibration(), windows(1))


def test_a_graph_that_answers_nan_is_not_exported(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    right = exporting._ask
    monkeypatch.setattr(exporting, "_ask", lambda session, window: right(session, window) * np.float32("nan"))
    with pytest.raises(ModelError, match="differs from torch"):
        export(network, Calibration(), windows(1))


@pytest.mark.parametrize("variant", ["fp16", "int8-dynamic", "int8-static"])
def test_variants_are_smaller_and_say_their_loss(network: Network, variant: exporting.Variant) -> None:
    graph = export(network, Calibration(), windows(1)).onnx
    made = quantised(graph, variant, windows(4), threshold=0.5)
    assert len(made.onnx) < 0.6 * len(graph)
    assert 0 <= made.difference_mean <= made.difference_max <= 1
    assert 0 <= made.iou <= 1
    if variant == "fp16":
        assert made.difference_max < 0.02


def test_weights_stored_in_half_take_half_the_room_and_answer_the_same() -> None:
    # Its norms come after the activation, so that the exporter cannot fold them into weights that float16 cannot hold.
    rules = NetworkRules(architecture="csmask", weights="random")
    rounded = Network(rules, {"green": Scaling(mean=0.1, std=0.1), "nir": Scaling(mean=0.2, std=0.1)}).eval()
    exporting.round_weights(rounded)
    whole = export(rounded, Calibration(), windows(1))
    half = export(rounded, Calibration(), windows(1), stored="float16")

    assert half.difference <= TOLERANCE
    assert len(half.onnx) < 0.51 * len(whole.onnx)
    sessions = [exporting._session(graph) for graph in (whole.onnx, half.onnx)]
    first, second = (exporting._ask(session, windows(1)[0]) for session in sessions)
    assert np.abs(first - second).max() < 1e-6


def test_weights_that_were_not_rounded_are_never_stored_in_half(network: Network) -> None:
    exported = export(network, Calibration(), windows(1), stored="float16")

    assert exported.difference <= TOLERANCE
