"""`talik index` as a person types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from typer.testing import CliRunner, Result

from talik_inference.commands.index import app
from talik_stac.errors import ImageryError
from talik_stac.imagery import scenes_from_index
from talik_stac.store import open_store


def write(path: Path, count: int = 4) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=520,
        width=520,
        dtype="uint16",
        crs="EPSG:32633",
        transform=Affine(10.0, 0.0, 4e5, 0.0, -10.0, 7e6),
    ) as target:
        target.write(np.full((count, 520, 520), 5, dtype=np.uint16))
    return path


def talik_index(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--collection", "c", "--store", str(folder / "store")])


def test_it_says_what_it_did_and_what_it_assumed_and_twice_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a_20200701.tif")
    first = talik_index(tmp_path, str(path), "--bands", "R,G,B,NIR")
    assert first.exit_code == 0, first.output
    assert "assumed: datetime from file name (1 file)" in first.output
    assert "assumed: uint16 without scale: reflectance taken as number / 10000 (1 file)" in first.output
    assert "converted to COG: 1 of 1 files" in first.output
    assert f"collection c in {tmp_path / 'store'}: 1 new, 0 updated, 0 unchanged" in first.output
    again = talik_index(tmp_path, str(path), "--bands", "R,G,B,NIR")
    assert "0 new, 0 updated, 1 unchanged" in again.output


def test_every_option_reaches_the_item(tmp_path: Path) -> None:
    write(tmp_path / "2010_x.tif")
    write(tmp_path / "2010_x_q.tif", 1)
    done = talik_index(
        tmp_path,
        str(tmp_path),
        *("--bands", "B,G,R,N", "--datetime-pattern", r"^(\d{4})", "--id-pattern", r"^(\d+_x)"),
        *("--scale", "0.001", "--offset", "-0.05", "--nodata", "9", "--cloud-cover", "12"),
        *("--quality", "valid=*_q.tif"),
    )
    assert done.exit_code == 0, done.output
    scene = scenes_from_index(open_store(str(tmp_path / "store")), "c", bands=("red",))[0]
    red = scene.bands["red"]
    assert (scene.id, f"{scene.datetime:%Y-%m-%d}", scene.cloud_cover) == ("2010_x", "2010-07-01", 12.0)
    assert (red.index, red.scale, red.offset, red.nodata) == (3, 0.001, -0.05, 9.0)
    assert scene.quality is not None
    assert scene.quality.kind == "valid"


def test_dates_of_a_stack_are_given_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "stack.tif", 4)
    words = ("--bands", "G,NIR", "--datetime", "2021-06-01", "--datetime", "2021-09-01T10:00:00+02:00")
    done = talik_index(tmp_path, str(path), *words)
    assert "2 new" in done.output, done.output
    scenes = scenes_from_index(open_store(str(tmp_path / "store")), "c", bands=("nir",))
    assert [scene.bands["nir"].index for scene in scenes] == [2, 4]
    assert scenes[1].datetime.isoformat() == "2021-09-01T08:00:00+00:00"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--bands", "R,G,B,nirr"), "unknown band role 'nirr'"),
        (("--bands", "R,G"), "has 4 bands, but 2 roles are given"),
        (("--datetime", "July"), "--datetime 'July' is no date"),
        (("--quality", "scl"), "--quality 'scl' is not KIND=PATTERN"),
        (("--cloud-cover", "120"), "--cloud-cover: Input should be less than or equal to 100"),
        (("--sidecar", "none.toml"), "side-car none.toml: cannot be read"),
    ],
)
def test_bad_words_are_one_clear_error_and_the_store_is_not_made(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = talik_index(tmp_path, str(write(tmp_path / "a_20200701.tif")), *words)
    assert isinstance(done.exception, ImageryError)
    assert said in str(done.exception)
    assert not (tmp_path / "store").exists()
