"""GeoTIFFs become COGs, items and an index; running it twice changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import shape

from talik_inference.check import check_scene_files
from talik_inference.described import Patterns
from talik_inference.indexing import Indexed, IndexOptions, index_files
from talik_inference.sidecar import Said, load_sidecar
from talik_stac.errors import ImageryError, TalikError
from talik_stac.imagery import read_items, scenes_from_index
from talik_stac.store import Store, open_store

SHARED = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
NAIP = SHARED / "timeseries_naip_landsat" / "naip"
INN = SHARED / "s2_scenes" / "ftw_inn_river" / "inference-img.tif"
needs_naip = pytest.mark.skipif(not NAIP.is_dir(), reason=f"{NAIP} is absent")
needs_inn = pytest.mark.skipif(not INN.is_file(), reason=f"{INN} is absent")

RGBN = ("R", "G", "B", "NIR")
GRID = Affine(10.0, 0.0, 400_000.0, 0.0, -10.0, 7_000_000.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def write(
    path: Path,
    count: int = 4,
    *,
    seed: int = 1,
    dtype: str = "uint16",
    size: int = 520,  # up to 512 px any GeoTIFF is a valid COG
    crs: str | None = "EPSG:32633",
    transform: Affine | None = GRID,
    **options: Any,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(1, 200, (count, size, size)).astype(dtype)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=count,
        height=size,
        width=size,
        dtype=dtype,
        crs=crs,
        **({} if transform is None else {"transform": transform}),
        **options,
    ) as target:
        target.write(pixels)
    return path


def options(**changes: Any) -> IndexOptions:
    return IndexOptions(**{"collection": "c", "bands": (RGBN,), **changes})


def contents(store: Store) -> dict[str, str]:
    """Every object of the store and the hash of its bytes."""
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.list("")}


def assets(store: Store, collection: str = "c") -> list[dict[str, Any]]:
    return [item["assets"] for item in read_items(store, collection)]


def index(store: Store, files: Sequence[Path], **changes: Any) -> Indexed:
    return index_files(store, files, options(**changes))


def test_a_plain_geotiff_becomes_a_cog_in_the_store_and_the_file_stays(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a_20200701.tif")
    before = path.read_bytes()
    done = index(store, [path])
    assert (done.new, done.updated, done.unchanged, done.converted) == (("a_20200701",), (), (), 1)
    assert path.read_bytes() == before
    assert sorted(store.list("")) == [
        "catalog.json",
        "imagery/c/a_20200701/a_20200701.tif",
        "imagery/c/collection.json",
        "imagery/c/items.parquet",
    ]
    image = assets(store)[0]["image"]
    assert image["href"] == store.url("imagery/c/a_20200701/a_20200701.tif")
    assert image["talik:source"] == str(path)
    cog = Path(image["href"])
    assert cog_validate(str(cog), strict=True, quiet=True)[0]
    assert image["file:size"] == cog.stat().st_size
    assert image["file:checksum"] == "1220" + hashlib.sha256(cog.read_bytes()).hexdigest()
    assert image["talik:source_checksum"] == "1220" + hashlib.sha256(before).hexdigest()
    with rasterio.open(path) as a, rasterio.open(cog) as b:
        np.testing.assert_array_equal(a.read(), b.read())


def test_a_cog_stays_where_it_is(store: Store, tmp_path: Path) -> None:
    write(tmp_path / "plain.tif")
    cog = tmp_path / "in" / "a_20200701.tif"
    cog.parent.mkdir()
    rasterio.shutil.copy(str(tmp_path / "plain.tif"), str(cog), driver="COG")
    done = index(store, [cog])
    assert done.converted == 0
    assert assets(store)[0]["image"]["href"] == str(cog)


def test_running_it_twice_changes_no_byte(store: Store, tmp_path: Path) -> None:
    files = [write(tmp_path / f"a_2020070{n}.tif", seed=n) for n in range(1, 5)]
    index(store, files[:2])
    index(store, files)
    before = contents(store)
    again = index(store, list(reversed(files)))
    assert str(again) == "0 new, 0 updated, 4 unchanged"
    assert contents(store) == before
    fresh = open_store(str(tmp_path / "fresh"))
    index(fresh, files)
    assert contents(fresh) == before


def test_a_changed_file_is_updated_and_its_old_cog_goes(store: Store, tmp_path: Path) -> None:
    files = [write(tmp_path / f"a_2020070{n}.tif", seed=n) for n in (1, 2)]
    index(store, files)
    write(files[0], seed=9)
    done = index(store, files)
    assert (done.updated, done.unchanged) == (("a_20200701",), ("a_20200702",))
    cogs = [key for key in store.list("imagery/c") if key.endswith(".tif")]
    assert len(cogs) == 2
    with rasterio.open(assets(store)[0]["image"]["href"]) as a, rasterio.open(files[0]) as b:
        np.testing.assert_array_equal(a.read(), b.read())
    assert index(store, files).unchanged == ("a_20200701", "a_20200702")


def test_other_options_update_the_item_without_a_new_file(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a_20200701.tif")
    index(store, [path])
    cogs = [key for key in store.list("imagery/c") if key.endswith(".tif")]
    for scale in (3e-4, 2e-4):
        done = index(store, [path], said=Said(scale=scale, offset=-0.1))
        assert (done.updated, done.converted) == (("a_20200701",), 0)
        assert [key for key in store.list("imagery/c") if key.endswith(".tif")] == cogs
    band = scenes_from_index(store, "c", bands=("nir",))[0].bands["nir"]
    assert (band.scale, band.offset) == (2e-4, -0.1)
    assert check_scene_files(scenes_from_index(store, "c", bands=("nir",))) == []


def test_a_lost_cog_is_made_again(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a_20200701.tif")
    index(store, [path])
    store.delete("imagery/c/a_20200701/a_20200701.tif")
    assert index(store, [path]).updated == ("a_20200701",)
    assert check_scene_files(scenes_from_index(store, "c", bands=("nir",))) == []


def test_one_file_per_band_becomes_one_item_equal_to_the_stacked_file(store: Store, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole_20200701.tif")
    with rasterio.open(whole) as source:
        pixels, profile = source.read(), source.profile
    files = []
    for number, name in enumerate(("red", "green", "blue", "nir")):
        files.append(tmp_path / "bands" / f"x_20200701_{name}.tif")
        files[-1].parent.mkdir(exist_ok=True)
        with rasterio.open(files[-1], "w", **{**profile, "count": 1}) as target:
            target.write(pixels[number : number + 1])
    index(store, files, bands=())
    index(store, [whole], collection="whole")
    apart = scenes_from_index(store, "c", bands=("green", "nir"))
    together = scenes_from_index(store, "whole", bands=("green", "nir"))
    assert [scene.id for scene in apart] == ["x_20200701"]
    assert apart[0].footprint.equals(together[0].footprint)
    assert {band.asset for band in apart[0].bands.values()} == {"green", "nir"}
    for name in ("green", "nir"):
        a, b = apart[0].bands[name], together[0].bands[name]
        assert a.grid == b.grid
        with rasterio.open(a.href) as one, rasterio.open(b.href) as other:
            np.testing.assert_array_equal(one.read(a.index), other.read(b.index))


def test_bands_that_come_later_join_their_item_when_all_are_given(store: Store, tmp_path: Path) -> None:
    green = write(tmp_path / "x_20200701_green.tif", 1)
    nir = write(tmp_path / "x_20200701_nir.tif", 1, seed=2)
    index(store, [green], bands=())
    with pytest.raises(ImageryError, match=r"indexed already from .*green\.tif.*give all files"):
        index(store, [nir], bands=())
    assert index(store, [green, nir], bands=()).updated == ("x_20200701",)
    assert sorted(assets(store)[0]) == ["green", "nir"]


def test_a_quality_band_is_told_by_name_pattern_or_role(store: Store, tmp_path: Path) -> None:
    image = write(tmp_path / "a_20200701.tif")
    scl = write(tmp_path / "a_20200701_scl.tif", 1, dtype="uint8")
    index(store, [image, scl], quality=(("scl", "*_scl.tif"),))
    scene = scenes_from_index(store, "c", bands=("green",))[0]
    assert scene.quality is not None
    assert (scene.quality.kind, scene.quality.asset, scene.quality.index) == ("scl", "scl", 1)
    inside = write(tmp_path / "b_20200701.tif", 5, seed=3)
    index(store, [inside], collection="d", bands=((*RGBN, "fmask"),))
    scene = scenes_from_index(store, "d", bands=("green",))[0]
    assert scene.quality is not None
    assert (scene.quality.kind, scene.quality.asset, scene.quality.index) == ("fmask", "image", 5)
    with pytest.raises(ImageryError, match="has a quality band only"):
        index(store, [scl], collection="e", bands=(("scl",),))


def test_a_file_of_two_dates_becomes_two_items_over_one_cog(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "stack.tif", 8)
    dates = (datetime(2021, 6, 1, tzinfo=UTC), datetime(2021, 9, 1, tzinfo=UTC))
    done = index(store, [path], datetimes=dates)
    assert done.new == ("stack-20210601", "stack-20210901")
    first, second = scenes_from_index(store, "c", bands=("red", "nir"))
    assert (first.bands["red"].index, first.bands["nir"].index) == (1, 4)
    assert (second.bands["red"].index, second.bands["nir"].index) == (5, 8)
    assert first.bands["red"].href == second.bands["red"].href
    assert sum(key.endswith(".tif") for key in store.list("imagery/c")) == 1
    assert index(store, [path], datetimes=dates).unchanged == done.new
    text = """
    bands = ["R", "G", "B", "NIR"]
    [[scene]]
    datetime = 2021-06-01
    [[scene]]
    datetime = 2021-09-01
    """
    (tmp_path / "stack.toml").write_text(text)
    for bands in ((), (RGBN,)):
        assert index(store, [path], bands=bands).unchanged == done.new  # the side-car says the same


def test_a_shared_side_car_describes_a_folder(store: Store, tmp_path: Path) -> None:
    for year in (2010, 2015):
        write(tmp_path / "in" / f"{year}.tif", seed=year)
    text = """
    bands = ["R", "G", "B", "NIR"]
    [files."2010.tif"]
    datetime = 2010-07-02
    cloud_cover = 7
    [files."2015.tif"]
    datetime = 2015-08-03
    """
    (tmp_path / "all.toml").write_text(text)
    index(store, [tmp_path / "in"], bands=(), sidecar=load_sidecar(tmp_path / "all.toml"))
    scenes = scenes_from_index(store, "c", bands=("nir",))
    assert [(scene.id, f"{scene.datetime:%Y-%m-%d}", scene.cloud_cover) for scene in scenes] == [
        ("2010", "2010-07-02", 7.0),
        ("2015", "2015-08-03", None),
    ]


@pytest.mark.parametrize(
    ("dtype", "scale", "said"),
    [
        ("uint8", 1 / 255, "uint8 without scale: reflectance taken as number / 255 (1 file)"),
        ("int16", 1e-4, "int16 without scale: reflectance taken as number / 10000 (1 file)"),
        ("float32", 1.0, "float32 without scale: reflectance taken as the number itself (1 file)"),
    ],
)
def test_the_scale_that_is_assumed_is_said(store: Store, tmp_path: Path, dtype: str, scale: float, said: str) -> None:
    done = index(store, [write(tmp_path / "a_20200701.tif", dtype=dtype)])
    assert said in done.notes
    assert "datetime from file name (1 file)" in done.notes
    assert scenes_from_index(store, "c", bands=("nir",))[0].bands["nir"].scale == scale


def test_the_scale_in_the_file_is_used(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "a_20200701.tif")
    with rasterio.open(path, "r+") as target:
        target.scales, target.offsets = (5e-5,) * 4, (-0.2,) * 4
    done = index(store, [path])
    assert "scale and offset from the file (1 file)" in done.notes
    band = scenes_from_index(store, "c", bands=("nir",))[0].bands["nir"]
    assert (band.scale, band.offset) == (5e-5, -0.2)


def shifted(a: float, b: float, d: float, e: float) -> Affine:
    return Affine(a, b, 400_000.0, d, e, 7_000_000.0)


def bad_files(folder: Path) -> dict[str, Path]:
    whole = write(folder / "whole_20200701.tif", compress="deflate")
    truncated = folder / "truncated_20200701.tif"
    truncated.write_bytes(whole.read_bytes()[:-2000])
    corrupt = folder / "corrupt_20200701.tif"
    data = bytearray(whole.read_bytes())
    data[-3000:-1000] = b"\xff" * 2000
    corrupt.write_bytes(bytes(data))
    (folder / "text_20200701.tif").write_text("no raster")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write(folder / "nowhere_20200701.tif", transform=None)
    return {
        "has no CRS": write(folder / "nocrs_20200701.tif", crs=None),
        "has no georeference": folder / "nowhere_20200701.tif",
        "rotated or flipped.*gdalwarp": write(folder / "rot_20200701.tif", transform=shifted(9, 3, 3, -9)),
        "rotated or flipped": write(folder / "south_20200701.tif", transform=shifted(10, 0, 0, 10)),
        "has 3 bands, but 4 roles": write(folder / "three_20200701.tif", 3),
        "truncated_20200701.tif: it is truncated": truncated,
        "corrupt_20200701.tif: cannot be read": corrupt,
        "text_20200701.tif: .*not recognized": folder / "text_20200701.tif",
        "no datetime found; looked for": write(folder / "nodate.tif"),
        "there is no such file": folder / "none_20200701.tif",
        "holds no valid pixel": _empty(write(folder / "empty_20200701.tif", nodata=0)),
    }


def _empty(path: Path) -> Path:
    with rasterio.open(path, "r+") as target:
        target.write(np.zeros((4, 520, 520), dtype=np.uint16))
    return path


def test_a_bad_file_is_named_and_the_store_stays_as_it_was(store: Store, tmp_path: Path) -> None:
    good = write(tmp_path / "in" / "good_20200630.tif", seed=7)
    index(store, [good])
    before = contents(store)
    write(good, seed=8)
    for said, path in bad_files(tmp_path / "bad").items():
        with pytest.raises(TalikError, match=said) as caught:
            index(store, [good, path])
        assert "\n" not in str(caught.value), path
        assert contents(store) == before, path


def test_wrong_words_and_unclear_items_are_refused(store: Store, tmp_path: Path) -> None:
    a = write(tmp_path / "x" / "a_20200701.tif")
    b = write(tmp_path / "y" / "a_20200701.tif", seed=2)
    c = write(tmp_path / "y" / "a_20200702.tif", seed=3)
    eight = write(tmp_path / "eight.tif", 8)
    (tmp_path / "none").mkdir()
    june, july = datetime(2020, 6, 1, tzinfo=UTC), datetime(2020, 7, 1, tzinfo=UTC)
    cases: list[tuple[str, list[Path], dict[str, Any]]] = [
        ("unknown band role 'nirr'", [a], {"bands": (("R", "G", "B", "nirr"),)}),
        ("two bands are both 'red'", [a], {"bands": (("R", "red", "B", "NIR"),)}),
        ("none of its bands is used", [a], {"bands": (("-", "-", "-", "-"),)}),
        ("both hold 'blue' with different content", [a, b], {}),
        ("is of 2020-07-01 00:00", [a, c], {"patterns": Patterns(item_id="a")}),
        ("2 times --bands, but 1 times --datetime", [eight], {"bands": (RGBN, RGBN), "datetimes": (june,)}),
        ("its 2 dates take 4", [eight], {"bands": (("R", "G"),), "datetimes": (june, july)}),
        (
            "2020-07-01 takes 5 to 10",
            [eight],
            {"bands": (RGBN, (*RGBN, "-", "-")), "datetimes": (june, july)},
        ),
        ("is no name", [a], {"collection": "../c"}),
        ("holds no .tif", [tmp_path / "none"], {}),
    ]
    for said, files, changes in cases:
        with pytest.raises(ImageryError, match=said):
            index(store, files, **changes)
    assert list(store.list("")) == []


def test_the_same_file_twice_is_one_item(store: Store, tmp_path: Path) -> None:
    a = write(tmp_path / "x" / "a_20200701.tif")
    (tmp_path / "y").mkdir()
    copy = Path(shutil.copy(a, tmp_path / "y" / a.name))
    assert index(store, [a, a, copy]).new == ("a_20200701",)
    assert index(store, [copy]).unchanged == ("a_20200701",)
    write(copy, seed=5)
    with pytest.raises(ImageryError, match=r"is indexed already from .*/x/a_20200701\.tif, whose content differs"):
        index(store, [copy])


def test_a_failure_while_converting_takes_back_what_was_put(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / f"a_2020070{n}.tif", seed=n) for n in (1, 2)]
    index(store, files[:1])
    before = contents(store)
    write(files[0], seed=5)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("talik_inference.indexing.write_index", full)
    with pytest.raises(OSError, match="No space"):
        index(store, files)
    assert contents(store) == before


def naip_pixels(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as source:
        pixels: NDArray[np.uint8] = source.read()
    return pixels


@pytest.mark.realdata
@needs_naip
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # odc-geo with affine 3
@pytest.mark.filterwarnings("ignore:The .shapely.ops.transform:DeprecationWarning")  # odc-geo with shapely 2.2
def test_the_ten_dates_of_cottonwood_lake_are_indexed_in_place(store: Store, tmp_path: Path) -> None:
    files = sorted(NAIP.glob("*.tif"))
    done = index(store, files, collection="naip")
    assert (len(done.new), done.converted) == (10, 0)
    before = contents(store)
    assert len(index(store, files, collection="naip").unchanged) == 10
    assert contents(store) == before
    scenes = scenes_from_index(store, "naip", bands=("red", "green", "blue", "nir"))
    assert [scene.datetime.year for scene in scenes] == [2009, 2010, 2012, *range(2014, 2021)]
    assert check_scene_files(scenes) == []
    items = read_items(store, "naip")
    for scene, item, path in zip(scenes, items, files, strict=True):
        assert scene.bands["nir"].grid is not None
        with rasterio.open(path) as source:
            assert scene.bands["nir"].grid.transform == source.transform
            assert scene.bands["nir"].grid.shape == source.shape
        assert item["assets"]["image"]["href"] == str(path)
        migrated = pystac.Item.from_dict(item)
        migrated.stac_extensions = []  # their schemas are on the internet; the core schema is at hand
        migrated.validate()
    table = geopandas.read_parquet(store.url("imagery/naip/items.parquet"), bbox=(-99.2, 47.0, -99.1, 47.1))
    assert len(table) == 10
    _check_stacit(items[3], files[3], tmp_path)
    _check_odc_stac(items[3], files[3])


def _check_stacit(item: dict[str, Any], path: Path, folder: Path) -> None:
    """GDAL's STACIT driver reads the item as the file itself."""
    with rasterio.Env() as env:
        if "STACIT" not in env.drivers():
            pytest.skip("this GDAL has no STACIT driver")
    collection = folder / "items.json"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    with rasterio.open(f'STACIT:"{collection}":asset=image') as source:
        assert source.descriptions == ("red", "green", "blue", "nir")
        np.testing.assert_array_equal(source.read(), naip_pixels(path))


def _check_odc_stac(item: dict[str, Any], path: Path) -> None:
    loaded = odc.stac.load([pystac.Item.from_dict(item)], bands=["red", "nir"], chunks=None)
    np.testing.assert_array_equal(loaded["nir"].to_numpy()[0], naip_pixels(path)[3])


@pytest.mark.realdata
@needs_inn
def test_the_inn_river_pair_becomes_two_items_over_one_cog(store: Store) -> None:
    dates = (datetime(2021, 6, 1, tzinfo=UTC), datetime(2021, 9, 1, tzinfo=UTC))
    done = index(store, [INN], collection="inn", datetimes=dates)
    assert (len(done.new), done.converted) == (2, 1)
    scenes = scenes_from_index(store, "inn", bands=("green", "nir"))
    with rasterio.open(INN) as source:
        pixels = source.read()
    for number, scene in enumerate(scenes):
        band = scene.bands["nir"]
        with rasterio.open(band.href) as source:
            np.testing.assert_array_equal(source.read(band.index), pixels[3 + 4 * number])
        assert cog_validate(band.href, strict=True, quiet=True)[0]
        assert shape(scene.item["geometry"]).contains(scene.footprint.centroid)
