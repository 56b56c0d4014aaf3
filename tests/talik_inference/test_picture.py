"""Pictures: fixed stretch, unseen ground in grey, outlines where they are, a scale bar of a round length."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from affine import Affine
from matplotlib.figure import Figure
from matplotlib.image import imread
from odc.geo.geobox import GeoBox

from talik_inference.picture import Panel, draw, stretched

CRS = "EPSG:32605"


def grid(side: int = 100, pixel_m: float = 10.0) -> GeoBox:
    return GeoBox((side, side), Affine(pixel_m, 0, 500_000, 0, -pixel_m, 7_700_000), CRS)


def panel(outlines: geopandas.GeoDataFrame, *, title: str = "2021", side: int = 100, pixel_m: float = 10.0) -> Panel:
    return Panel(
        title=title, reflectance=np.zeros((3, side, side), np.float32), grid=grid(side, pixel_m), outlines=outlines
    )


def frame(*shapes: shapely.Geometry) -> geopandas.GeoDataFrame:
    return geopandas.GeoDataFrame(geometry=list(shapes), crs=CRS)


def cyan(path: Path) -> np.ndarray:
    """Where the picture has the outlines' colour, thinned by antialiasing: bool (y, x). All else there is grey."""
    red, _, blue = np.moveaxis(imread(path)[..., :3], -1, 0)
    return np.asarray(blue - red > 0.3)


def test_the_stretch_is_fixed_and_unseen_ground_is_grey() -> None:
    reflectance = np.array([[[0.0, 0.35, 0.175, -1.0, 2.0, np.nan]]], np.float32).repeat(3, axis=0)
    assert stretched(reflectance)[0, :, 0].tolist() == [0, 255, 127, 0, 255, 128]


def test_bands_become_red_green_and_blue_in_their_order() -> None:
    reflectance = np.array([0.35, 0.0, 0.175], np.float32)[:, None, None]
    assert stretched(reflectance)[0, 0].tolist() == [255, 0, 127]


def test_a_picture_is_a_png_with_a_panel_for_each_date(tmp_path: Path) -> None:
    lake = shapely.Point(500_500, 7_699_500).buffer(200)
    one = draw(tmp_path / "one.png", [panel(frame(lake))], caption="simulated")
    three = draw(tmp_path / "three.png", [panel(frame(lake))] * 3, caption="simulated")
    assert one.read_bytes().startswith(b"\x89PNG")
    assert imread(three).shape[1] == pytest.approx(3 * imread(one).shape[1], rel=0.01)


def test_an_outline_given_in_degrees_lies_where_its_lake_is(tmp_path: Path) -> None:
    """A lake in the north-west quarter of the panel is drawn there, and nowhere else."""
    lake = frame(shapely.box(500_100, 7_699_600, 500_400, 7_699_900)).to_crs("OGC:CRS84")
    drawn = cyan(draw(tmp_path / "a.png", [panel(lake)], caption="simulated"))
    row, col = np.nonzero(drawn)
    assert len(row) > 100
    assert row.max() < drawn.shape[0] / 2
    assert col.max() < drawn.shape[1] / 2


def test_a_panel_without_objects_is_drawn(tmp_path: Path) -> None:
    assert not cyan(draw(tmp_path / "a.png", [panel(frame())], caption="simulated")).any()


@pytest.mark.parametrize(
    ("side", "pixel_m", "label"), [(100, 10.0, "200 m"), (300, 10.0, "1 km"), (20, 1.0, "10 m"), (1000, 30.0, "5 km")]
)
def test_the_scale_bar_has_the_length_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int, pixel_m: float, label: str
) -> None:
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, path: Path) -> None:
        kept.append(self)
        save(self, path)

    monkeypatch.setattr(Figure, "savefig", keep)
    draw(tmp_path / "a.png", [panel(frame(), side=side, pixel_m=pixel_m)], caption="simulated")
    (axis,) = kept[0].axes
    (bar,) = axis.lines
    start, end = (float(x) for x in bar.get_xdata())
    number, unit = label.split()
    assert [text.get_text() for text in axis.texts] == [label]
    assert end - start == pytest.approx(float(number) * (1000 if unit == "km" else 1))
    assert end <= grid(side, pixel_m).boundingbox.right
