"""Sources: pairs, polygons over imagery, and the folders of real data."""

import os
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from odc.geo.geobox import GeoBox

from making import write_tif
from talik_stac.errors import ImageryError, RecipeError
from talik_training.recipe import load_recipe, parted_samples
from talik_training.samples import Sample, load_samples
from talik_training.sources.otsu_ndwi import otsu
from talik_training.sources.rts_maxar import place_of
from world import World, paint

DATA = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
GRID = GeoBox.from_bbox((500000, 6000000, 504000, 6004000), crs="EPSG:32633", resolution=10)
RECIPES = Path(__file__).resolve().parents[2] / "services" / "training" / "recipes"


def read(folder: Path, text: str) -> list[Sample]:
    path = folder / "samples.toml"
    path.write_text(text)
    return list(load_samples(path))


def pairs(**changed: str) -> str:
    fields = {
        "kind": '"pairs"',
        "images": '"images/*.tif"',
        "labels": '"labels/*.tif"',
        "bands": '["red", "-", "nir"]',
        "scale": "1e-4",
        "offset": "-0.1",
        "nodata": "0",
        "label_values": "[2]",
        "unknown_values": "[9]",
        "pixel_m": "10",
        "group": '"^(lake[a-z]+)"',
    }
    return "[[source]]\n" + "\n".join(f"{name} = {value}" for name, value in {**fields, **changed}.items() if value)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    grid = GRID[:3, :4]
    for stem, value in (("lakea_1", 2000), ("lakea_2", 3000), ("lakeb_1", 500)):
        pixels = np.full((3, 3, 4), value, np.uint16)
        pixels[:, 0, 0] = 0
        label = np.array([[2, 2, 9, 1], [0, 2, 2, 0], [1, 1, 1, 1]], np.uint8)
        write_tif(tmp_path / "images" / f"{stem}.tif", pixels, grid)
        write_tif(tmp_path / "labels" / f"{stem}.tif", label[None], grid)
    return tmp_path


def test_pairs_become_reflectance_with_labels_and_places(files: Path) -> None:
    samples = read(files, pairs())
    assert [(s.id, s.group) for s in samples] == [("lakea_1", "lakea"), ("lakea_2", "lakea"), ("lakeb_1", "lakeb")]
    first = samples[0]
    assert first.bands == ("red", "nir")
    assert np.isnan(first.image[:, 0, 0]).all()
    np.testing.assert_allclose(first.image[:, 1], 0.1, rtol=1e-5)
    np.testing.assert_array_equal(first.label, [[255, 1, 255, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    assert samples[2].image[0, 1, 1] == 0  # 500 x 1e-4 - 0.1 is below 0: noise


def test_images_without_labels_are_negatives(files: Path) -> None:
    samples = read(files, pairs(labels="", label_values=""))
    assert len(samples) == 3
    assert not any(sample.has_landform for sample in samples)
    assert samples[0].label[0, 0] == 255  # no data


def test_environment_variables_are_put_in_and_a_missing_one_is_told(
    files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALIK_DATA", str(files))
    changed = {"images": '"${TALIK_DATA}/images/*.tif"', "labels": '"${TALIK_DATA}/labels/*.tif"'}
    assert len(read(tmp_path, pairs(**changed))) == 3
    monkeypatch.delenv("TALIK_DATA")
    with pytest.raises(RecipeError, match=r"\$\{TALIK_DATA\} is not set"):
        read(tmp_path, pairs(**changed))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": '"imags/*.tif"'}, "no file matches"),
        ({"labels": '"labels/lakea*.tif"'}, "3 images match .* but 2 labels"),
        ({"label_values": ""}, "give either label_above or label_values"),
        ({"group": '"^pond(.)"'}, "does not match the name 'lakea_1'"),
        ({"bands": '["red"]'}, "has 3 bands, the source names 1"),
        ({"pixel_m": "-1"}, r"pixel_m: .* greater than 0 \(here -1\)"),
        ({"kind": '"pear"'}, "Input tag 'pear' found using 'kind' does not match"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(files: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        read(files, pairs(**changed))
    assert "\n" not in str(caught.value)


def test_bands_are_chosen_by_name_and_a_lacking_one_is_told(make_sample: Callable[..., Sample]) -> None:
    sample = make_sample()
    turned = sample.with_bands(("nir", "green"))
    np.testing.assert_array_equal(turned.image, sample.image[::-1])
    with pytest.raises(ImageryError, match="has green, nir and lacks swir16"):
        sample.with_bands(("green", "swir16"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    water = np.zeros((400, 400), bool)
    for row, column in ((100, 100), (110, 120), (300, 300)):
        water[row : row + 10, column : column + 10] = True
    made = World(folder=tmp_path)
    made.add("scene_20210715", paint(water), GRID)
    boxes = {
        "confirmed": [(100, 100), (110, 120)],
        "edited": [(300, 300)],
        "rejected": [(50, 350)],
        "candidate": [(302, 320)],
    }
    rows = [(status, at) for status, places in boxes.items() for at in places]
    shapes = [
        shapely.box(500000 + 10 * c, 6004000 - 10 * (r + 10), 500000 + 10 * (c + 10), 6004000 - 10 * r)
        for _, (r, c) in rows
    ]
    table = geopandas.GeoDataFrame({"status": [s for s, _ in rows]}, geometry=shapes, crs="EPSG:32633")
    table.to_file(tmp_path / "reviewed.gpkg")
    return made


def polygons(**changed: str) -> str:
    fields = {
        "kind": '"polygons"',
        "polygons": '"reviewed.gpkg"',
        "store": '"store"',
        "collection": '"test"',
        "start": "2021-06-01",
        "end": "2021-09-30",
        "bands": '["green", "nir"]',
        "chip_px": "64",
    }
    return "[[source]]\n" + "\n".join(f"{name} = {value}" for name, value in {**fields, **changed}.items())


def test_polygons_become_positive_chips_hard_negatives_and_background(world: World, tmp_path: Path) -> None:
    samples = read(tmp_path, polygons())
    kinds = [sample.id.split("-")[0] for sample in samples]
    assert [kinds.count(kind) for kind in ("confirmed", "edited", "rejected", "background")] == [2, 1, 1, 3]
    for sample in samples:
        wet = sample.image[0] > sample.image[1]
        known = sample.label != 255
        np.testing.assert_array_equal(wet[known], sample.label[known] == 1)  # polygons lie on pixel edges
    by_kind = dict(zip(kinds, samples, strict=True))
    assert (by_kind["edited"].label == 255).sum() >= 64  # the candidate beside it, no data aside
    assert not (by_kind["rejected"].label == 1).any()
    assert by_kind["edited"].pixel_m == 10


def test_chips_that_overlap_are_one_place(world: World, tmp_path: Path) -> None:
    samples = {s.id: s.group for s in read(tmp_path, polygons(background="0"))}
    groups = list(samples.values())
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3


def test_chips_can_be_coarser_than_the_imagery(world: World, tmp_path: Path) -> None:
    samples = read(tmp_path, polygons(pixel_m="20", background="0"))
    assert all(s.pixel_m == 20 and s.label.shape == (64, 64) for s in samples)
    assert 20 <= (samples[2].label == 1).sum() <= 30


def test_a_status_nobody_knows_is_told(world: World, tmp_path: Path) -> None:
    table = geopandas.read_file(tmp_path / "reviewed.gpkg")
    table["status"] = "perhaps"
    table.to_file(tmp_path / "reviewed.gpkg")
    with pytest.raises(RecipeError, match="status 'perhaps'; expected confirmed"):
        read(tmp_path, polygons())


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_recipes_that_ship_are_right(recipe: Path) -> None:
    assert load_recipe(recipe).model.name == recipe.stem


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize(
    ("kind", "folder", "bands", "test"),
    [
        ("rts-maxar", "rts_cyber2a_maxar", 3, 1),
        ("crevasse-moa", "crevasse_moa_antarctica", 1, 1),
        ("s1-lakes-nepal", "s1_glacial_lakes_nepal", 1, 0),
        ("hls-water", "water_hls_flood_306", 7, 0),
    ],
)
def test_the_folders_of_real_data_can_be_read(tmp_path: Path, kind: str, folder: str, bands: int, test: int) -> None:
    samples = read(tmp_path, f'[[source]]\nkind = "{kind}"\nfolder = "{DATA / folder}"\nlimit = 8\n')
    assert len(samples) == 8
    assert sum(s.part == "test" for s in samples) >= test
    for sample in samples:
        assert len(sample.bands) == bands
        assert 0 <= np.nanmin(sample.image) <= np.nanmax(sample.image) <= 2
    assert any(s.has_landform for s in samples)


def test_otsu_parts_two_heaps_between_them() -> None:
    chance = np.random.default_rng(1)
    values = np.concatenate([chance.normal(-0.4, 0.05, 3000), chance.normal(0.5, 0.05, 1000)])

    assert -0.25 < otsu(values) < 0.35
    with pytest.raises(RecipeError, match="differ"):
        otsu(np.full(10, 0.3))


def test_otsu_labels_are_unknown_near_the_threshold_and_only_the_window_is_read(tmp_path: Path) -> None:
    green = np.array([[90, 90, 50, 10], [90, 88, 10, 0]], np.uint8)
    nir = np.array([[10, 10, 50, 90], [12, 10, 90, 0]], np.uint8)  # no data where both are 0
    write_tif(tmp_path / "a.tif", np.stack([green, nir]), GRID[:2, :4])
    table = '[[source]]\nkind = "otsu-ndwi"\nimages = "*.tif"\nbands = ["green", "nir"]\nscale = 0.004\n'
    (whole,) = read(tmp_path, table + "nodata = 0\npixel_m = 5\nmargin = 0.75")
    (half,) = read(tmp_path, table + "nodata = 0\npixel_m = 5\nmargin = 0.75\nwindow = [0, 0, 0.5, 1]")

    assert set(whole.label[:, :2].ravel()) == {1}
    assert whole.label[0, 3] == 0
    assert whole.label[0, 2] == 255
    assert whole.label[1, 3] == 255
    assert np.array_equal(half.label, whole.label[:, :2])


def test_water_can_be_what_is_darkest_in_the_near_infrared(tmp_path: Path) -> None:
    nir = np.array([[10, 12, 200, 220], [11, 90, 210, 205]], np.uint8)
    write_tif(tmp_path / "a.tif", np.stack([nir, nir]), GRID[:2, :4])  # NDWI is 0 everywhere
    table = '[[source]]\nkind = "otsu-ndwi"\nimages = "*.tif"\nbands = ["green", "nir"]\nscale = 0.004\nnodata = 0\n'
    (dark,) = read(tmp_path, table + 'pixel_m = 5\nindex = "dark"\nmargin = 0.0')

    assert np.array_equal(dark.label == 1, nir < 100)


def test_a_source_can_count_more_often(files: Path) -> None:
    assert {sample.weight for sample in read(files, pairs(weight="5"))} == {5}


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data in {DATA}")
def test_lakes_of_everest_lie_on_dark_water(tmp_path: Path) -> None:
    text = (RECIPES.parent / "evaluations" / "everest-east.toml").read_text().replace("${TALIK_DATA}", str(DATA))
    west, east = read(tmp_path, text.replace('["east"]', '["west", "east"]'))
    nir, lake = west.image[3], west.label == 1

    assert [west.group, east.group] == ["everest-west", "everest-east"]
    assert 100 < lake.sum() < 2000
    assert np.median(nir[lake]) < 0.5 * np.median(nir[west.label == 0])
    assert not east.has_landform


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data in {DATA}")
def test_shortwave_labels_know_more_water_than_fmask_and_contradict_it_seldom(tmp_path: Path) -> None:
    table = f'[[source]]\nkind = "hls-water"\nlimit = 60\nfolder = "{DATA}/water_hls_flood_306"\nlabels = '
    agreed, swir = (read(tmp_path, table + f'"{kind}"') for kind in ("agreed", "swir"))
    both = [(a.label != 255) & (b.label != 255) for a, b in zip(agreed, swir, strict=True)]
    wrong = sum(int((a.label != b.label)[k].sum()) for a, b, k in zip(agreed, swir, both, strict=True))

    assert wrong < 0.01 * sum(int(k.sum()) for k in both)


def test_neighbouring_slump_patches_are_one_place() -> None:
    assert place_of("train_yg_041", 16) == place_of("train_yg_032", 16) == "train_yg_2"
    assert place_of("train_yg_048", 16) != place_of("train_yg_047", 16)
    assert place_of("valtest_yg_041", 16) != place_of("train_yg_041", 16)
    assert place_of("train_yg_041", 1) == "train_yg_041"
    with pytest.raises(RecipeError, match="ends in a number"):
        place_of("slump", 16)


def test_a_recipes_samples_know_the_part_that_training_gives_them(files: Path) -> None:
    head = '[model]\nname = "t"\nversion = "1"\ntitle = "t"\nlandform = "water"\nbands = ["red", "nir"]\n'
    sizes = 'resolution_min_m = 5\nresolution_max_m = 20\nlicence = "CC0"\nlimits = "none"\n'
    split = '\n[split]\nvalidation_places = ["lakea"]\ntest = 0\n'
    path = files / "recipe.toml"
    path.write_text(head + sizes + pairs() + split)

    assert {s.id: s.part for s in parted_samples(path)} == {
        "lakea_1": "validation",
        "lakea_2": "validation",
        "lakeb_1": "train",
    }
    path.write_text(pairs())
    assert {s.part for s in parted_samples(path)} == {None}
