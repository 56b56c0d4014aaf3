"""What loading the service costs: a Lambda pays it at each cold start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

API = Path(__file__).parents[2] / "services/api"
HEAVY = ("torch", "onnxruntime", "onnx", "dask", "distributed", "scipy", "rasterio", "geopandas", "titiler",
         "rio_tiler", "pyogrio", "matplotlib", "boto3", "PIL", "talik_inference")  # fmt: skip
SCRIPT = """
import json, re, sys, time
begun = time.process_time()
import talik_api.app, talik_api.lambda_handler
seconds = time.process_time() - begun
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())
print(json.dumps({"seconds": seconds, "peak_kb": int(peak[1]), "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What fresh processes say that loaded the service, the quickest of three: the first one fills the disk cache."""
    environment = {**os.environ, "PYTHONPATH": str(API), "TALIK_STORE": str(tmp_path_factory.mktemp("store"))}
    said = [
        subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True).stdout
        for _ in range(3)
    ]
    found: list[dict[str, Any]] = [json.loads(each) for each in said]
    return min(found, key=lambda each: each["seconds"])


def test_the_service_is_loaded_in_less_than_two_seconds_of_a_core(loaded: dict[str, Any]) -> None:
    assert loaded["seconds"] < 2


def test_the_loaded_service_takes_less_than_300_mb(loaded: dict[str, Any]) -> None:
    assert loaded["peak_kb"] < 300_000


@pytest.mark.parametrize("name", HEAVY)
def test_nothing_heavy_is_loaded_before_it_is_needed(loaded: dict[str, Any], name: str) -> None:
    assert name not in loaded["modules"]
