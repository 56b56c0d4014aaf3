"""Write a U-Net with a resnet18 encoder and random weights as an ONNX model with a card, for the benchmarks.

    python benchmarks/export_unet.py FOLDER [--core 960] [--halo 32]

The weights are random (seeded): the model maps nothing, it costs what a trained one costs. Its last bias is set so
that about 7 % of the simulated scene lies above the threshold, as in a lake district.
"""

from __future__ import annotations

import argparse
import hashlib
import warnings
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch

from scene import BANDS, landscape
from talik_inference.model import ModelCard, Scaling

WATER_SHARE = 0.07


def build() -> torch.nn.Module:
    """U-Net, resnet18 encoder, four bands in, one probability out."""
    torch.manual_seed(7)
    unet = smp.Unet("resnet18", encoder_weights=None, in_channels=len(BANDS), classes=1)
    unet.eval()
    sample = torch.from_numpy(landscape(0, 0, 1024, 1024).astype(np.float32) * 1e-4)[None]
    with torch.no_grad():
        logits = unet(sample)
        unet.segmentation_head[0].bias -= torch.quantile(logits.flatten()[::7], 1 - WATER_SHARE)
        unet.segmentation_head[0].weight *= 4 / logits.std()
        unet.segmentation_head[0].bias *= 4 / logits.std()
    return torch.nn.Sequential(unet, torch.nn.Sigmoid()).eval()


def export(folder: Path, *, core_px: int, halo_px: int) -> None:
    """Write model.onnx and card.json."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            build(),
            (torch.zeros(1, len(BANDS), 256, 256),),
            str(path),
            input_names=["bands"],
            output_names=["probability"],
            dynamic_axes={"bands": {2: "y", 3: "x"}, "probability": {2: "y", 3: "x"}},
            opset_version=17,
            dynamo=False,
        )
    card = ModelCard(
        name="unet-resnet18-random",
        version="1",
        title="U-Net, resnet18 encoder, random weights: for benchmarks only",
        landform="water",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        bands={name: Scaling() for name in BANDS},
        resolution_min_m=0.1,
        resolution_max_m=100.0,
        core_px=core_px,
        halo_px=halo_px,
        threshold=0.5,
        licence="Apache-2.0",
        training_data="none: random weights",
        limits="Maps nothing. For measuring speed only.",
    )
    (folder / "card.json").write_text(card.model_dump_json(indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--core", type=int, default=960)
    parser.add_argument("--halo", type=int, default=32)
    arguments = parser.parse_args()
    export(arguments.folder, core_px=arguments.core, halo_px=arguments.halo)
