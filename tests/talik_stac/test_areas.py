"""Named areas: saved once, found by name, never changed."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, box, mapping

from talik_stac.aoi import AreaOfInterest, parse_aoi
from talik_stac.areas import area_of_collection, list_areas, load_area, remember_area, resolve_area, same_place
from talik_stac.errors import AoiError, ImageryError
from talik_stac.store import Store, open_store


def test_an_area_saved_once_is_known_by_its_name(any_store: Store) -> None:
    aoi = parse_aoi("179.123456789,65,-179,66", name="chukotka")
    remember_area(any_store, aoi)
    assert resolve_area(any_store, "chukotka") == aoi
    assert resolve_area(any_store, " chukotka ", name="other").name == "other"
    assert load_area(any_store, "chukotka") == aoi
    assert load_area(any_store, "nowhere") is None


def test_the_saved_file_is_geojson_that_gdal_reads_as_the_same_area(folder_store: Store) -> None:
    aoi = parse_aoi("179,65,-179,66", name="chukotka")
    remember_area(folder_store, aoi)
    path = folder_store.url("areas/chukotka.geojson")
    assert parse_aoi(path) == aoi
    document = json.loads(Path(path).read_bytes())
    assert document["bbox"] == [179, 65, -179, 66]  # RFC 7946, 5.2
    for part in shapely.get_parts(shapely.geometry.shape(document["geometry"])):
        assert part.exterior.is_ccw  # RFC 7946, 3.1.6


def test_resolving_writes_nothing(folder_store: Store) -> None:
    resolve_area(folder_store, "10,60,11,61", name="a")
    assert not Path(folder_store.root).exists()


def test_saving_the_same_area_again_keeps_the_first_file(any_store: Store) -> None:
    remember_area(any_store, parse_aoi("10,60,11,61", name="a"))
    before = any_store.get("areas/a.geojson")
    halves = MultiPolygon([box(10, 60, 10.5, 61), box(10.5, 60, 11, 61)])
    remember_area(any_store, parse_aoi(halves.wkt, name="a"))
    remember_area(any_store, parse_aoi("10,60,11.0000000001,61", name="a"))  # rounding by another program
    assert any_store.get("areas/a.geojson") == before


def test_a_name_never_changes_its_meaning(any_store: Store) -> None:
    remember_area(any_store, parse_aoi("10,60,11,61", name="a"))
    with pytest.raises(AoiError, match=r"'a' is another area already: .* at 10,60,11,61, not .* choose another --name"):
        remember_area(any_store, parse_aoi("10,60,11,61.001", name="a"))
    assert resolve_area(any_store, "a").bbox == (10, 60, 11, 61)


def test_of_two_runs_that_start_together_one_saves_its_area(folder_store: Store) -> None:
    places = [parse_aoi(f"{west},60,{west + 1},61", name="a") for west in range(8)]

    def save(aoi: AreaOfInterest) -> bool:
        try:
            remember_area(folder_store, aoi)
        except AoiError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(save, places))
    assert saved.count(True) == 1
    assert load_area(folder_store, "a") == places[saved.index(True)]


def test_a_saved_name_goes_before_a_file_of_that_name(
    folder_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    remember_area(folder_store, parse_aoi("10,60,11,61", name="lena"))
    for name in ("lena", "olenek"):
        Path(name).write_text(json.dumps(mapping(box(0, 0, 1, 1))))
    assert resolve_area(folder_store, "lena").bbox == (10, 60, 11, 61)
    assert resolve_area(folder_store, "olenek").bbox == (0, 0, 1, 1)


def test_an_unknown_name_is_told_with_the_known_ones(any_store: Store) -> None:
    with pytest.raises(AoiError, match=r"no area is saved as 'lena' .*; saved areas: none yet; give west,south"):
        resolve_area(any_store, "lena")
    remember_area(any_store, parse_aoi("10,60,11,61", name="tiksi"))
    remember_area(any_store, parse_aoi("10,60,11,61", name="banks-island"))
    with pytest.raises(AoiError, match=r"saved areas: banks-island, tiksi"):
        resolve_area(any_store, "lena")


def test_only_areas_are_listed(any_store: Store) -> None:
    remember_area(any_store, parse_aoi("10,60,11,61", name="b"))
    remember_area(any_store, parse_aoi("10,60,11,61", name="a"))
    for stray in ("areas/readme.txt", "areas/Not A Name.geojson", "areas/sub/c.geojson", "other/d.geojson"):
        any_store.put(stray, b"")
    assert list(list_areas(any_store)) == ["a", "b"]


def test_the_limits_hold_for_saved_areas_too(folder_store: Store) -> None:
    remember_area(folder_store, parse_aoi("10,60,11,61", name="a"))
    with pytest.raises(AoiError, match="more than the limit of 100 km2"):
        resolve_area(folder_store, "a", max_area_km2=100)
    with pytest.raises(AoiError, match="more than the limit of 100 km2"):
        resolve_area(folder_store, "10,60,11,61", max_area_km2=100)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"geometry": null}', b'{"geometry": {"type": "Point"}}', b"\xff"]
)
def test_a_damaged_area_is_one_line(any_store: Store, data: bytes) -> None:
    any_store.put("areas/a.geojson", data)
    with pytest.raises(AoiError, match=r"areas/a\.geojson is damaged") as caught:
        resolve_area(any_store, "a")
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(st.floats(-179, 178), st.floats(-85, 84), st.floats(1e-3, 1), st.floats(1e-3, 1))
def test_every_area_loads_as_it_was_saved(
    tmp_path_factory: pytest.TempPathFactory, west: float, south: float, width: float, height: float
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("areas")))
    aoi = AreaOfInterest(name="a", geometry=box(west, south, west + width, south + height))
    remember_area(store, aoi)
    loaded = load_area(store, "a")
    assert loaded == aoi
    assert loaded.geometry.wkb == aoi.geometry.wkb
    assert pickle.loads(pickle.dumps(aoi)) == aoi


def test_a_millionth_of_an_area_is_rounding_and_more_is_not() -> None:
    def wide(width: float) -> AreaOfInterest:
        return AreaOfInterest(name="a", geometry=box(0, 0, width, 1))

    assert same_place(wide(1), wide(1 + 0.9e-6))
    assert not same_place(wide(1), wide(1 + 1.1e-6))


def _collection(store: Store, bbox: list[object]) -> None:
    document = {"type": "Collection", "id": "naip", "extent": {"spatial": {"bbox": [bbox]}}}
    store.put("imagery/naip/collection.json", json.dumps(document).encode())


def test_a_collection_is_an_area_of_its_name(any_store: Store) -> None:
    _collection(any_store, [179, 65, -179, 66])
    aoi = area_of_collection(any_store, "naip")
    assert aoi == parse_aoi("179,65,-179,66", name="naip")
    assert area_of_collection(any_store, "naip", name="x").name == "x"
    with pytest.raises(AoiError, match="limit of 10 km2"):
        area_of_collection(any_store, "naip", max_area_km2=10)


def test_an_unknown_or_damaged_collection_is_one_line(any_store: Store) -> None:
    with pytest.raises(ImageryError, match=r"no imagery collection 'naip' .*; there is: none yet\. Make it with"):
        area_of_collection(any_store, "naip")
    _collection(any_store, ["x"])
    with pytest.raises(ImageryError, match="states no extent"):
        area_of_collection(any_store, "naip")
