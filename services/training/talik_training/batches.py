"""Batches: which crops a step sees, decided by (seed, epoch) alone, prepared ahead on threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talik_training.augment import augmented
from talik_training.measured import Scaled
from talik_training.recipe import TrainingRecipe
from talik_training.samples import Sample

AHEAD = 4
"""Batches prepared while the network computes."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step sees."""

    scaled: Tensor
    """float32 (sample, band, y, x)."""
    label: Tensor
    """uint8 (sample, y, x)."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """All steps of all epochs."""

    samples: Sequence[Sample]
    recipe: TrainingRecipe
    scaled: Scaled
    threads: int = 1

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        rules = self.recipe.training
        return -(-max(round(len(self._counted) * rules.repeats), 1) // rules.batch)

    @cached_property
    def _counted(self) -> NDArray[np.intp]:
        """The number of every sample, as many times as it counts."""
        return np.repeat(np.arange(len(self.samples)), [sample.weight for sample in self.samples])

    def of_epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""
        order = self._order(epoch)
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[list[Future[tuple[NDArray[np.float32], NDArray[np.uint8]]]]] = deque()
            for step in range(start, self.steps):
                size = self.recipe.training.batch
                places = range(step * size, (step + 1) * size)
                waiting.append([pool.submit(self._crop, epoch, place, int(order[place])) for place in places])
                if len(waiting) > AHEAD:
                    yield _stacked([crop.result() for crop in waiting.popleft()])
            while waiting:
                yield _stacked([crop.result() for crop in waiting.popleft()])

    def _order(self, epoch: int) -> NDArray[np.intp]:
        """The sample of every crop of an epoch; a whole number of batches."""
        chance = np.random.default_rng(np.random.SeedSequence((self.recipe.training.seed, epoch)))
        wanted = self.steps * self.recipe.training.batch
        share = self.recipe.training.landform_share
        if share is None:
            rounds = -(-wanted // len(self._counted))
            return np.concatenate([chance.permutation(self._counted) for _ in range(rounds)])[:wanted]
        has = np.array([sample.has_landform for sample in self.samples])
        pools = [self._counted[kind[self._counted]] for kind in (has, ~has)]
        if not all(pool.size for pool in pools):
            return chance.choice(self._counted, wanted)
        landform = chance.random(wanted) < share
        return np.where(landform, chance.choice(pools[0], wanted), chance.choice(pools[1], wanted))

    def _crop(self, epoch: int, place: int, number: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        rules = self.recipe.training
        key = (rules.seed, epoch, place)
        chip = augmented(self.samples[number], self.recipe.augment, size_px=rules.window_px, key=key)
        return self.scaled(chip.image), chip.label


def _stacked(crops: Sequence[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> Batch:
    images, labels = zip(*crops, strict=True)
    return Batch(scaled=torch.from_numpy(np.stack(images)), label=torch.from_numpy(np.stack(labels)))
