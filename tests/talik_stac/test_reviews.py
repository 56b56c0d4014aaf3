"""The log of decisions: written once, later words stand in place of earlier ones, and nothing is asked twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from editing import publish_polygons
from talik_stac.editions import load_edition, read_geo
from talik_stac.review_documents import (
    CRITERIA,
    Decision,
    ReviewError,
    Said,
    as_geojson,
    criteria_for,
    decide,
    same_outline,
)
from talik_stac.reviews import Standing, append, latest, read_area, read_decisions, standing
from talik_stac.store import Store

EDITION = "water-test-2021-v1"
NOON = datetime(2022, 3, 1, 12, tzinfo=UTC)


def box(x: float, size: float = 0.01, y: float = 0.0) -> shapely.Polygon:
    return shapely.box(x, y, x + size, y + size)


def decision(object_id: str = "a", *, said: Said | None = None, minutes: int = 0, **changes: Any) -> Decision:
    given = {"edition": EDITION, "geometry": box(0), "reviewer": "Ann", **changes}
    at = NOON + timedelta(minutes=minutes)
    return decide(object_id=object_id, at=at, said=said or Said(status="confirmed"), **given)


def stands(store: Store, edition: str) -> list[Standing]:
    return standing(store, edition, read_geo(store, load_edition(store, edition)))


def test_a_decision_is_read_back_as_it_was_written(any_store: Store) -> None:
    said = Said(
        status="edited",
        criteria=dict.fromkeys(criteria_for("water"), True),
        confidence=0.7,
        comment="steep side",
        redrawn=as_geojson(shapely.Point(0, 0).buffer(0.1)),
        initiated_after=date(2014, 8, 1),
        initiated_before=date(2016, 8, 31),
    )
    written = [decision("a", said=said), decision("b", minutes=1)]
    append(any_store, written)
    assert read_decisions(any_store, EDITION) == written
    assert read_area(any_store, landform="water", area="test") == written
    assert read_area(any_store, landform="water", area="elsewhere") == []


def test_decisions_are_files_that_are_never_changed(any_store: Store) -> None:
    first = decision()
    append(any_store, [first])
    (key,) = any_store.list("reviews")
    assert key == f"reviews/{EDITION}/{first.id}.json"
    before = any_store.get(key)
    append(any_store, [decision(said=Said(status="rejected"), minutes=1)])
    assert any_store.get(key) == before
    with pytest.raises(ReviewError, match="never changed"):
        append(any_store, [first.model_copy(update={"reviewer": "Bob"})])
    assert any_store.get(key) == before


def test_a_damaged_decision_is_named(folder_store: Store) -> None:
    folder_store.put(f"reviews/{EDITION}/{decision().id}.json", b'{"id": "x"}')
    with pytest.raises(ReviewError, match=r"\.json is damaged"):
        read_decisions(folder_store, EDITION)


@settings(max_examples=50, deadline=None)
@given(st.permutations([(who, name, n) for n in range(3) for who in ("Ann", "Bob") for name in "ab"]))
def test_the_order_in_which_decisions_are_read_leaves_no_trace(order: list[tuple[str, str, int]]) -> None:
    words = [Said(status="confirmed"), Said(status="rejected"), Said(status="unsure")]
    read = [decision(name, reviewer=who, minutes=n, said=words[n]) for who, name, n in order]
    found = {key: each.said.status for key, each in latest(read).items()}
    assert found == {(who, name): "unsure" for who in ("Ann", "Bob") for name in "ab"}


def test_two_reviewers_do_not_touch_each_others_words(folder_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2021)
    (name,) = read_geo(folder_store, edition)["id"]
    append(folder_store, [decision(name), decision(name, reviewer="Bob", said=Said(status="rejected"), minutes=1)])
    assert [(each.reviewer, each.status) for each in stands(folder_store, edition.id)] == [
        ("Ann", "confirmed"),
        ("Bob", "rejected"),
    ]


def test_decisions_survive_a_new_map_whose_outlines_lie_a_little_beside(any_store: Store, tmp_path: Path) -> None:
    places = [box(0), box(0.1), box(0.2)]
    first = publish_polygons(any_store, tmp_path / "a", places, year=2021)
    frame = read_geo(any_store, first)
    words = ["confirmed", "rejected", "unsure"]
    append(
        any_store,
        [
            decision(name, geometry=polygon, said=Said(status=word))  # type: ignore[arg-type]
            for name, polygon, word in zip(frame["id"], frame.geometry, words, strict=True)
        ],
    )
    said = {round(polygon.bounds[0], 3): word for polygon, word in zip(frame.geometry, words, strict=True)}
    shifted = [box(place.bounds[0] + 0.001, y=0.001) for place in places] + [box(0.5)]
    second = publish_polygons(any_store, tmp_path / "b", shifted, year=2021, configuration="another model")
    now = read_geo(any_store, second).set_index("id")
    carried = stands(any_store, second.id)
    assert {round(now.geometry[each.object_id].bounds[0] - 0.001, 3): each.status for each in carried} == said
    assert all(each.carried and each.decision.edition == first.id for each in carried)
    for each in carried:
        assert each.overlap == pytest.approx(0.81 / (2 - 0.81), rel=1e-6)  # 9 x 9 of 10 x 10 in common
    assert not set(frame["id"]) & set(now.index), "ids were not carried in this test; the outlines were matched"


def test_what_was_said_of_the_edition_itself_holds_before_what_is_carried(folder_store: Store, tmp_path: Path) -> None:
    first = publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2021)
    second = publish_polygons(folder_store, tmp_path / "b", [box(0)], year=2021, configuration="again")
    append(
        folder_store,
        [
            decision("a", edition=second.id, said=Said(status="rejected")),
            decision("other", edition=first.id, minutes=5),
        ],
    )
    (name,) = read_geo(folder_store, second)["id"]
    append(folder_store, [decision(name, edition=second.id, said=Said(status="unsure"))])
    (found,) = [each for each in stands(folder_store, second.id) if each.object_id == name]
    assert (found.status, found.carried) == ("unsure", False)


def test_the_same_season_counts_before_a_larger_overlap(folder_store: Store, tmp_path: Path) -> None:
    publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2021)
    publish_polygons(folder_store, tmp_path / "b", [box(0)], year=2025)
    again = publish_polygons(folder_store, tmp_path / "c", [box(0)], year=2021, configuration="again")
    append(
        folder_store,
        [
            decision("x", geometry=box(0.002), said=Said(status="rejected")),
            decision("y", edition="water-test-2025-v1", minutes=9),
        ],
    )
    (found,) = stands(folder_store, again.id)
    assert found.status == "rejected"


def test_a_small_object_inside_a_large_decided_one_is_asked_anew(folder_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(folder_store, tmp_path / "a", [box(0.05, 0.01, 0.05)], year=2022)
    append(folder_store, [decision("plain", geometry=box(0, 0.1), said=Said(status="rejected"))])
    assert stands(folder_store, edition.id) == []


def test_the_pieces_of_what_was_accepted_are_not_asked_again(folder_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(folder_store, tmp_path / "a", [box(0, 0.01), box(0.05, 0.01, 0.05)], year=2022)
    append(folder_store, [decision("lake", geometry=box(0, 0.1))])
    assert [each.status for each in stands(folder_store, edition.id)] == ["confirmed", "confirmed"]
    larger = publish_polygons(folder_store, tmp_path / "b", [shapely.box(0, 0, 0.5, 0.5)], year=2023)
    assert stands(folder_store, larger.id) == [], "what was accepted is a small part of it"


def test_a_redrawn_outline_is_carried_within_its_season_only(folder_store: Store, tmp_path: Path) -> None:
    drawn = box(0, 0.012)
    again = publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2021, configuration="again")
    later = publish_polygons(folder_store, tmp_path / "b", [box(0)], year=2023)
    said = Said(status="edited", redrawn=as_geojson(drawn))
    append(folder_store, [decision("x", edition="water-test-2021-v9", said=said)])
    (same,), (other,) = stands(folder_store, again.id), stands(folder_store, later.id)
    assert same.status == "edited"
    assert same.redrawn is not None
    assert same.redrawn.equals(drawn)
    assert (other.status, other.redrawn) == ("confirmed", None)


def test_what_an_expert_drew_stays_until_a_model_finds_it(folder_store: Store, tmp_path: Path) -> None:
    blind = publish_polygons(folder_store, tmp_path / "a", [box(0.5)], year=2021)
    append(folder_store, [decision("drawn", edition=blind.id, geometry=box(0), added=True)])
    still_blind = publish_polygons(folder_store, tmp_path / "b", [box(0.5)], year=2021, configuration="again")
    sees = publish_polygons(folder_store, tmp_path / "c", [box(0, 0.009)], year=2021, configuration="better")
    later = publish_polygons(folder_store, tmp_path / "d", [box(0.5)], year=2023)
    (here,), (carried,), (found,) = (stands(folder_store, each.id) for each in (blind, still_blind, sees))
    assert (here.object_id, here.added, here.carried) == ("drawn", True, False)
    assert (carried.object_id, carried.added, carried.carried) == ("drawn", True, True)
    assert (found.added, found.status) == (False, "edited")
    assert found.redrawn is not None
    assert found.redrawn.equals(box(0))
    assert stands(folder_store, later.id) == [], "it was drawn on imagery of another season"


BAD = {
    "lies after": {"status": "confirmed", "initiated_after": "2020-01-01", "initiated_before": "2019-01-01"},
    "less than or equal to 1": {"status": "confirmed", "confidence": 1.5},
    "without another outline": {"status": "edited"},
    "that is 'edited'": {"status": "confirmed", "redrawn": as_geojson(box(0))},
    "no valid polygon": {
        "status": "edited",
        "redrawn": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]},
    },
    "no polygon in lon/lat": {"status": "edited", "redrawn": as_geojson(shapely.box(4e5, 5e6, 4e5 + 10, 5e6 + 10))},
    "no GeoJSON": {"status": "edited", "redrawn": {"type": "Polygon"}},
}


@pytest.mark.parametrize("said", BAD)
def test_a_word_that_contradicts_itself_is_refused(said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Said.model_validate(BAD[said])


def test_criteria_go_with_the_landform() -> None:
    assert criteria_for("thaw_slump") == criteria_for("slump") == CRITERIA["slump"]
    assert len(criteria_for("water")) == 4
    with pytest.raises(ValidationError, match="headwall_visible"):
        decision(said=Said(status="confirmed", criteria={"headwall_visible": True}))


def test_an_outline_is_the_same_wherever_its_ring_begins() -> None:
    ring = list(box(0).exterior.coords)[:-1]
    turned = shapely.MultiPolygon([shapely.Polygon((ring[2:] + ring[:2])[::-1])])
    assert same_outline(box(0), turned)
    assert not same_outline(box(0), box(1e-7))


def test_an_invalid_candidate_can_still_be_decided(folder_store: Store, tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, 0), (0.01, 0.01), (0.01, 0), (0, 0.01)])
    edition = publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2022)
    append(folder_store, [decision("bow", geometry=bow)])
    (found,) = stands(folder_store, edition.id)
    assert found.status == "confirmed"
