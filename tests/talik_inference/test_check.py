"""Corrupt and truncated files are found before a run reads them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import box

from talik_inference.check import check_scene_files, file_problem
from talik_stac.scenes import Band, Quality, Scene


def write(path: Path, **options: Any) -> Path:
    pixels = np.random.default_rng(5).integers(1, 250, (2, 300, 280), dtype=np.uint8)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=2,
        height=300,
        width=280,
        dtype="uint8",
        crs="EPSG:32633",
        transform=Affine(10.0, 0.0, 5e5, 0.0, -10.0, 7e6),
        **options,
    ) as target:
        target.write(pixels)
    return path


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"},
    {"BIGTIFF": "YES", "tiled": True, "blockxsize": 128, "blockysize": 128},
    {"ENDIANNESS": "BIG", "compress": "lzw"},
    {"interleave": "band", "tiled": True, "blockxsize": 64, "blockysize": 64},
    {"SPARSE_OK": True},
]


@pytest.mark.parametrize("options", LAYOUTS)
def test_a_whole_file_has_no_problem_in_any_layout(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "whole.tif", **options)
    with rasterio.open(path, "r+") as target:
        target.build_overviews([2, 4])
    assert file_problem(str(path)) is None


@pytest.mark.parametrize("options", LAYOUTS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999])
def test_a_file_cut_anywhere_is_named_truncated(tmp_path: Path, options: dict[str, Any], share: float) -> None:
    path = write(tmp_path / "cut.tif", **options)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(int(size * share))
    assert "truncated" in str(file_problem(str(path)))


@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes_after_a_tiff_header_never_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("noise") / "noise.tif"
    path.write_bytes(b"II*\0" + data)
    assert isinstance(file_problem(str(path)), str)


def test_missing_empty_and_foreign_files_are_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("no raster")
    assert file_problem(str(tmp_path / "none.tif")) == "there is no such file"
    assert file_problem(str(tmp_path)) == "it is not a file"
    assert file_problem(str(tmp_path / "empty.tif")) == "it is empty"
    assert "not recognized" in str(file_problem(str(tmp_path / "text.tif")))


def scene(name: str, path: Path, quality: Path | None = None) -> Scene:
    bands = {
        role: Band(name=role, asset="image", href=str(path), index=i, scale=1, offset=0, nodata=None, grid=None)
        for i, role in enumerate(("green", "nir"), start=1)
    }
    found = None if quality is None else Quality(kind="scl", asset="scl", href=str(quality), index=1, grid=None)
    return Scene(
        id=name,
        collection="c",
        datetime=datetime(2020, 7, 1, tzinfo=UTC),
        cloud_cover=None,
        footprint=box(0, 0, 1, 1),
        bands=bands,
        quality=found,
        item={},
    )


def test_each_bad_file_of_a_scene_is_reported_once_with_its_scene(tmp_path: Path) -> None:
    good = write(tmp_path / "good.tif")
    bad = Path(shutil.copy(good, tmp_path / "bad.tif"))
    bad.write_bytes(good.read_bytes()[:-1000])
    errors = check_scene_files([scene("a", good), scene("b", bad), scene("c", good, quality=tmp_path / "gone.tif")])
    assert [(error.scene_id, Path(error.href).name) for error in errors] == [("b", "bad.tif"), ("c", "gone.tif")]
    assert "truncated" in errors[0].reason
    assert errors[1].reason == "there is no such file"
