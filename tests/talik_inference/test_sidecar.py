"""Side-cars: what they say, in which order, and what is wrong with a bad one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from talik_inference.sidecar import Said, load_sidecar, said_of
from talik_stac.errors import ImageryError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_options_outweigh_the_file_beside_and_that_the_shared_one(tmp_path: Path) -> None:
    shared = load_sidecar(
        write(
            tmp_path / "shared.toml",
            """
            scale = 0.1
            offset = 5.0
            nodata = 7
            bands = ["R", "NIR"]
            [files."*_20140720.tif"]
            nodata = 8
            cloud_cover = 12.5
            """,
        )
    )
    write(tmp_path / "a_20140720.toml", 'id = "lake"\noffset = 6.0\n')
    said = said_of(tmp_path / "a_20140720.tif", options=Said(scale=0.3), shared=shared)
    assert (said.scale, said.offset, said.nodata, said.id, said.cloud_cover) == (0.3, 6.0, 8.0, "lake", 12.5)
    assert said.bands == ("R", "NIR")
    other = said_of(tmp_path / "b.tif", options=Said(), shared=shared)
    assert (other.scale, other.nodata, other.cloud_cover) == (0.1, 7.0, None)
    assert said_of(tmp_path / "b.tif", options=Said(), shared=None) == Said()


def test_dates_of_every_kind_become_utc(tmp_path: Path) -> None:
    text = """
    bands = ["R", "G"]
    [[scene]]
    datetime = 2021-06-01
    [[scene]]
    datetime = 2021-09-01T12:00:00+02:00
    first_band = 3
    [[scene]]
    datetime = "2021-10-01T00:00:00Z"
    id = "october"
    """
    scenes = load_sidecar(write(tmp_path / "a.toml", text)).scene
    assert [scene.datetime for scene in scenes] == [
        datetime(2021, 6, 1, tzinfo=UTC),
        datetime(2021, 9, 1, 10, tzinfo=UTC),
        datetime(2021, 10, 1, tzinfo=UTC),
    ]
    assert (scenes[1].first_band, scenes[2].id) == (3, "october")


def test_one_date_said_nearer_replaces_the_dates_said_further_off() -> None:
    stacked = Said.model_validate({"scene": [{"datetime": "2021-06-01"}]})
    single = Said.model_validate({"datetime": "2021-07-01"})
    assert single.over(stacked).scene == ()
    assert stacked.over(single).datetime is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale = ", "cannot be read"),
        ("scal = 1.0", "scal: Extra inputs are not permitted"),
        ('bands = ["R", "nirr"]', "unknown band role 'nirr'"),
        ('datetime = "July"', "datetime: 'July' is no date"),
        ("cloud_cover = 120", "cloud_cover: Input should be less than or equal to 100"),
        ('datetime = 2021-06-01\n[[scene]]\ndatetime = 2021-06-01\nbands = ["R"]', "give datetime and id in each"),
        ('[files."*.tif"]\nnodat = 1', "nodat: Extra inputs"),
    ],
)
def test_a_bad_side_car_is_named_with_its_fault(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "bad.toml", text)
    with pytest.raises(ImageryError, match=said) as caught:
        load_sidecar(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_side_car_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageryError, match=r"none\.toml: cannot be read"):
        load_sidecar(tmp_path / "none.toml")
