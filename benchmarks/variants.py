"""Smaller variants of the shipped models: what they cost in accuracy and gain in speed on this machine.

    TALIK_DATA=../shared/data python benchmarks/variants.py [NAME...] --windows 16

Windows are real: test samples of each model's own recipe; the first half calibrates int8-static, the second half
measures. "IoU" is of the variant's landform with the shipped graph's at the card's threshold: 1 is the same map.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from talik_inference.model import load_model
from talik_stac.store import open_store
from talik_training.augment import window_of
from talik_training.export import Variant, quantised
from talik_training.measured import Scaled
from talik_training.recipe import parted_samples

RECIPES = Path(__file__).parents[1] / "services" / "training" / "recipes"
NAMES = ("water", "thaw-slump", "ice-fracture", "glacial-lake-sar")
VARIANTS: tuple[Variant, ...] = ("fp16", "int8-dynamic", "int8-static")
SIDE_PX = 256


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    print(
        "| model | variant | MB | IoU with shipped | largest, mean difference | Mpx/s, 1 thread |\n"
        "|---|---|---|---|---|---|"
    )
    for name in given.names:
        model = load_model(f"{name}@1", open_store("unused"))
        windows = _windows(name, given.windows)
        rate = speed(model.onnx, windows[0], given.seconds)
        print(f"| {name}@1 | as shipped | {len(model.onnx) / 1e6:.1f} | 1 | 0 | {rate:.2f} |", flush=True)
        for variant in VARIANTS:
            try:
                made = quantised(model.onnx, variant, windows, threshold=model.card.threshold)
                rate = speed(made.onnx, windows[0], given.seconds)
            except Exception as error:  # onnxruntime's tools raise what they like; the table says so
                print(f"| | {variant} | cannot be made: {str(error).splitlines()[0][:80]} | | | |", flush=True)
                continue
            print(
                f"| | {variant} | {len(made.onnx) / 1e6:.1f} | {made.iou:.3f} | {made.difference_max:.3f}, "
                f"{made.difference_mean:.5f} | {rate:.2f} |",
                flush=True,
            )


def speed(graph: bytes, window: NDArray[np.float32], seconds: float) -> float:
    """Mpx/s of ONNX Runtime alone, one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: window[None]}
    session.run(None, feed)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        session.run(None, feed)
        count += 1
    return count * window.shape[1] * window.shape[2] / (time.perf_counter() - started) / 1e6


def _windows(name: str, count: int) -> list[NDArray[np.float32]]:
    """Scaled windows of test samples with landform."""
    card = load_model(f"{name}@1", open_store("unused")).card
    samples = [s for s in parted_samples(RECIPES / f"{name}.toml") if s.part == "test" and s.has_landform]
    scaled = Scaled.by(card.bands)
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    return [scaled(window_of(s.with_bands(tuple(card.bands)), row=0, column=0, size_px=SIDE_PX).image) for s in chosen]


if __name__ == "__main__":
    main()
