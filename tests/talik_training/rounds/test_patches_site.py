"""The loop on slump patches: on simulated ones whose model is known, with a tiny network, and on real ones."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from talik_stac.errors import RecipeError
from talik_training.batches import Batch
from talik_training.fitting import Fit
from talik_training.loop_state import read_checkpoint
from talik_training.rounds.loop import LoopRules, run_rounds
from talik_training.rounds.patches_figure import draw_rounds
from talik_training.rounds.patches_ground import Ground, Piece, PublishedMask, pieces_of, read_ground, taught
from talik_training.rounds.patches_site import CHECKPOINT, WEIGHTS, Learning, PatchesModel, PatchesSite
from talik_training.rounds.words import Candidate, Known, Labelled, RoundRow, Say, Verdict
from talik_training.samples import OTHER, UNKNOWN, Sample

DATA = Path("/work/shared/data")
SIDE = 64
SLUMP, LOOKALIKE = (slice(10, 30), slice(10, 30)), (slice(40, 56), slice(40, 56))
TINY = Learning(first_steps=2, steps=2, batch=2, window_px=64, weights="random")


def patch(name: str, *, slump: bool = True, lookalike: bool = False) -> Sample:
    """Simulated: a bright square is a slump, a less bright one looks like it."""
    image = np.full((3, SIDE, SIDE), 0.2, np.float32)
    image += np.random.default_rng(int(name[1:])).normal(0, 0.01, image.shape).astype(np.float32)
    label = np.zeros((SIDE, SIDE), np.uint8)
    if slump:
        image[(slice(None), *SLUMP)], label[SLUMP] = 0.8, 1
    if lookalike:
        image[(slice(None), *LOOKALIKE)] = 0.6
    return Sample(
        id=name, group=name, image=image, bands=("red", "green", "blue"), label=label, pixel_m=4.0, source="simulated"
    )


def ground_of(count: int = 6, *, lookalikes: bool = False) -> Ground:
    return Ground(
        patches={f"p{i}": patch(f"p{i}", lookalike=lookalikes) for i in range(count)},
        elsewhere={"e90": patch("e90", slump=False, lookalike=lookalikes)},
        held_out=(patch("h99"),),
    )


def brighter_than(level: float, site: PatchesSite) -> object:
    def answer(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        light = (scaled * site._scaled.std + site._scaled.mean)[0]
        return np.where(light > level, np.float32(0.9), np.float32(0.1))

    return answer


@dataclass(kw_only=True)
class Sighted(PatchesSite):
    """A site whose model needs no learning: bright is slump; what it takes for bright, by round."""

    levels: tuple[float, ...] = (0.5,)

    def train(self, number: int, known: Known, folder: Path, say: Say) -> PatchesModel:
        level = self.levels[min(number, len(self.levels)) - 1]
        return PatchesModel(number=number, answer=brighter_than(level, self), known=known)  # type: ignore[arg-type]


def silent(text: str) -> None:
    """Hear nothing."""


def rounds_of(site: PatchesSite, folder: Path, *, most: int = 4) -> list[RoundRow]:
    return list(run_rounds(site, LoopRules(max_rounds=most), folder, silent).rows)


def test_a_model_that_sees_every_slump_finds_all_in_one_round_and_the_loop_ends(tmp_path: Path) -> None:
    rows = rounds_of(Sighted(ground=ground_of(), start_count=2), tmp_path)
    assert [row.newly_found for row in rows] == [4, 0, 0]
    assert rows[0].measures["recall"] == rows[0].measures["f1"] == 1.0
    assert rows[0].measures["new_at_50"] == 4


def test_a_look_alike_is_rejected_once_and_never_asked_again(tmp_path: Path) -> None:
    rows = rounds_of(Sighted(ground=ground_of(lookalikes=True), start_count=2), tmp_path)
    # Round 1: four slumps and four look-alikes in patches, one look-alike elsewhere; then only the last one is seen.
    assert [row.inspected for row in rows] == [9, 0, 0]
    assert [row.proposed for row in rows] == [9, 1, 1]
    assert (rows[0].measures["false_in_patches"], rows[0].measures["false_elsewhere"]) == (4, 1)


def test_a_slump_swallowed_by_a_rejected_outline_is_still_found_later(tmp_path: Path) -> None:
    # The first model takes the whole patch for slump: 400 of 4,096 pixels are, fewer than a tenth, so it is false.
    # The second one sees the slump.
    rows = rounds_of(Sighted(ground=ground_of(), start_count=2, levels=(0.0, 0.5)), tmp_path)
    assert [row.newly_found for row in rows] == [0, 4, 0, 0]


@pytest.mark.parametrize(
    ("box", "verdict"),
    [
        ((10, 10, 30, 30), Verdict.ACCEPTED),
        ((10, 10, 30, 17), Verdict.ACCEPTED),  # IoU 0.35
        ((10, 10, 30, 15), Verdict.UNSURE),  # IoU 0.25, all of it slump
        ((40, 40, 56, 56), Verdict.REJECTED),
        ((29, 10, 49, 30), Verdict.REJECTED),  # a twentieth is slump
    ],
)
def test_the_word_of_the_expert_follows_from_overlap(box: tuple[int, int, int, int], verdict: Verdict) -> None:
    from shapely.geometry import box as rectangle

    expert = PublishedMask(patches={"p1": patch("p1")})
    candidate = Candidate(id="1/p1/0", probability=0.9, area_m2=1.0)
    piece = Piece(place="p1", outline=rectangle(*box), probability=0.9)
    assert expert.judge(candidate, piece).verdict is verdict


def test_a_rejected_candidate_of_a_patch_not_found_teaches_its_neighbourhood_alone() -> None:
    from shapely.geometry import box as rectangle

    ground = ground_of(lookalikes=True)
    known = Known(
        positives=(Labelled(id="p0"),),
        negatives=(
            Labelled(id="1/p1/0", outline=rectangle(32, 20, 50, 25)),
            Labelled(id="1/e90/0", outline=rectangle(0, 0, 9, 9)),
        ),
    )
    whole, tile, part = taught(ground, known)
    assert whole.has_landform
    assert (tile.label == OTHER).all()
    assert not part.has_landform
    assert (part.label[20:25, 32:50] == OTHER).all()
    assert (part.label[SLUMP] == UNKNOWN).all(), "the expert would not call a slump 'other'"
    assert (part.label[40:, :] == UNKNOWN).all()


def test_what_was_rejected_in_a_patch_that_is_found_later_is_the_patchs_mask() -> None:
    from shapely.geometry import box as rectangle

    known = Known(positives=(Labelled(id="p1"),), negatives=(Labelled(id="1/p1/0", outline=rectangle(40, 40, 56, 56)),))
    assert [each.id for each in taught(ground_of(), known)] == ["p1"]


def test_a_start_of_every_patch_is_refused_in_words() -> None:
    with pytest.raises(RecipeError, match=r"start of 6 patches; expected 1 to 5"):
        PatchesSite(ground=ground_of(), start_count=6)


def test_a_loop_killed_in_training_ends_as_one_that_was_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(name: str) -> tuple[Sequence[RoundRow], Mapping[str, NDArray[np.float32]]]:
        site = PatchesSite(ground=ground_of(), start_count=4, learning=TINY)
        rows = run_rounds(site, LoopRules(max_rounds=2), tmp_path / name, silent).rows
        kept = read_checkpoint(tmp_path / name / "round-2" / WEIGHTS)
        return rows, {key: tensor.numpy() for key, tensor in kept.best.items()} if kept else {}

    rows, weights = loop("whole")
    step, taken = Fit._step, itertools.count()

    def killed(self: Fit, batch: Batch) -> float:
        if next(taken) == 3:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(Fit, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        loop("killed")
    assert (tmp_path / "killed" / "round-2" / CHECKPOINT).exists()
    again, others = loop("killed")
    assert again == rows
    assert weights.keys() == others.keys()
    assert all(np.array_equal(weights[name], others[name]) for name in weights)


def test_the_figure_is_written_for_rounds_and_not_for_none(tmp_path: Path) -> None:
    rows = rounds_of(Sighted(ground=ground_of(lookalikes=True), start_count=2), tmp_path / "loop")
    draw_rounds(rows, tmp_path / "found.png", start=2, of=6)
    draw_rounds([], tmp_path / "none.png", start=2, of=6)
    assert (tmp_path / "found.png").stat().st_size < 150_000
    assert not (tmp_path / "none.png").exists()


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "rts_cyber2a_maxar").exists(), reason="the development data are not here")
def test_a_real_patch_drawn_as_published_is_found_whole() -> None:
    ground = read_ground(DATA, limit=8)
    assert len(ground.patches) == len(ground.elsewhere) == len(ground.held_out) == 8
    site = Sighted(ground=ground, start_count=2)
    expert = PublishedMask(patches=ground.patches)
    for each in ground.patches.values():
        drawn = np.zeros((-(-each.label.shape[0] // 64) * 64, -(-each.label.shape[1] // 64) * 64), np.float32)
        drawn[: each.label.shape[0], : each.label.shape[1]] = each.label == 1
        pieces = list(pieces_of(each, lambda _, drawn=drawn: drawn, site._scaled))  # type: ignore[misc]
        assert pieces
        assert all(expert.met(piece) == pytest.approx((1.0, 1.0)) for piece in pieces)
