"""One measured run of the main path or of ONNX Runtime alone, in a process of its own, so that memory is its own.

    python benchmarks/mapping.py map STORE COLLECTION MODEL --executor threads --workers 2
    python benchmarks/mapping.py ort MODEL --threads 2 --seconds 20

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def ort_alone(model_folder: str, workers: int, threads: int, seconds: float) -> dict[str, float]:
    """Windows a second of ONNX Runtime by itself: `workers` inferences side by side, of `threads` threads each."""
    from talik_inference.model import load_model, open_predictor
    from talik_stac.store import open_store

    model = load_model(model_folder, open_store("unused"))
    side = model.card.core_px + 2 * model.card.halo_px
    predictor = open_predictor(model, threads=threads)
    window = np.random.default_rng(0).random((len(model.card.bands), side, side), np.float32) * np.float32(0.3)
    predictor(window)
    started = time.perf_counter()

    def go() -> int:
        count = 0
        while time.perf_counter() - started < seconds:
            predictor(window)
            count += 1
        return count

    with ThreadPoolExecutor(workers) as pool:
        count = sum(future.result() for future in [pool.submit(go) for _ in range(workers)])
    return {"windows_per_s": count / (time.perf_counter() - started), "window_px": side, "peak_mb": peak_mb()}


def map_collection(arguments: argparse.Namespace) -> dict[str, float]:
    """Search to published edition."""
    from talik_inference.executors import executor
    from talik_inference.pipeline import MapRequest, map_landform
    from talik_inference.search import Imagery
    from talik_inference.season import parse_season
    from talik_stac.areas import area_of_collection
    from talik_stac.landforms import recipe_for
    from talik_stac.store import open_store

    spent = timed_inference()
    store = open_store(arguments.store)
    recipe = recipe_for("water").model_copy(update={"model": arguments.model})
    seen: list[int] = []
    started = time.perf_counter()
    result = map_landform(
        MapRequest(
            store_root=store.root,
            aoi=area_of_collection(store, arguments.collection),
            recipe=recipe,
            season=parse_season("2021", recipe),
            imagery=Imagery(collection=arguments.collection),
            executor=executor(arguments.executor, workers=arguments.workers),
            block_px=arguments.block,
        ),
        progress=lambda done: seen.append(done.valid_px),
    )
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "inference_share": sum(spent) / (arguments.workers * seconds),
        "pixels": sum(seen),
        "objects": result.edition.count,
        "peak_mb": peak_mb(),
    }


def timed_inference() -> list[float]:
    """Have every inference of this process note its seconds; return the list where they are noted."""
    from talik_inference import blocks

    spent: list[float] = []
    opened = blocks.open_predictor

    def open_timed(*arguments: Any, **options: Any) -> Any:
        predictor = opened(*arguments, **options)

        def timed(window: Any) -> Any:
            started = time.perf_counter()
            answer = predictor(window)
            spent.append(time.perf_counter() - started)
            return answer

        return timed

    blocks.open_predictor = open_timed
    return spent


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ort")
    one.add_argument("model")
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--threads", type=int, default=1)
    one.add_argument("--seconds", type=float, default=20)
    two = commands.add_parser("map")
    two.add_argument("store")
    two.add_argument("collection")
    two.add_argument("model")
    two.add_argument("--executor", default="threads")
    two.add_argument("--workers", type=int, default=2)
    two.add_argument("--block", type=int, default=2048)
    given = parser.parse_args()
    if given.command == "ort":
        print(json.dumps(ort_alone(str(Path(given.model)), given.workers, given.threads, given.seconds)))
    else:
        print(json.dumps(map_collection(given)))
