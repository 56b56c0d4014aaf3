"""A confirmed edition holds exactly what was confirmed, and everything else reads it like any edition."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from editing import publish_polygons
from making import UTM33, grid_at
from talik_inference.review.confirmed import publish_confirmed
from talik_inference.review.sampling import sampled
from talik_stac.changes import diff
from talik_stac.editions import Edition, list_editions, load_edition, read_geo, read_observed
from talik_stac.exports import FORMATS, export
from talik_stac.review_documents import ReviewError, Said, as_geojson, decide
from talik_stac.reviews import append
from talik_stac.store import Store, open_store
from world import World, around, paint

NOON = datetime(2022, 3, 1, 12, tzinfo=UTC)


def box(x: float, size: float = 0.01) -> shapely.Polygon:
    return shapely.box(x, 0, x + size, size)


def say(
    store: Store,
    edition: Edition,
    words: dict[str, Any],
    *,
    reviewer: str = "Ann",
    minutes: int = 0,
) -> None:
    """Append one decision an object: id -> status, fields of Said, or a polygon that the expert drew."""
    frame = read_geo(store, edition).set_index("id")
    for name, word in words.items():
        drawn = isinstance(word, shapely.Polygon)
        said = {"status": word} if isinstance(word, str) else {"status": "confirmed"} if drawn else word
        decision = decide(
            edition=edition.id,
            object_id=name,
            geometry=word if drawn else frame.geometry[name],
            reviewer=reviewer,
            at=NOON + timedelta(minutes=minutes),
            said=Said.model_validate(said),
            added=drawn,
        )
        append(store, [decision])


def ids_of(store: Store, edition: Edition) -> list[str]:
    frame = read_geo(store, edition)
    return [frame["id"].iat[i] for i in frame.geometry.bounds["minx"].argsort()]


def status_of(store: Store, edition: Edition) -> dict[str, str]:
    frame = read_geo(store, edition)
    return dict(zip(frame["id"], frame["status"], strict=True))


def test_publishing_equals_what_was_confirmed(any_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(any_store, tmp_path / "a", [box(x / 10) for x in range(5)], year=2021)
    a, b, c, d, _ = ids_of(any_store, source)
    after, before = date(2015, 7, 1), date(2016, 8, 1)
    say(
        any_store,
        source,
        {
            a: {"status": "confirmed", "confidence": 0.75, "initiated_after": after, "initiated_before": before},
            b: "rejected",
            c: {"status": "edited", "redrawn": as_geojson(box(0.2, 0.02))},
            d: "unsure",
            "water-drawn": box(0.9),
        },
    )
    done = publish_confirmed(any_store, source.id)
    assert done.edition.id == "water-test-2021-v2"
    assert done.counts == {"confirmed": 1, "edited": 1, "added": 1, "rejected": 1, "undecided": 1, "unseen": 1}
    assert status_of(any_store, done.edition) == {a: "confirmed", c: "edited", "water-drawn": "confirmed"}
    frame = read_geo(any_store, done.edition).set_index("id")
    was = read_geo(any_store, source).set_index("id")
    assert frame.loc[a, "confidence"] == 0.75
    assert frame.loc[a, "geometry"].equals(was.loc[a, "geometry"])
    assert frame.loc[c, "geometry"].equals(box(0.2, 0.02))
    assert frame.loc[c, "area_m2"] == pytest.approx(0.02 * 111_319.5 * 0.02 * 110_574.4, rel=1e-4)  # at the equator
    assert frame.loc[c, "probability"] == was.loc[c, "probability"], "no raster holds it: the map's word stays"
    assert frame.loc["water-drawn", ["model", "probability", "pixels"]].tolist() == ["expert", 0, 0]
    assert set(frame["edition"]) == {done.edition.id}
    run = json.loads(any_store.get(f"{done.edition.prefix}/run.json"))
    assert run["review"]["initiated"] == {a: {"after": "2015-07-01", "before": "2016-08-01"}}
    assert frame.loc[a, ["initiated_after", "initiated_before"]].tolist() == [after, before]
    assert frame.loc[[c, "water-drawn"], ["initiated_after", "initiated_before"]].isna().all(axis=None)
    assert done.edition.attributes == ("initiated_after", "initiated_before")
    assert run["review"]["rejected"] == [b]
    assert run["previous_edition"] == source.id
    assert set(run["review"]["decisions"]) == {a, b, c, d, "water-drawn"}


def test_publishing_the_same_decisions_twice_writes_nothing(any_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(any_store, tmp_path / "a", [box(0), box(0.1)], year=2021)
    a, b = ids_of(any_store, source)
    say(any_store, source, {a: "confirmed"})
    first = publish_confirmed(any_store, source.id)
    item = any_store.get(f"{first.edition.prefix}/item.json")
    again = publish_confirmed(any_store, source.id)
    assert (again.edition.id, again.published_before) == (first.edition.id, True)
    assert any_store.get(f"{first.edition.prefix}/item.json") == item
    say(any_store, source, {b: "confirmed"}, minutes=1)
    third = publish_confirmed(any_store, source.id)
    assert third.edition.id == "water-test-2021-v3"
    assert [each.id for each in list_editions(any_store)] == [f"water-test-2021-v{n}" for n in (1, 2, 3)]


def test_an_inventory_has_days_of_initiation_only_where_an_expert_stated_one(
    folder_store: Store, tmp_path: Path
) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(x / 10) for x in range(3)], year=2021)
    a, b, c = ids_of(folder_store, source)
    day = date(2016, 8, 31)
    say(folder_store, source, {a: "confirmed", b: {"status": "rejected", "initiated_before": day}})
    plain = publish_confirmed(folder_store, source.id, keep_candidates=True).edition
    assert plain.attributes == ()
    assert "talik:attributes" not in plain.item["properties"]
    assert list(read_geo(folder_store, plain).columns) == list(read_geo(folder_store, source).columns)
    say(folder_store, source, {a: {"status": "confirmed", "initiated_before": day}}, minutes=1)
    dated = publish_confirmed(folder_store, source.id, keep_candidates=True).edition
    rows = read_geo(folder_store, dated).set_index("id")
    assert rows["initiated_before"].to_dict() == {a: day, c: None}
    assert rows["initiated_after"].isna().all()
    say(folder_store, dated, {c: "confirmed"}, minutes=2)
    again = read_geo(folder_store, publish_confirmed(folder_store, dated.id).edition).set_index("id")
    assert again["initiated_before"].to_dict() == {a: day, c: None}, "a word carries its day along"


def test_what_nobody_decided_is_kept_where_asked_for(folder_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(x / 10) for x in range(4)], year=2021)
    a, b, c, d = ids_of(folder_store, source)
    say(folder_store, source, {a: "confirmed", b: "rejected", c: "unsure"})
    done = publish_confirmed(folder_store, source.id, keep_candidates=True)
    assert status_of(folder_store, done.edition) == {a: "confirmed", c: "candidate", d: "candidate"}


def test_two_experts_are_settled_by_a_rule(folder_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(x / 10) for x in range(4)], year=2021)
    a, b, c, d = ids_of(folder_store, source)
    say(folder_store, source, {a: {"status": "confirmed", "confidence": 1.0}, b: "confirmed", c: "confirmed"})
    second = {a: {"status": "confirmed", "confidence": 0.5}, b: "rejected", d: "rejected"}
    say(folder_store, source, second, reviewer="Bob", minutes=1)
    with pytest.raises(ReviewError, match="Ann, Bob decided here; give --reviewer NAME, --rule both or --rule any"):
        publish_confirmed(folder_store, source.id)
    both = publish_confirmed(folder_store, source.id, rule="both")
    assert status_of(folder_store, both.edition) == {a: "confirmed"}
    assert both.counts["rejected"] == 0
    assert read_geo(folder_store, both.edition)["confidence"].tolist() == [0.75]
    some = publish_confirmed(folder_store, source.id, rule="any")
    assert status_of(folder_store, some.edition) == dict.fromkeys((a, b, c), "confirmed")
    bob = publish_confirmed(folder_store, source.id, reviewer="Bob")
    assert status_of(folder_store, bob.edition) == {a: "confirmed"}
    assert len({both.edition.id, some.edition.id, bob.edition.id}) == 3
    with pytest.raises(ReviewError, match="reviewer 'Cat' decided nothing here; expected one of Ann, Bob"):
        publish_confirmed(folder_store, source.id, reviewer="Cat")


def test_nothing_is_published_where_nobody_decided(folder_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2021)
    with pytest.raises(ReviewError, match="nobody decided"):
        publish_confirmed(folder_store, source.id)
    assert [each.id for each in list_editions(folder_store)] == [source.id]


def test_decisions_hold_for_a_new_map_of_the_same_season(folder_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(0), box(0.1)], year=2021)
    a, b = ids_of(folder_store, source)
    say(folder_store, source, {a: "confirmed", b: "rejected"})
    new = publish_polygons(folder_store, tmp_path / "b", [box(0.001), box(0.101)], year=2021, configuration="new")
    c, _ = ids_of(folder_store, new)
    done = publish_confirmed(folder_store, new.id)
    assert status_of(folder_store, done.edition) == {c: "confirmed"}


def test_everything_else_reads_a_confirmed_edition(folder_store: Store, tmp_path: Path) -> None:
    source = publish_polygons(folder_store, tmp_path / "a", [box(0), box(0.1)], year=2021)
    a, b = ids_of(folder_store, source)
    dated = {"status": "confirmed", "initiated_after": date(2015, 7, 1), "initiated_before": date(2016, 8, 31)}
    say(folder_store, source, {a: dated, b: "rejected", "water-drawn": box(0.5)})
    edition = publish_confirmed(folder_store, source.id).edition
    changes = diff(folder_store, source.id, edition.id)
    assert sorted(changes.table["change"]) == ["gone", "new", "unchanged"]
    for form, ending in FORMATS.items():
        assert export(folder_store, edition.id, form, tmp_path / f"out{ending}").stat().st_size > 0
    links = {link["rel"]: link["href"] for link in load_edition(folder_store, edition.id).item["links"]}
    assert links["predecessor-version"] == f"../{source.id}/item.json"


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Edition]:
    """A small simulated world with two lakes, mapped."""
    world = World(folder=tmp_path_factory.mktemp("world"))
    water = np.zeros((100, 120), bool)
    water[20:60, 10:50] = True
    water[70:90, 80:110] = True
    grid = grid_at(40_000, -540_000, 100, 120)
    world.add("a_20210715", paint(water), grid)
    return world, world.map(around(grid)).edition


def test_probability_inside_a_mapped_outline_is_that_of_the_map(mapped: tuple[World, Edition]) -> None:
    world, edition = mapped
    frame = read_geo(open_store(world.root), edition)
    tiles = sorted((Path(world.root) / edition.prefix / "probability").glob("*.tif"))
    found = sampled(tiles, frame.geometry.to_numpy())
    assert found.pixels.tolist() == frame["pixels"].tolist()
    assert found.probability == pytest.approx(frame["probability"].to_numpy(), abs=1e-12)


def test_an_experts_outline_is_measured_on_the_map_itself(mapped: tuple[World, Edition], tmp_path: Path) -> None:
    world, edition = mapped
    store = open_store(world.root)
    frame = read_geo(store, edition)
    large, small = frame.sort_values("pixels")["id"][::-1]
    # half of the large lake's columns (25 px of 40 rows), and 10 x 10 px of dry land
    left, top = grid_at(40_000, -540_000, 1, 1).affine * (0, 0)
    half = lonlat(shapely.box(left + 100, top - 600, left + 350, top - 200))
    dry = lonlat(shapely.box(left + 700, top - 300, left + 800, top - 200))
    say(store, edition, {large: {"status": "edited", "redrawn": as_geojson(half)}, small: "confirmed", "dry": dry})
    done = publish_confirmed(store, edition.id).edition
    found = read_geo(store, done).set_index("id")
    assert found.loc[large, "pixels"] == 25 * 40
    assert found.loc[large, "area_m2"] == pytest.approx(250 * 400, rel=2e-3)  # the scale of UTM
    assert found.loc[large, "probability"] == pytest.approx(frame.set_index("id").loc[large, "probability"])
    assert found.loc["dry", "pixels"] == 100
    assert found.loc["dry", "probability"] < 0.5
    assert (found["shape_index"] >= 1).all()
    assert read_observed(store, done).equals(read_observed(store, edition))
    for path in sorted((Path(world.root) / edition.prefix / "probability").glob("*.tif")):
        copy = Path(world.root) / done.prefix / "probability" / path.name
        assert copy.read_bytes() == path.read_bytes()
        with rasterio.open(copy) as source:
            assert source.count == 1


def lonlat(polygon: shapely.Polygon) -> shapely.Polygon:
    (there,) = geopandas.GeoSeries([polygon], crs=UTM33.crs).to_crs("OGC:CRS84")
    return there
