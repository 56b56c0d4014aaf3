"""The loop on a small simulated corridor: what it starts from, what it counts, and that a kill changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely

from talik_inference.model import load_model
from talik_stac.errors import RecipeError
from talik_stac.store import open_store
from talik_training.corridor.scene import cover, window_grid
from talik_training.corridor.terrain import Window
from talik_training.rounds.corridor_model import LearningRules, proposed
from talik_training.rounds.corridor_site import CorridorRules, CorridorSite, errors_said
from talik_training.rounds.loop import LoopRules, Rounds, run_rounds
from talik_training.rounds.words import Candidate, Decision, Verdict

RULES = CorridorRules(seed=3, tiles_x=2, tiles_y=2, tile_px=512)
"""105 km2."""


class KilledError(Exception):
    """What a test throws where a kill would come."""


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def site(two_steps: LearningRules, tmp_path_factory: pytest.TempPathFactory) -> CorridorSite:
    return CorridorSite(replace(RULES, learning=two_steps), tmp_path_factory.mktemp("corridor"), quiet)


def candidates_of(site: CorridorSite, *, share: float = 1.0) -> list[Candidate]:
    """What a perfect model proposes: the first of the true slumps, drawn on pixels."""
    window = Window(row=0, col=0, row_end=1024, col_end=1024)
    outlines = site.expert.slumps.geometry.tolist()
    drawn = np.zeros(window.shape, np.uint8)
    for outline in outlines[: round(share * len(outlines))]:
        drawn[cover(outline, window) >= 0.5] = 250
    return proposed(drawn, LearningRules(), number=1)


def test_everything_says_that_it_is_simulated(site: CorridorSite) -> None:
    assert "simulated" in site.name
    assert site.describe()["simulated"] is True
    assert all("simulated" in note for note in site.notes()[:2])


def test_the_first_inventory_is_a_share_of_the_truth_and_ground_without_slumps(site: CorridorSite) -> None:
    known = site.start()
    truth = dict(zip(site.expert.slumps["id"], site.expert.slumps.geometry, strict=True))
    assert len(known.positives) == max(round(300 / 875 * len(truth)), 1) < len(truth)
    assert all(truth[each.id].equals(each.outline) for each in known.positives)
    assert len(known.negatives) == len(known.positives)
    every = shapely.union_all(list(truth.values()))
    assert not any(shapely.intersects(every, each.outline) for each in known.negatives)
    assert site.start() == known


def test_a_perfect_model_scores_one(site: CorridorSite) -> None:
    scores = site.score(site.start(), candidates_of(site))
    assert scores["model_recall"] == 1.0
    assert scores["model_precision"] == 1.0
    assert scores["precision"] == 1.0
    assert scores["recall"] == pytest.approx(len(site.start().positives) / site.truth, abs=1e-4)


def test_half_of_a_perfect_model_has_half_the_recall(site: CorridorSite) -> None:
    half = site.score(site.start(), candidates_of(site, share=0.5))
    assert half["model_recall"] == pytest.approx(0.5, abs=0.5 / site.truth + 1e-4)


def test_the_expert_draws_what_is_accepted_as_it_is(site: CorridorSite) -> None:
    decisions = site.judge(1, candidates_of(site), Path())
    accepted = [each for each in decisions if each.verdict is Verdict.ACCEPTED]
    truth = dict(zip(site.expert.slumps["id"], site.expert.slumps.geometry, strict=True))
    assert accepted
    assert all(each.outline == truth[each.object_id or ""] for each in accepted)


def test_candidates_are_the_surest_first_and_none_is_smaller_than_the_rules_say() -> None:
    probability = np.zeros((32, 32), np.uint8)
    probability[2:4, 2:5] = 250  # 600 m2
    probability[10:13, 10:13] = 100
    probability[20:23, 20:24] = 200
    found = proposed(probability, LearningRules(), number=7)
    assert [each.area_m2 for each in found] == [1200.0, 900.0]
    assert [each.probability for each in found] == [0.8, 0.4]
    grid = window_grid(Window(row=0, col=0, row_end=32, col_end=32))
    assert shapely.box(*(grid.affine @ (20, 23)), *(grid.affine @ (24, 20))).equals(found[0].outline)


def test_a_killed_loop_ends_as_one_that_was_not(site: CorridorSite, tmp_path: Path) -> None:
    whole = run(site, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(_Dies(site.rules, tmp_path_of(site), quiet), tmp_path / "killed")
    again = run(site, tmp_path / "killed")
    assert (again.rows, again.known) == (whole.rows, whole.known)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_every_round_leaves_a_model_that_maps_and_its_decisions(site: CorridorSite, tmp_path: Path) -> None:
    done = run(site, tmp_path)
    for row in done.rows:
        folder = tmp_path / f"round-{row.round}"
        card = load_model(str(folder), open_store(str(tmp_path / "store"))).card
        assert list(card.bands) == ["blue", "green", "red", "nir"]
        assert len(json.loads((folder / "decisions.json").read_text())["decisions"]) == row.inspected
    assert [path.parent.name for path in tmp_path.glob("*/checkpoint.pt")] == [f"round-{len(done.rows)}"]


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(RecipeError, match="known_share"):
        CorridorRules(seed=1, known_share=share)


def test_the_stated_errors_are_said_with_their_numbers() -> None:
    said = errors_said(RULES.errors)
    assert "25% (smallest) to 2% (largest)" in said
    assert "a look-alike with 10% to 2%, plain ground with 1.0% to 0.2%" in said


class _Dies(CorridorSite):
    """Dies after the second round's training."""

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision]:
        if number == 2:
            raise KilledError
        return super().judge(number, candidates, folder)


def run(site: CorridorSite, folder: Path) -> Rounds:
    return run_rounds(site, LoopRules(max_rounds=2, largest_inspection=40), folder, quiet)


def tmp_path_of(site: CorridorSite) -> Path:
    """The folder with the imagery, so that it is simulated once."""
    filename = getattr(site.ground.numbers, "filename", None)
    assert filename is not None
    return Path(filename).parent


def weights(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("round-*/model.onnx"))]
