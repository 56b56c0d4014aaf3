"""Time-lapses: a frame for each date, one stretch, nothing that stays from the date before."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from talik_api.pictures.chip import Look
from talik_api.pictures.scenes import Frame, evenly
from talik_api.pictures.timelapse import FRAME_MS, LAST_MS, timelapse
from talik_stac.errors import ReadError

from .painting import GRID, anywhere, frame, lonlat_box

LAKE = lonlat_box(100, 80, 40, 30)


def grey(level: float) -> np.ndarray:
    """A scene that is everywhere of one brightness 0-255."""
    return np.full((3, *GRID.shape), round(level / 255 * 3000), np.uint16)


def frames(folder: Path, *levels: float) -> list[Frame]:
    return [frame(folder, grey(level), day=day) for day, level in enumerate(levels, start=1)]


def pictures(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    """(y, x, 4) and milliseconds of each frame."""
    shown, times = [], []
    with Image.open(io.BytesIO(data)) as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            shown.append(np.asarray(image.convert("RGBA")))
            times.append(round(image.info["duration"]))
    return shown, times


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_there_is_a_frame_for_each_date_in_order(tmp_path: Path, kind: Literal["webp", "gif"]) -> None:
    levels = (60, 120, 180, 240)
    made = timelapse(LAKE, frames(tmp_path, *levels), anywhere, look=Look(size_px=128), kind=kind)
    shown, times = pictures(made.data)
    assert made.dates == ("2021-07-01", "2021-07-02", "2021-07-03", "2021-07-04")
    assert times == [FRAME_MS] * 3 + [LAST_MS]
    for picture, level in zip(shown, levels, strict=True):
        assert np.abs(picture[60, 5, :3].astype(int) - level).max() <= 3  # lossy


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_what_is_transparent_does_not_show_the_date_before(tmp_path: Path, kind: Literal["webp", "gif"]) -> None:
    half = grey(120)
    half[:, :, :120] = 0
    dates = [frame(tmp_path, grey(200), day=1), frame(tmp_path, half, day=2)]
    made = timelapse(LAKE, dates, anywhere, look=Look(size_px=128), kind=kind)
    (_, second), _ = pictures(made.data)
    assert second[60, 5, 3] == 0
    assert second[60, 120, 3] == 255


def test_the_percentile_stretch_is_shared_by_all_dates(tmp_path: Path) -> None:
    made = timelapse(LAKE, frames(tmp_path, 10, 20), anywhere, look=Look(size_px=128, stretch="percentile"), kind="gif")
    (dark, bright), _ = pictures(made.data)
    assert dark[60, 5, 0] < 5
    assert bright[60, 5, 0] > 250


def test_many_dates_are_thinned_out_evenly_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = frames(tmp_path, *range(40, 240, 20))
    assert [each.day.day for each in evenly(every, 4)] == [1, 4, 7, 10]
    monkeypatch.setattr("talik_api.pictures.timelapse.evenly", lambda dates: evenly(dates, 4))
    made = timelapse(LAKE, every, anywhere, look=Look(size_px=64))
    assert (len(made.dates), made.found) == (4, 10)


def test_a_date_that_does_not_show_the_place_is_left_out(tmp_path: Path) -> None:
    dates = [frame(tmp_path, grey(100), day=1), frame(tmp_path, grey(0), day=2), frame(tmp_path, grey(90), day=3)]
    made = timelapse(LAKE, dates, anywhere, look=Look(size_px=64))
    assert made.dates == ("2021-07-01", "2021-07-03")
    assert made.found == 3


def test_a_broken_file_costs_its_date_only(tmp_path: Path) -> None:
    dates = frames(tmp_path, 50, 100, 150)
    (tmp_path / "scene-2.tif").write_bytes(b"II*\0 nothing")
    made = timelapse(LAKE, dates, anywhere, look=Look(size_px=64))
    assert made.dates == ("2021-07-01", "2021-07-03")
    assert made.unreadable == ("scene-2",)
    for name in ("scene-1.tif", "scene-3.tif"):
        (tmp_path / name).unlink()
    with pytest.raises(ReadError):
        timelapse(LAKE, dates, anywhere, look=Look(size_px=64))


def test_a_time_lapse_is_never_larger_than_512(tmp_path: Path) -> None:
    made = timelapse(LAKE, frames(tmp_path, 50, 100), anywhere, look=Look(size_px=1024))
    assert pictures(made.data)[0][0].shape == (512, 512, 4)
