"""The simulated expert: stated error rates, and the same answer to the same question."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import shapely
from shapely.affinity import translate

from talik_stac.errors import RecipeError
from talik_training.corridor.expert import ExpertErrors, SimulatedExpert, SizeRate, Verdict
from talik_training.corridor.scene import Corridor

AREA = Corridor(seed=1).area


@cache
def expert(seed: int = 7, miss: float = 0.25, false: float = 0.10) -> SimulatedExpert:
    errors = ExpertErrors(miss=SizeRate(small=miss, large=0.02), false=SizeRate(small=false, large=0.02))
    return SimulatedExpert(seed=seed, corridor_seed=1, area=AREA, errors=errors)


def test_slumps_are_missed_and_look_alikes_taken_at_the_stated_rates() -> None:
    missed = expected_missed = fooled = expected_fooled = 0.0
    for seed in range(8):
        one = SimulatedExpert.__new__(SimulatedExpert)
        one.__dict__.update(expert().__dict__, seed=seed)
        slumps = one.judge(list(one.slumps.geometry))
        others = one.judge(list(one.lookalikes.geometry))
        missed += sum(answer.verdict is Verdict.REJECTED for answer in slumps)
        fooled += sum(answer.verdict is Verdict.ACCEPTED for answer in others)
        expected_missed += float(one.errors.miss.at(one.slumps["area_m2"].to_numpy()).sum())
        expected_fooled += float(one.errors.false.at(one.lookalikes["area_m2"].to_numpy()).sum())
    # Three standard deviations of a count are below 20 % of it.
    assert missed == pytest.approx(expected_missed, abs=3 * expected_missed**0.5)
    assert fooled == pytest.approx(expected_fooled, abs=3 * expected_fooled**0.5)
    assert expected_missed > 150


def test_small_slumps_are_missed_more_often() -> None:
    rate = SizeRate(small=0.3, large=0.02)
    chances = rate.at(np.array([0, 1e3, 1e4, 1e6]))
    assert chances[0] == pytest.approx(0.3)
    assert (np.diff(chances) < 0).all()
    assert chances[-1] == pytest.approx(0.02)


def test_the_answer_belongs_to_the_object_not_to_the_order_or_outline_of_candidates() -> None:
    slumps = list(expert().slumps.geometry)[:60]
    answers = expert().judge(slumps)
    assert expert().judge(slumps[::-1]) == answers[::-1]
    redrawn = [translate(outline, 4, -3).buffer(3) for outline in slumps]
    assert expert().judge(redrawn) == answers


def test_an_expert_without_errors_says_the_truth() -> None:
    none = SizeRate(small=0, large=0)
    sure = SimulatedExpert(seed=1, corridor_seed=1, area=AREA, errors=ExpertErrors(miss=none, false=none))
    assert all(answer.verdict is Verdict.ACCEPTED and not answer.wrong for answer in sure.judge(sure.slumps.geometry))
    for answer in sure.judge(sure.lookalikes.geometry):
        assert answer.verdict is Verdict.REJECTED
        assert answer.lookalike is not None
        assert not answer.wrong


def test_a_candidate_that_barely_touches_a_slump_does_not_show_it() -> None:
    outline = max(expert().slumps.geometry, key=lambda one: one.area)
    left, bottom, _, top = outline.bounds
    beside = shapely.box(left - 300, bottom, left + 5, top)
    within = outline.centroid.buffer(20)
    first, second = expert().judge([beside, within])
    assert first.slump is None
    assert second.slump is not None


def test_experts_of_other_seeds_err_elsewhere() -> None:
    slumps = list(expert().slumps.geometry)
    first, second = ([answer.verdict for answer in expert(seed).judge(slumps)] for seed in (7, 8))
    assert first != second


def test_no_candidates_are_no_decisions() -> None:
    assert expert().judge([]) == []


def test_rates_that_are_no_chances_are_refused() -> None:
    with pytest.raises(RecipeError, match="0 to 1"):
        SizeRate(small=1.2, large=0.0)
