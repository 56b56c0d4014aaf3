"""The U-Net of ukis-csmask 0.2.1 in torch, with its weights: five classes on Landsat and Sentinel-2, one of them water.

Wieland, Li and Martinis 2019, Remote Sensing of Environment 230, 111203; the package's ONNX graph (Keras, Apache-2.0)
is rebuilt layer by layer and checked against it by a test. Version 1.0.0 knows clouds and shadows only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from itertools import pairwise

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from talik_inference.model import Scaling
from talik_stac.errors import ModelError

BANDS = ("blue", "green", "red", "nir")
SCALING = {
    name: Scaling(mean=mean, std=std)
    for name, mean, std in zip(
        BANDS, (0.19312, 0.18659, 0.18899, 0.30362), (0.16431, 0.16762, 0.18230, 0.17409), strict=True
    )
}
"""Of reflectance, as ukis_csmask/mask.py has them."""
SHADOW, WATER, SNOW, LAND, CLOUD = range(5)
"""Classes by their place in the answer; which is which was found by comparing with labels."""
DEPTHS = (32, 64, 128, 256, 512)
EPSILON = 1e-6
FIRST = "encoder.0.0.weight"
ORIGIN = "ukis-csmask 0.2.1 (SPARCS and others, Landsat and Sentinel-2)"


class CsmaskNet(nn.Module):
    """Scaled reflectance (sample, input, y, x) -> logit of water against the rest (sample, 1, y, x).

    y and x are multiples of 16. Inputs beyond the four bands start with weights of zero: they change nothing at first.
    """

    def __init__(self, inputs: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.encoder = nn.ModuleList(_block(a, b) for a, b in pairwise((inputs, *DEPTHS)))
        upwards = list(pairwise(reversed(DEPTHS)))
        self.rising = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.decoder = nn.ModuleList(_block(2 * b, b) for _, b in upwards)
        self.classes = nn.Conv2d(DEPTHS[0], 5, 1)

    def forward(self, scaled: Tensor) -> Tensor:
        """Give the logit of every pixel."""
        logits = self.class_logits(scaled)
        others = logits[:, [SHADOW, SNOW, LAND, CLOUD]]
        return logits[:, WATER : WATER + 1] - torch.logsumexp(others, dim=1, keepdim=True)

    def class_logits(self, scaled: Tensor) -> Tensor:
        """Logits of the five classes (sample, 5, y, x)."""
        seen, kept = scaled, []
        for depth, block in enumerate(self.encoder):
            seen = block(nn.functional.max_pool2d(seen, 2) if depth else seen)
            kept.append(seen)
        for rise, block, skip in zip(self.rising, self.decoder, reversed(kept[:-1]), strict=True):
            seen = block(torch.cat([rise(seen), skip], dim=1))
        logits: Tensor = self.classes(seen)
        return logits


def load_packaged(network: CsmaskNet) -> int:
    """Fill the network with the package's weights; gives how many tensors. Raises ModelError where they do not fit."""
    state = network.state_dict()
    theirs = dict(_named(packaged_tensors(), network))
    theirs[FIRST] = _widened(theirs[FIRST], inputs=state[FIRST].shape[1])
    for name, value in theirs.items():
        if state[name].shape != value.shape:
            raise ModelError(f"{name} {tuple(state[name].shape)} does not fit ukis-csmask's {tuple(value.shape)}")
    network.load_state_dict({**state, **theirs})
    return len(theirs)


def packaged_graph() -> bytes:
    """The package's ONNX file. Raises ModelError where it is not installed or of another version."""
    try:
        return (resources.files("ukis_csmask") / "model_4b.onnx").read_bytes()
    except (ImportError, OSError) as error:
        raise ModelError("ukis-csmask 0.2.1 is not installed; pip install 'talik[train]'") from error


def packaged_tensors() -> Mapping[str, list[Tensor]]:
    """Weights of each layer of the graph, by the layer's name."""
    graph = onnx.load_from_string(packaged_graph()).graph
    held = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.name: [torch.from_numpy(numpy_helper.to_array(held[name]).copy()) for name in node.input if name in held]
        for node in graph.node
        if node.op_type in {"Conv", "ConvTranspose", "BatchNormalization"}
    }


def _named(layers: Mapping[str, list[Tensor]], network: CsmaskNet) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of the package with its name in our network."""
    blocks = [f"encoder.{i}" for i in range(len(network.encoder))] + [f"decoder.{i}" for i in range(len(DEPTHS) - 1)]
    norm = ("weight", "bias", "running_mean", "running_var")
    for number, block in enumerate(blocks):
        for half in (0, 1):
            layer = 2 * number + half + 1
            yield from _pairs(f"{block}.{3 * half}", ("weight", "bias"), layers[f"conv2d_{layer}"])
            yield from _pairs(f"{block}.{3 * half + 2}", norm, layers[f"batch_normalization_{layer}"])
    for number in range(len(DEPTHS) - 1):
        yield from _pairs(f"rising.{number}", ("weight", "bias"), layers[f"conv2d_transpose_{number + 1}"])
    yield from _pairs("classes", ("weight", "bias"), layers["conv2d_19"])


def _widened(kernel: Tensor, *, inputs: int) -> Tensor:
    """The first layer's weights with zeros for inputs that it does not know."""
    return torch.cat([kernel, torch.zeros(len(kernel), max(inputs - kernel.shape[1], 0), 3, 3)], dim=1)


def _pairs(layer: str, names: tuple[str, ...], values: list[Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"{layer}.{name}", value) for name, value in zip(names, values, strict=True))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Twice: convolution, ReLU, then the norm, in this order as the package has it."""
    layers: list[nn.Module] = []
    for first in (inputs, outputs):
        layers += [nn.Conv2d(first, outputs, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(outputs, eps=EPSILON)]
    return nn.Sequential(*layers)
