"""Dates, bands and ids from tags and names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from talik_inference.naming import default_id, find_datetime, id_by_pattern, roles_by_file
from talik_stac.errors import ImageryError


def write(
    path: Path, count: int = 1, *, tags: dict[str, str] | None = None, descriptions: Any = None, **options: Any
) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=4,
        width=4,
        dtype="uint16",
        crs="EPSG:32633",
        transform=Affine(10.0, 0.0, 5e5, 0.0, -10.0, 7e6),
        **options,
    ) as target:
        target.write(np.ones((count, 4, 4), dtype=np.uint16))
        target.update_tags(**(tags or {}))
        if descriptions:
            target.descriptions = descriptions
    return path


def date_of(path: Path, pattern: str | None = None) -> str:
    with rasterio.open(path) as source:
        return find_datetime(path, source, pattern).when.strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m_4709963_se_14_1_20090818", "2009-08-18T00:00:00"),
        ("S2B_MSIL2A_20190629T212529_R043_T06VVN", "2019-06-29T21:25:29"),
        ("LC08_L2SP_028030_20200114_20200824_02_T1", "2020-01-14T00:00:00"),  # acquired, then processed
        ("scene-2014-07-20", "2014-07-20T00:00:00"),
        ("scene_2014_07_20_x", "2014-07-20T00:00:00"),
    ],
)
def test_a_date_in_the_name_is_found(tmp_path: Path, name: str, expected: str) -> None:
    assert date_of(write(tmp_path / f"{name}.tif")) == expected


def test_the_acquisition_tag_outweighs_the_name_and_the_name_the_making_of_the_file(tmp_path: Path) -> None:
    making = {"TIFFTAG_DATETIME": "2022:01:02 03:04:05"}
    assert date_of(write(tmp_path / "a_20140720.tif", tags=making)) == "2014-07-20T00:00:00"
    assert date_of(write(tmp_path / "a.tif", tags=making)) == "2022-01-02T03:04:05"
    acquired = {**making, "ACQUISITIONDATETIME": "2013-05-06T07:08:09Z"}
    assert date_of(write(tmp_path / "b_20140720.tif", tags=acquired)) == "2013-05-06T07:08:09"


def test_a_year_counts_only_if_told_and_then_as_the_first_of_july(tmp_path: Path) -> None:
    path = write(tmp_path / "2010.tif")
    with pytest.raises(ImageryError, match=r"2010\.tif: no datetime found; looked for a side-car 2010\.toml.*TIFFTAG"):
        date_of(path)
    assert date_of(path, r"(\d{4})") == "2010-07-01T00:00:00"
    assert date_of(write(tmp_path / "x_2010201_y.tif"), r"_(?P<date>\d{7})_") == "2010-07-20T00:00:00"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [(r"(\d{9})", "does not match"), ("(", "no regular expression"), ("(x)", "no date; expected 2010")],
)
def test_a_pattern_that_fails_says_how(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(ImageryError, match=said):
        date_of(write(tmp_path / "x2010.tif"), pattern)


def roles(path: Path) -> list[str | None]:
    with rasterio.open(path) as source:
        return roles_by_file(path, source)


def test_roles_come_from_descriptions_then_the_name_then_colours(tmp_path: Path) -> None:
    named = write(tmp_path / "a.tif", 4, descriptions=("Red", "NIR", "elevation", "scl"))
    assert roles(named) == ["red", "nir", None, "scl"]
    sentinel = write(tmp_path / "S2A_x.tif", 3, descriptions=("B02", "B8A", "B11"))
    assert roles(sentinel) == ["blue", "nir08", "swir16"]
    assert roles(write(tmp_path / "T06VVN_20190629T212529_B03_10m.tif")) == ["green"]
    assert roles(write(tmp_path / "lake-2014-07-20-nir.tif")) == ["nir"]
    assert roles(write(tmp_path / "rgb.tif", 3, photometric="RGB")) == ["red", "green", "blue"]
    with pytest.raises(ImageryError, match=r"its 2 bands have no names; .*--bands R,G,B,NIR"):
        roles(write(tmp_path / "two.tif", 2))
    with pytest.raises(ImageryError, match="its 1 bands have no names"):
        roles(write(tmp_path / "scene_b.tif"))  # a single letter is no band


def test_files_of_one_date_share_an_id_without_their_band() -> None:
    when = datetime(2019, 6, 29, tzinfo=UTC)
    assert default_id(Path("T06VVN_20190629T212529_B03_10m.tif"), ["green"], "c", when) == "T06VVN_20190629T212529_10m"
    assert default_id(Path("T06VVN_20190629T212529_B08_10m.tif"), ["nir"], "c", when) == "T06VVN_20190629T212529_10m"
    assert default_id(Path("green_20190629.tif"), ["green"], "c", when) == "20190629"
    assert default_id(Path("a b.tif"), ["green", "nir"], "c", when) == "a-b"
    assert default_id(Path("one.tif"), ["green"], "c", when) == "c-20190629T000000"
    assert default_id(Path("stack.tif"), [None, "green"], "c", when) == "stack"


def test_an_id_pattern_takes_its_group_or_its_match() -> None:
    assert id_by_pattern(Path("x_20190629_B03.tif"), r"^(.*)_B\d+$") == "x_20190629"
    assert id_by_pattern(Path("x_20190629_B03.tif"), r"_(?P<id>\d+)_") == "20190629"
    assert id_by_pattern(Path("x_20190629_B03.tif"), r"\d{8}") == "20190629"
    with pytest.raises(ImageryError, match="does not match the name"):
        id_by_pattern(Path("x.tif"), r"\d{8}")
