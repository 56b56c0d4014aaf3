"""Batches: decided by seed and epoch alone, wherever an epoch is taken up."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from talik_training.batches import Batches
from talik_training.measured import Scaled
from talik_training.recipe import load_recipe
from talik_training.samples import Sample

SCALED = Scaled(mean=np.full((2, 1, 1), 0.1, np.float32), std=np.full((2, 1, 1), 0.1, np.float32))


def batches(samples: Sequence[Sample], recipe: Path, threads: int = 1) -> Batches:
    return Batches(samples=samples, recipe=load_recipe(recipe), scaled=SCALED, threads=threads)


def test_an_epoch_taken_up_in_the_middle_gives_the_same_batches(
    write_recipe: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    samples, recipe = [make_sample(i) for i in range(11)], write_recipe()
    whole = list(batches(samples, recipe).of_epoch(2))
    rest = list(batches(samples, recipe, threads=3).of_epoch(2, start=2))
    assert len(whole) == batches(samples, recipe).steps == 6
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.scaled, other.scaled)
        assert torch.equal(one.label, other.label)
    other_epoch = next(batches(samples, recipe).of_epoch(3))
    assert not torch.equal(whole[0].scaled, other_epoch.scaled)


def test_every_sample_is_seen_before_one_is_seen_again(
    write_recipe: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    order = batches([make_sample(i) for i in range(12)], write_recipe())._order(0)
    assert sorted(order[:12]) == sorted(order[12:]) == list(range(12))


def test_the_share_of_landform_is_kept(write_recipe: Callable[..., Path], make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(i) for i in range(4)]
    samples += [make_sample(9, label=np.zeros((64, 64), np.uint8)) for _ in range(96)]
    order = batches(samples, write_recipe(("repeats = 2", "repeats = 20\nlandform_share = 0.5")))._order(0)
    assert 0.45 < (order < 4).mean() < 0.55


def test_batches_are_finite_and_no_data_is_unknown(
    write_recipe: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    samples = [make_sample(i) for i in range(4)]
    for sample in samples:
        sample.image[:, 30:] = np.nan
    for batch in batches(samples, write_recipe()).of_epoch(0):
        assert batch.scaled.isfinite().all()
        assert (batch.label == 255).any()
