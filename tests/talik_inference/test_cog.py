"""COGs: told from other files, and written without loss."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rio_cogeo.cogeo import cog_validate

from talik_inference.cog import checksum, is_cog, write_cog
from talik_stac.errors import ImageryError

SIZE = 1100


def write(path: Path, dtype: str, **options: Any) -> Path:
    pixels = np.random.default_rng(3).integers(0, 4, (4, SIZE, SIZE - 30)).astype(dtype)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=4,
        height=SIZE,
        width=SIZE - 30,
        dtype=dtype,
        crs="EPSG:32633",
        transform=Affine(10.0, 0.0, 5e5, 0.0, -10.0, 7e6),
        **options,
    ) as target:
        target.write(pixels)
        target.update_tags(SENSOR="test")
        target.set_band_description(2, "near infrared")
    return path


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint8", None), ("int16", -9999), ("uint16", 0), ("float32", np.nan)]
)
def test_a_converted_file_is_a_valid_cog_with_the_same_pixels(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    # four 8-bit bands make GDAL mark the fourth alpha: colours where it is 0 must survive
    source = write(tmp_path / "a.tif", dtype, nodata=nodata)
    target = tmp_path / "b.tif"
    assert not is_cog(source)
    write_cog(source, target, categorical=False)
    valid, errors, warnings = cog_validate(str(target), strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(source) as before, rasterio.open(target) as after:
        np.testing.assert_array_equal(after.read(), before.read())
        assert after.transform == before.transform
        assert after.crs == before.crs
        assert after.dtypes == before.dtypes
        assert after.descriptions == before.descriptions
        assert after.tags()["SENSOR"] == "test"
        assert after.nodata == before.nodata or (np.isnan(after.nodata) and np.isnan(before.nodata))
        assert after.block_shapes[0] == (512, 512)
        assert after.compression.name == "deflate"
        assert after.overviews(1) == [2, 4]
    assert not list(tmp_path.glob("*.vrt"))


def test_overviews_average_light_and_never_average_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes.tif"
    pixels = np.where(np.indices((1, 1024, 1024))[2] % 2, 11, 3).astype(np.uint8)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=1024,
        width=1024,
        dtype="uint8",
        crs="EPSG:32633",
        transform=Affine(10.0, 0.0, 5e5, 0.0, -10.0, 7e6),
    ) as target:
        target.write(pixels)
    values = {}
    for categorical in (True, False):
        write_cog(path, tmp_path / "o.tif", categorical=categorical)
        with rasterio.open(tmp_path / "o.tif", overview_level=0) as overview:
            values[categorical] = set(np.unique(overview.read(1)))
    assert values[True] <= {3, 11}
    assert values[False] == {7}


def test_a_nodata_value_that_was_said_is_written_and_pixels_stay(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", "uint16")
    write_cog(source, tmp_path / "b.tif", categorical=False, nodata=3.0)
    with rasterio.open(source) as before, rasterio.open(tmp_path / "b.tif") as after:
        assert after.nodata == 3.0
        np.testing.assert_array_equal(after.read(), before.read())
    assert is_cog(tmp_path / "b.tif")


def test_a_file_that_cannot_be_converted_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no raster")
    assert not is_cog(tmp_path / "a.tif")
    with pytest.raises(ImageryError, match=r"a\.tif: cannot convert to COG"):
        write_cog(tmp_path / "a.tif", tmp_path / "b.tif", categorical=False)


def test_the_checksum_is_a_sha256_multihash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"talik")
    assert checksum(tmp_path / "a") == "1220" + hashlib.sha256(b"talik").hexdigest()
