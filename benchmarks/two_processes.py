"""Two processes against one, inference held to one thread each, on the U-Net of end_to_end.py.

python benchmarks/two_processes.py [--size 8192] [--folder .bench]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from end_to_end import BLOCK_PX, CORE_PX, HALO_PX, export_model, measured, prepare


def main(size_px: int, folder: Path) -> None:
    """Measure and print."""
    folder.mkdir(parents=True, exist_ok=True)
    model = export_model(folder, CORE_PX, HALO_PX)
    limit = [measured("ort", model, "--workers", workers)["windows_per_s"] for workers in (1, 2)]
    seconds = {}
    for workers in (1, 2):
        store, collection = prepare(folder, size_px)
        options = ["--executor", "processes", "--workers", workers, "--block", BLOCK_PX]
        seconds[workers] = measured("map", store, collection, model, *options)["seconds"]
        print(f"{workers} process(es): {seconds[workers]:.1f} s", flush=True)
    print(f"two processes are {seconds[1] / seconds[2]:.2f} times one")
    print(f"the limit here: two inferences side by side are {limit[1] / limit[0]:.2f} times one (ONNX Runtime alone)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    given = parser.parse_args()
    main(given.size, given.folder)
