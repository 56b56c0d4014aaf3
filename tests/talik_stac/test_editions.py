"""Editions: claimed, published by one last write, never rewritten; ids that stay; valid STAC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

import editing
from editing import publish_polygons, table_of
from talik_stac.editions import (
    EditionDraft,
    EditionId,
    claim,
    list_editions,
    load_edition,
    previous_edition,
    publish,
    read_geo,
    read_observed,
    read_table,
)
from talik_stac.errors import EditionError
from talik_stac.matching import carried_ids
from talik_stac.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def box(x: float, size: float = 0.1) -> shapely.Geometry:
    return shapely.box(x, 0, x + size, size)


def test_an_id_is_read_back_as_it_was_written() -> None:
    for text in ("water-north-slope-2-2014-v3", "water-a-20140601-20140930-v12"):
        assert str(EditionId.parse(text)) == text
    assert EditionId.parse("water-north-slope-2-2014-v3").area == "north-slope-2"
    with pytest.raises(EditionError, match="water-cottonwood-2014-v1"):
        EditionId.parse("lakes of 2014")


def test_an_edition_appears_with_its_item_and_not_before(store: Store, tmp_path: Path) -> None:
    claimed = claim(store, landform="water", area="test", season="2021", configuration="x")
    store.put(f"inventories/water/{claimed.edition_id}/inventory.parquet", b"half")
    assert list_editions(store) == []
    edition = publish_polygons(store, tmp_path / "a", [box(0)], year=2021, configuration="x")
    assert edition.id == claimed.edition_id
    assert [e.id for e in list_editions(store)] == [edition.id]


def test_a_claim_is_taken_up_by_its_own_configuration_and_stepped_over_by_others(store: Store, tmp_path: Path) -> None:
    def ask(configuration: str) -> tuple[str, bool]:
        claimed = claim(store, landform="water", area="test", season="2021", configuration=configuration)
        return claimed.edition_id[-2:], claimed.published

    assert ask("x") == ("v1", False)
    assert ask("y") == ("v2", False)
    assert ask("x") == ("v1", False)
    publish_polygons(store, tmp_path / "a", [box(0)], year=2021, configuration="x")
    assert ask("x") == ("v1", True)


def test_publishing_twice_gives_the_first(store: Store, tmp_path: Path) -> None:
    first = publish_polygons(store, tmp_path / "a", [box(0)], year=2021)
    item = store.get(f"{first.prefix}/item.json")
    again = publish_polygons(store, tmp_path / "b", [box(0)], year=2021)
    assert again.id == first.id
    assert store.get(f"{first.prefix}/item.json") == item


def test_the_edition_before_is_the_nearest_earlier_one(store: Store, tmp_path: Path) -> None:
    for year in (2015, 2019, 2023):
        publish_polygons(store, tmp_path / str(year), [box(0)], year=year)

    def before(year: int) -> str | None:
        found = previous_edition(
            store,
            landform="water",
            area="test",
            season_start=date(year, 6, 1),
            edition_id=f"water-test-{year}-v1",
        )
        return None if found is None else found.id

    assert before(2020) == "water-test-2019-v1"
    assert before(2024) == "water-test-2023-v1"
    assert before(2010) == "water-test-2015-v1", "nothing earlier: the next later one"


def test_an_unknown_edition_is_answered_with_its_neighbours(store: Store, tmp_path: Path) -> None:
    publish_polygons(store, tmp_path / "a", [box(0)], year=2021)
    with pytest.raises(EditionError, match="water-test-2021-v1"):
        load_edition(store, "water-test-2012-v1")


def test_the_catalogue_is_walked_by_pystac_down_to_every_asset(store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(store, tmp_path / "a", [box(0), box(0.5)], year=2021)
    catalog = pystac.Catalog.from_file(store.url("catalog.json"))
    (item,) = list(catalog.get_items(recursive=True))
    assert item.id == edition.id
    for asset in item.assets.values():
        path = Path(asset.get_absolute_href() or "")
        assert path.stat().st_size == asset.extra_fields["file:size"]
    item.stac_extensions = []  # their schemas are not to be had offline
    item.validate()
    collection = item.get_collection()
    assert collection is not None
    collection.validate()


def test_ids_are_carried_to_the_largest_overlap_and_to_one_object_each() -> None:
    before = table_of([box(0.0, 0.2), box(1.0), box(2.0), box(2.12)])
    ids = before["id"].to_pylist()
    after = table_of(
        [shapely.box(0, 0, 0.15, 0.2), shapely.box(0.16, 0, 0.2, 0.2), box(1.01), shapely.box(2, 0, 2.3, 0.1), box(9)]
    )
    fresh = after["id"].to_pylist()
    given = carried_ids([after.slice(0, 2), after.slice(2)], before)
    assert given[fresh[0]] == ids[0], "the larger part of a split"
    assert fresh[1] not in given
    assert given[fresh[2]] == ids[1]
    assert given[fresh[3]] in ids[2:]
    assert fresh[4] not in given
    assert len(set(given.values())) == len(given)
    assert carried_ids([after.slice(2), after.slice(0, 2)], before) == given


def test_a_speck_of_overlap_does_not_carry_an_id() -> None:
    before, after = table_of([box(0.0)]), table_of([box(0.095)])
    assert carried_ids([after], before) == {}


def test_the_collection_lists_every_edition(store: Store, tmp_path: Path) -> None:
    for year in (2020, 2021):
        publish_polygons(store, tmp_path / str(year), [box(0)], year=year)
    collection = json.loads(store.get("inventories/water/collection.json"))
    assert [link["href"] for link in collection["links"] if link["rel"] == "item"] == [
        "./water-test-2020-v1/item.json",
        "./water-test-2021-v1/item.json",
    ]


def _contents(store: Store, prefix: str) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list(prefix)}


def test_publishing_again_writes_none_of_the_published_files(store: Store, tmp_path: Path) -> None:
    first = publish_polygons(store, tmp_path / "a", [box(0)], year=2021, configuration="x")
    before = _contents(store, first.prefix)
    publish_polygons(store, tmp_path / "b", [box(0), box(3)], year=2021, configuration="x")
    assert _contents(store, first.prefix) == before
    run = json.loads(before[f"{first.prefix}/item.json"])["assets"]["run"]
    assert run["file:size"] == len(before[f"{first.prefix}/run.json"])


def test_an_id_that_bears_another_configuration_is_refused_and_kept(store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(store, tmp_path / "a", [box(0)], year=2021, configuration="x")
    before = _contents(store, edition.prefix)
    other = replace(_draft(tmp_path / "b", edition.id, [box(1)]), configuration="y")
    with pytest.raises(EditionError, match="another configuration"):
        publish(store, other)
    assert _contents(store, edition.prefix) == before


@pytest.mark.parametrize("writes", range(6))
def test_a_run_killed_at_any_write_leaves_no_edition_and_the_next_completes_it(
    store: Store, tmp_path: Path, writes: int
) -> None:
    claimed = claim(store, landform="water", area="test", season="2021", configuration="x")
    draft = replace(_draft(tmp_path / "made", claimed.edition_id, [box(0)]), configuration="x")
    done = 0

    class Killed(BaseException):
        pass

    def counted(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            nonlocal done
            if done == writes:
                raise Killed
            done += 1
            return write(*given)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("put", "put_file", "put_if_absent"):
            patch.setattr(type(store), name, counted(getattr(type(store), name)))
        with pytest.raises(Killed):
            publish(store, draft)
    # Three files, the record of the run, the item; after it only links are missing.
    assert [edition.id for edition in list_editions(store)] == ([claimed.edition_id] if writes == 5 else [])
    again = claim(store, landform="water", area="test", season="2021", configuration="x")
    assert again.edition_id == claimed.edition_id
    assert again.published == (writes == 5)
    if not again.published:
        publish(store, draft)
    items = pystac.Catalog.from_file(store.url("catalog.json")).get_items(recursive=True)
    assert [item.id for item in items] == [claimed.edition_id]


def test_runs_at_the_same_time_get_ids_of_their_own_and_all_are_linked(store: Store, tmp_path: Path) -> None:
    def run(number: int) -> str:
        name = f"configuration-{number}"
        return publish_polygons(store, tmp_path / name, [box(number)], year=2021, configuration=name).id

    with ThreadPoolExecutor(8) as pool:
        ids = sorted(pool.map(run, range(8)))
    assert ids == [f"water-test-2021-v{version}" for version in range(1, 9)]
    items = pystac.Catalog.from_file(store.url("catalog.json")).get_items(recursive=True)
    assert sorted(item.id for item in items) == ids


def test_claims_of_one_configuration_at_the_same_time_are_one(store: Store) -> None:
    def ask(_: int) -> str:
        return claim(store, landform="water", area="test", season="2021", configuration="x").edition_id

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {"water-test-2021-v1"}


def test_the_edition_before_a_second_version_is_the_first(store: Store, tmp_path: Path) -> None:
    for configuration in ("x", "y"):
        publish_polygons(store, tmp_path / configuration, [box(0)], year=2021, configuration=configuration)
    publish_polygons(store, tmp_path / "other", [box(0)], year=2021, area="elsewhere")

    def before(edition_id: str) -> str | None:
        area = EditionId.parse(edition_id).area
        found = previous_edition(
            store, landform="water", area=area, season_start=date(2021, 6, 1), edition_id=edition_id
        )
        return found.id if found else None

    assert before("water-test-2021-v2") == "water-test-2021-v1"
    assert before("water-test-2021-v3") == "water-test-2021-v2"
    assert before("water-elsewhere-2021-v1") is None


@given(
    area=st.from_regex(r"[a-z0-9]+(-[a-z0-9]+){0,3}", fullmatch=True),
    season=st.from_regex(r"[0-9]{4}|[0-9]{8}-[0-9]{8}", fullmatch=True),
    version=st.integers(1, 999),
)
@settings(max_examples=80, deadline=None)
def test_every_id_is_read_back_as_it_was_written(area: str, season: str, version: int) -> None:
    edition = EditionId(landform="thaw_slump", area=area, season=season, version=version)
    assert EditionId.parse(str(edition)) == edition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "water",
        "water-a-2014",
        "water-a-2014-v",
        "Water-a-2014-v1",
        "../x-a-2014-v1",
        "water-a-2014-v0",
        "water-a-2014-v01",
        "water-a-٢٠١٤-v1",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(EditionError, match="no edition id"):
        EditionId.parse(text)


def test_the_hrefs_of_the_store_are_relative(store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(store, tmp_path / "a", [box(0)], year=2021)
    for key in ("catalog.json", "inventories/water/collection.json", f"{edition.prefix}/item.json"):
        document = json.loads(store.get(key))
        hrefs = [link["href"] for link in document["links"]]
        hrefs += [asset["href"] for asset in document.get("assets", {}).values()]
        assert all(href.startswith(("./", "../")) for href in hrefs), hrefs


def test_a_moved_store_is_whole(store: Store, tmp_path: Path) -> None:
    publish_polygons(store, tmp_path / "a", [box(0)], year=2021)
    moved = Path(store.root).rename(tmp_path / "moved")
    (item,) = pystac.Catalog.from_file(str(moved / "catalog.json")).get_items(recursive=True)
    assert all(Path(str(asset.get_absolute_href())).is_file() for asset in item.assets.values())
    assert item.get_collection() is not None


def test_the_checksums_of_the_item_are_those_of_the_files(store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(store, tmp_path / "a", [box(0)], year=2021)
    for asset in edition.item["assets"].values():
        data = store.get(f"{edition.prefix}/{asset['href'].removeprefix('./')}")
        assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()


def test_editions_are_published_on_a_folder_and_on_s3_alike(any_store: Store, tmp_path: Path) -> None:
    first = publish_polygons(any_store, tmp_path / "a", [box(0)], year=2021)
    second = publish_polygons(any_store, tmp_path / "b", [box(0)], year=2021, configuration="another")
    assert [edition.id for edition in list_editions(any_store, "water")] == [first.id, second.id]
    assert load_edition(any_store, first.id) == first
    assert read_geo(any_store, first)["id"].tolist() == read_table(any_store, first)["id"].to_pylist()
    assert len(read_observed(any_store, first)) == 1


def _draft(folder: Path, edition_id: str, polygons: list[shapely.Geometry]) -> EditionDraft:
    """What would be published under this id."""
    elsewhere = open_store(str(folder / "elsewhere"))
    drafts: list[EditionDraft] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editing, "publish", lambda _store, draft: drafts.append(draft))
        publish_polygons(elsewhere, folder / "files", polygons, year=2021)
    return replace(drafts[0], edition_id=edition_id)


def test_a_version_follows_the_last_one_that_was_published(store: Store, tmp_path: Path) -> None:
    def before(edition: Any) -> list[str]:
        return [link["href"] for link in edition.item["links"] if link["rel"] == "predecessor-version"]

    claim(store, landform="water", area="test", season="2021", configuration="killed")
    second = publish_polygons(store, tmp_path / "b", [box(0)], year=2021, configuration="x")
    claim(store, landform="water", area="test", season="2021", configuration="killed too")
    fourth = publish_polygons(store, tmp_path / "d", [box(0)], year=2021, configuration="y")
    assert [second.id, fourth.id] == ["water-test-2021-v2", "water-test-2021-v4"]
    assert before(second) == []
    assert before(fourth) == ["../water-test-2021-v2/item.json"]
