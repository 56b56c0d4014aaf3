"""Which candidate is which decided one, and what a decision adds to what is known."""

from __future__ import annotations

import pytest
import shapely

from talik_stac.errors import RecipeError
from talik_training.rounds.words import Asked, Candidate, Decision, Known, Labelled, Verdict, Waiting

NOTHING = Known(positives=(), negatives=())
SQUARE = shapely.box(0, 0, 10, 10)


def candidate(name: str, outline: shapely.Polygon | None = None) -> Candidate:
    return Candidate(id=name, probability=0.5, area_m2=100, outline=outline)


def decision(verdict: Verdict, outline: shapely.Polygon | None = SQUARE, **said: object) -> Decision:
    return Decision(candidate=candidate("first", outline), verdict=verdict, **said)  # type: ignore[arg-type]


CASES = {
    "the same outline": (Verdict.REJECTED, SQUARE, False),
    "beside it": (Verdict.REJECTED, shapely.box(10, 0, 20, 10), True),
    "moved by a third": (Verdict.REJECTED, shapely.box(3, 0, 13, 10), False),
    "a pond in a rejected plain": (Verdict.REJECTED, shapely.box(4, 4, 6, 6), True),
    "a piece of what was accepted": (Verdict.ACCEPTED, shapely.box(4, 4, 6, 6), False),
    "much more than what was accepted": (Verdict.ACCEPTED, shapely.box(0, 0, 100, 100), True),
    "unsure, the same": (Verdict.UNSURE, SQUARE, False),
}


@pytest.mark.parametrize(("verdict", "outline", "fresh"), CASES.values(), ids=CASES)
def test_a_candidate_is_asked_where_nothing_like_it_was_decided(
    verdict: Verdict, outline: shapely.Polygon, fresh: bool
) -> None:
    asked = Asked().add([decision(verdict)])
    assert bool(asked.new_of(NOTHING, [candidate("second", outline)])) is fresh


def test_what_is_known_from_the_start_is_not_asked() -> None:
    known = Known(positives=(Labelled(id="a", outline=SQUARE),), negatives=())
    there, elsewhere = candidate("x", shapely.box(1, 1, 9, 9)), candidate("y", shapely.box(50, 0, 60, 10))
    assert Asked().new_of(known, [there, elsewhere]) == [elsewhere]


def test_ground_that_was_looked_over_hides_no_candidate() -> None:
    known = Known(positives=(), negatives=(Labelled(id="background", outline=SQUARE),))
    assert len(Asked().new_of(known, [candidate("x", SQUARE)])) == 1


def test_a_patch_without_outline_is_known_by_its_name() -> None:
    known = Known(positives=(Labelled(id="a"),), negatives=())
    asked = Asked().add([decision(Verdict.UNSURE, None)])
    fresh = asked.new_of(known, [candidate("a"), candidate("first"), candidate("b")])
    assert [each.id for each in fresh] == ["b"]


def test_two_candidates_that_show_one_object_add_one() -> None:
    both = [decision(Verdict.ACCEPTED, object_id="slump"), decision(Verdict.ACCEPTED, object_id="slump")]
    assert [each.id for each in NOTHING.add(both).positives] == ["slump"]


def test_an_object_that_is_accepted_is_no_negative_whatever_was_said_before() -> None:
    known = NOTHING.add([decision(Verdict.REJECTED, object_id="slump")])
    assert len(known.negatives) == 1
    later = known.add([decision(Verdict.ACCEPTED, object_id="slump")])
    assert (len(later.positives), len(later.negatives)) == (1, 0)


def test_what_the_expert_drew_is_learned_and_not_what_was_proposed() -> None:
    drawn = shapely.box(0, 0, 5, 5)
    (known,) = NOTHING.add([decision(Verdict.ACCEPTED, outline=SQUARE)]).positives
    assert known.outline == SQUARE
    said = Decision(candidate=candidate("first", SQUARE), verdict=Verdict.ACCEPTED, outline=drawn)
    assert NOTHING.add([said]).positives[0].outline == drawn


def test_unsure_teaches_nothing() -> None:
    assert NOTHING.add([decision(Verdict.UNSURE)]) == NOTHING


def test_waiting_for_nothing_is_refused() -> None:
    with pytest.raises(RecipeError, match="say what somebody has to do"):
        Waiting(until="")
