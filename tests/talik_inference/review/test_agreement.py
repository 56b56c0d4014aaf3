"""Agreement of two experts, against tables worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from talik_inference.review.agreement import Agreement, agreements
from talik_stac.review_documents import Said, Status, as_geojson, decide
from talik_stac.reviews import Standing

BOX = shapely.box(0, 0, 1, 1)


def word(reviewer: str, object_id: str, status: Status) -> Standing:
    said = Said(status=status, redrawn=as_geojson(BOX) if status == "edited" else None)
    decision = decide(
        edition="water-test-2021-v1",
        object_id=object_id,
        geometry=BOX,
        reviewer=reviewer,
        at=datetime(2022, 3, 1, tzinfo=UTC),
        said=said,
    )
    return Standing(object_id=object_id, decision=decision, said=said, added=False, overlap=1.0, carried=False)


def of(counts: list[list[int]]) -> Agreement:
    return Agreement(first="a", second="b", counts=np.array(counts), differences=(), only_first=0, only_second=0)


def test_kappa_is_that_of_a_table_worked_out_by_hand() -> None:
    # 50 objects: both say yes to 20 and no to 15. Observed 35/50 = 0.7; Ann says yes to half, Bob to 0.6:
    # expected 0.5 x 0.6 + 0.5 x 0.4 = 0.5; kappa = (0.7 - 0.5) / (1 - 0.5) = 0.4.
    table = of([[20, 5, 0], [10, 15, 0], [0, 0, 0]])
    assert table.both == 50
    assert table.percent == pytest.approx(70)
    assert table.kappa == pytest.approx(0.4)
    # sqrt(0.7 x 0.3 / (50 x 0.5 x 0.5)) = sqrt(0.21 / 12.5)
    assert table.kappa_error == pytest.approx(0.12961, abs=1e-5)


def test_kappa_of_three_answers_is_that_of_a_table_worked_out_by_hand() -> None:
    # 20 objects, 14 alike: po = 0.7. Ann: 10, 6, 4; Bob: 11, 6, 3. pe = (110 + 36 + 12) / 400 = 0.395.
    table = of([[8, 1, 1], [2, 4, 0], [1, 1, 2]])
    assert table.percent == pytest.approx(70)
    assert table.kappa == pytest.approx((0.7 - 0.395) / (1 - 0.395))
    assert table.kappa_error == pytest.approx(math.sqrt(0.7 * 0.3 / (20 * 0.605**2)))


@given(st.lists(st.integers(1, 9), min_size=3, max_size=3), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_kappa_is_zero_where_two_experts_answer_independently(a: list[int], b: list[int]) -> None:
    assert of(np.outer(a, b).tolist()).kappa == pytest.approx(0, abs=1e-12)


def test_kappa_is_one_where_all_is_alike_and_nothing_where_there_is_one_answer() -> None:
    assert of([[5, 0, 0], [0, 5, 0], [0, 0, 2]]).kappa == pytest.approx(1)
    assert of([[5, 0, 0], [0, 0, 0], [0, 0, 0]]).kappa is None
    assert of([[0, 0, 0], [0, 0, 0], [0, 0, 0]]).percent is None
    assert of([[0, 5, 0], [5, 0, 0], [0, 0, 0]]).kappa == pytest.approx(-1)


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=3), min_size=3, max_size=3))
def test_kappa_is_at_most_one_and_the_same_from_either_side(counts: list[list[int]]) -> None:
    one, other = of(counts), of(np.array(counts).T.tolist())
    assert one.kappa == (None if other.kappa is None else pytest.approx(other.kappa))
    assert one.kappa is None or -1 - 1e-9 <= one.kappa <= 1 + 1e-9


def test_words_are_counted_and_the_differences_are_named() -> None:
    said: dict[str, dict[str, Status]] = {
        "Ann": {"a": "confirmed", "b": "rejected", "c": "confirmed", "d": "unsure", "e": "confirmed"},
        "Bob": {"a": "edited", "b": "rejected", "c": "rejected", "d": "confirmed", "f": "rejected"},
    }
    words = [word(who, name, status) for who, all_ in said.items() for name, status in all_.items()]
    (found,) = agreements(words[::-1])
    assert found.counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert [(d.object_id, d.first, d.second) for d in found.differences] == [
        ("c", "confirmed", "rejected"),
        ("d", "unsure", "confirmed"),
    ]
    assert (found.only_first, found.only_second) == (1, 1)


def test_three_experts_are_compared_two_by_two() -> None:
    pairs = agreements([word(who, "a", "confirmed") for who in ("Cat", "Ann", "Bob")])
    assert [(each.first, each.second) for each in pairs] == [("Ann", "Bob"), ("Ann", "Cat"), ("Bob", "Cat")]
    assert agreements([word("Ann", "a", "confirmed")]) == []
