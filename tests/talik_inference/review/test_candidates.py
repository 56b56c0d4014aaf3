"""The order in which candidates are looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from editing import publish_polygons
from talik_inference.review.candidates import (
    METRES_PER_DEGREE,
    Weights,
    candidates,
    entropy,
    inspection_value,
    novelty,
    write_candidates,
)
from talik_stac.editions import read_geo
from talik_stac.errors import EditionError
from talik_stac.review_documents import Said, decide
from talik_stac.reviews import append
from talik_stac.store import Store

NOTHING = np.empty(0, object)


def box(x: float, size: float = 0.001) -> shapely.Polygon:
    return shapely.box(x, 0, x + size, size)


def frame_of(probability: list[float], area_m2: list[float]) -> geopandas.GeoDataFrame:
    places = [box(0.1 * n) for n in range(len(probability))]
    return geopandas.GeoDataFrame({"probability": probability, "area_m2": area_m2}, geometry=places)


def test_entropy_is_a_bit_at_one_half_and_nothing_where_all_is_certain() -> None:
    assert entropy(np.array([0, 0.5, 1, 0.11, np.nan])) == pytest.approx([0, 1, 0, 0.49992, 0], abs=1e-4)


@given(st.floats(0, 0.5))
def test_entropy_is_the_same_for_yes_and_no(p: float) -> None:
    assert entropy(np.array([p])) == pytest.approx(entropy(np.array([1 - p])), abs=1e-9)


def test_the_value_is_the_weighted_mean_of_its_parts() -> None:
    frame = frame_of([0.5, 0.5, 1.0], [100.0, 1000.0, 10_000.0])
    parts = inspection_value(frame, NOTHING, Weights(uncertainty=2, size=1, novelty=1))
    assert parts["uncertainty"].tolist() == [1, 1, 0]
    assert parts["size"] == pytest.approx([0, 0.5, 1])
    assert parts["novelty"].tolist() == [1, 1, 1]
    assert parts["value"] == pytest.approx([3 / 4, 3.5 / 4, 2 / 4])
    again = inspection_value(frame, NOTHING, Weights(uncertainty=4, size=2, novelty=2))
    assert again["value"] == pytest.approx(parts["value"])


@pytest.mark.parametrize(("part", "order"), [("uncertainty", [1, 0, 2]), ("size", [2, 1, 0]), ("novelty", [0, 2, 1])])
def test_each_part_alone_orders_by_itself(part: str, order: list[int]) -> None:
    frame = frame_of([0.7, 0.5, 0.95], [100.0, 1000.0, 10_000.0])
    known = np.array([box(0.1)], object)  # the second object; the third lies 0.1 degrees from it, the first further
    frame.geometry = [box(0.4), box(0.1), box(0.2)]
    weights = Weights(**{name: float(name == part) for name in ("uncertainty", "size", "novelty")})
    value = inspection_value(frame, known, weights)["value"]
    assert np.argsort(-value).tolist() == order


def test_what_is_known_is_not_new_and_what_lies_far_from_it_is_worth_more() -> None:
    known = np.array([box(0)], object)
    kilometre = 1000 / METRES_PER_DEGREE
    found = novelty(np.array([box(0.0005), box(0.001 + kilometre), box(0.001 + 9 * kilometre)], object), known)
    assert found == pytest.approx([0, 0.75, 0.95], abs=1e-3)


@pytest.mark.parametrize("values", [(0, 0, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_weights_that_order_nothing_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(EditionError, match="weights"):
        Weights(uncertainty=values[0], size=values[1], novelty=values[2])


def test_what_was_decided_is_left_out_unless_all_is_asked_for(any_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(any_store, tmp_path / "a", [box(0), box(0.1), box(0.2, 0.01)], year=2021)
    frame = read_geo(any_store, edition)
    first = frame["id"].iat[0]
    at = datetime(2022, 1, 1, tzinfo=UTC)
    said = Said(status="rejected")
    append(
        any_store,
        [decide(edition=edition.id, object_id=first, geometry=frame.geometry.iat[0], reviewer="Ann", at=at, said=said)],
    )
    open_ = candidates(any_store, edition.id)
    assert set(open_["id"]) == set(frame["id"]) - {first}
    assert open_["value"].is_monotonic_decreasing
    assert len(candidates(any_store, edition.id, reviewer="Bob")) == 3
    everything = candidates(any_store, edition.id, decided_too=True)
    assert dict(zip(everything["id"], everything["decided"], strict=True))[first] == "Ann"
    assert everything["id"].iat[-1] == first, "it is as uncertain as the others, small, and known"


def test_objects_of_the_earlier_edition_are_not_new(folder_store: Store, tmp_path: Path) -> None:
    publish_polygons(folder_store, tmp_path / "a", [box(0)], year=2019)
    edition = publish_polygons(folder_store, tmp_path / "b", [box(0), box(0.1)], year=2021)
    found = candidates(folder_store, edition.id)
    assert found["novelty"].tolist() == pytest.approx([(1 + 10.9 / 11.9) / 2, 0], abs=0.01)
    first = candidates(folder_store, "water-test-2019-v1")
    assert first["novelty"].tolist() == [1], "the later edition is not the earlier one"


def test_an_edition_without_objects_has_no_candidates(folder_store: Store, tmp_path: Path) -> None:
    edition = publish_polygons(folder_store, tmp_path / "a", [], year=2021)
    assert len(candidates(folder_store, edition.id)) == 0


@pytest.mark.parametrize("ending", ["gpkg", "csv"])
def test_candidates_are_written_in_their_order(folder_store: Store, tmp_path: Path, ending: str) -> None:
    edition = publish_polygons(folder_store, tmp_path / "a", [box(0), box(0.1, 0.002), box(0.2, 0.01)], year=2021)
    found = candidates(folder_store, edition.id)
    path = tmp_path / f"c.{ending}"
    write_candidates(found, path)
    back = geopandas.read_file(path)
    assert back["id"].tolist() == found["id"].tolist()
    assert [int(rank) for rank in back["rank"]] == [1, 2, 3]
