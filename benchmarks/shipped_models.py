"""How fast each shipped model maps, beside ONNX Runtime alone with the same model, windows and threads, in one run.

    python benchmarks/shipped_models.py [MODEL...] --side 2048 --out shipped.json

The scene is simulated noise of the model's bands: convolutions take the same time on any pixels. The pipeline's rate
counts every mapped pixel once; ONNX Runtime's rate counts each window by its core, so that the halo is no loss twice.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox

from talik_inference.executors import executor
from talik_inference.indexing import IndexOptions, index_files
from talik_inference.model import Model, load_model, open_predictor
from talik_inference.pipeline import MapRequest, map_landform
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_inference.sidecar import Said
from talik_stac.areas import area_of_collection
from talik_stac.landforms import recipe_for
from talik_stac.store import open_store

SHIPPED = ("ndwi@1", "water@1", "thaw-slump@1", "ice-fracture@1", "glacial-lake-sar@1")


def alone(model: Model, *, workers: int, seconds: float) -> float:
    """Mpx/s of cores by ONNX Runtime alone: `workers` inferences of one thread side by side."""
    side = model.card.core_px + 2 * model.card.halo_px
    window = np.random.default_rng(0).standard_normal((len(model.card.bands), side, side), np.float32)
    predictor = open_predictor(model, threads=1)
    predictor(window)
    end = time.perf_counter() + seconds
    started = time.perf_counter()

    def go() -> int:
        count = 0
        while time.perf_counter() < end:
            predictor(window)
            count += 1
        return count

    with ThreadPoolExecutor(workers) as pool:
        count = sum(future.result() for future in [pool.submit(go) for _ in range(workers)])
    return count * model.card.core_px**2 / (time.perf_counter() - started) / 1e6


def mapped(model: Model, *, side: int, workers: int) -> float:
    """Mpx/s of `talik map`: search, reading, inference, vectorising and publishing."""
    card = model.card
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder) / "scene_20200715.tif"
        pixel_m = float(np.clip(10, card.resolution_min_m, card.resolution_max_m))
        _write(scene, len(card.bands), side, pixel_m)
        store = open_store(str(Path(folder) / "store"))
        index_files(store, [scene], IndexOptions(collection="noise", said=Said(bands=tuple(card.bands))))
        recipe = recipe_for(card.landform).model_copy(update={"model": card.reference, "threshold": 1.0})
        request = MapRequest(
            store_root=store.root,
            aoi=area_of_collection(store, "noise", name="noise"),
            recipe=recipe,
            season=parse_season("2020-07-15/2020-07-15", recipe),
            imagery=Imagery(collection="noise", catalog=None),
            executor=executor("threads", workers=workers),
        )
        started = time.perf_counter()
        map_landform(request)
        return side**2 / (time.perf_counter() - started) / 1e6


def _write(path: Path, bands: int, side: int, pixel_m: float) -> None:
    grid = GeoBox.from_bbox(
        (500_000, 6_000_000, 500_000 + side * pixel_m, 6_000_000 + side * pixel_m), crs="EPSG:32633", resolution=pixel_m
    )
    chance = np.random.default_rng(1)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands,
        "height": side,
        "width": side,
        "dtype": "uint16",
        "crs": "EPSG:32633",
        "transform": grid.affine,
        "tiled": True,
        "nodata": 0,
    }
    with rasterio.open(path, "w", **profile) as target:
        for band in range(1, bands + 1):
            target.write(chance.integers(300, 3000, (side, side), np.uint16), band)


def main() -> None:
    """Measure each, before and after for the limit, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=SHIPPED)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows = []
    for reference in given.models:
        model = load_model(reference, open_store("unused"))
        before = alone(model, workers=given.workers, seconds=given.seconds)
        rate = mapped(model, side=given.side, workers=given.workers)
        limit = (before + alone(model, workers=given.workers, seconds=given.seconds)) / 2
        rows.append(
            {
                "model": reference,
                "mb": len(model.onnx) / 1e6,
                "mpx_per_s": rate,
                "ort_mpx_per_s": limit,
                "ratio": rate / limit,
            }
        )
        print(
            "{model}: {mb:.1f} MB, {mpx_per_s:.2f} Mpx/s, ONNX Runtime alone {ort_mpx_per_s:.2f}: {ratio:.2f}".format(
                **rows[-1]
            )
        )
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
