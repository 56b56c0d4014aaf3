"""End to end against ONNX Runtime alone: one scene, one U-Net, the same window and threads, in one run.

    python benchmarks/end_to_end.py [--size 16384] [--folder .bench]

Prints the throughput of the whole path (search, read, predict, vectorise, write, publish) and of ONNX Runtime alone
on the same windows, before and after, and their ratio; and peak memory for a quarter of the area and for all of it.
Needs the extra [bench] to export the U-Net.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from scene import BANDS, write_scene

HERE = Path(__file__).parent
CORE_PX, HALO_PX, BLOCK_PX = 576, 32, 1152
"""Chosen by measurement: docs/benchmarks.md."""


def measured(*arguments: object) -> dict[str, Any]:
    """Run benchmarks/mapping.py in a process of its own."""
    done = subprocess.run(
        [sys.executable, str(HERE / "mapping.py"), *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def prepare(folder: Path, size_px: int) -> tuple[Path, str]:
    """Write and index a simulated scene; return the store and the collection."""
    store, collection = folder / f"store-{size_px}", f"bench-{size_px}"
    if not (store / "imagery" / collection).exists():
        scene = write_scene(folder / f"scene-{size_px}.tif", size_px)
        talik = Path(sys.executable).parent / "talik"
        options = ["--collection", collection, "--bands", ",".join(BANDS), "--datetime", "2021-07-15T22:00:00Z"]
        subprocess.run([talik, "index", scene, *options, "--store", store], check=True, stdout=subprocess.DEVNULL)
    for published in ("inventories", "runs", "areas", "models"):
        shutil.rmtree(store / published, ignore_errors=True)
    return store, collection


def export_model(folder: Path, core_px: int, halo_px: int) -> Path:
    """Write the U-Net, once."""
    model = folder / f"unet-{core_px}-{halo_px}"
    if not (model / "card.json").exists():
        options = ["--core", str(core_px), "--halo", str(halo_px)]
        subprocess.run([sys.executable, HERE / "export_unet.py", model, *options], check=True)
    return model


def main(size_px: int, folder: Path, core_px: int, halo_px: int, block_px: int) -> None:
    """Measure and print."""
    folder.mkdir(parents=True, exist_ok=True)
    model = export_model(folder, core_px, halo_px)
    stores = {size: prepare(folder, size) for size in (size_px // 2, size_px)}
    before = measured("ort", model)
    runs = {}
    for size, (store, collection) in stores.items():
        runs[size] = measured("map", store, collection, model, "--block", block_px)
        print(
            f"{size:6d} px: {runs[size]['seconds']:.1f} s, {runs[size]['pixels'] / 1e6:.0f} Mpx, "
            f"{runs[size]['objects']} objects, peak {runs[size]['peak_mb']:.0f} MB",
            flush=True,
        )
    after = measured("ort", model)
    alone = (before["windows_per_s"] + after["windows_per_s"]) / 2
    run = runs[size_px]
    windows = math.ceil(size_px / core_px) ** 2
    core_rate, window_px = run["pixels"] / run["seconds"] / 1e6, before["window_px"]
    print(f"ONNX Runtime alone: {before['windows_per_s']:.3f} windows/s before, {after['windows_per_s']:.3f} after")
    print(f"  a window is {window_px} px with a core of {core_px} px: {alone * core_px**2 / 1e6:.3f} Mpx/s of cores")
    print(f"end to end: {core_rate:.3f} Mpx/s; at least {windows} windows of full size")
    print(f"ratio, cores against cores: {core_rate / (alone * core_px**2 / 1e6):.3f}")
    print(f"ratio, cores against whole windows (halo counted as lost): {core_rate / (alone * window_px**2 / 1e6):.3f}")
    print(
        f"share of the workers' time inside ONNX Runtime: {run['inference_share']:.3f} "
        "(the ratio to the limit at every moment of the same run, whatever else the machine does)"
    )
    print(f"peak memory, {size_px} px against {size_px // 2} px: {run['peak_mb'] / runs[size_px // 2]['peak_mb']:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=16384)
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--core", type=int, default=CORE_PX)
    parser.add_argument("--halo", type=int, default=HALO_PX)
    parser.add_argument("--block", type=int, default=BLOCK_PX)
    given = parser.parse_args()
    main(given.size, given.folder, given.core, given.halo, given.block)
