"""Fitting: the loop over epochs, which a kill can stop anywhere and which then goes on as if it had not."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from talik_training.batches import Batch, Batches
from talik_training.loop_state import LoopState, copied, write_checkpoint, write_log
from talik_training.losses import loss_of
from talik_training.measured import Probability, measure
from talik_training.networks import Network
from talik_training.recipe import TrainingRecipe, TrainingRules
from talik_training.samples import Sample

WARM_UP = 0.1
"""Share of the steps in which a one-cycle rate rises (Smith 2018, arXiv:1708.07120, with cosine descent)."""


class Watcher(Protocol):
    """Who is told how training goes."""

    def step(self, done: int, total: int, loss: float) -> None:
        """After each step, over all epochs."""

    def epoch(self, row: dict[str, float]) -> None:
        """After each epoch."""


class Silent:
    """A watcher of whom nobody hears."""

    def step(self, done: int, total: int, loss: float) -> None:
        """Nothing."""

    def epoch(self, row: dict[str, float]) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop early, whatever the recipe says."""

    seconds: float = math.inf
    """Of this session."""
    steps: int | None = None
    """Of this session."""


@dataclass(kw_only=True)
class Fit:
    """One run of training; its weights are in `network`, where it stands in `state`."""

    network: Network
    recipe: TrainingRecipe
    batches: Batches
    validation: Sequence[Sample]
    state: LoopState
    checkpoint: Path
    device: torch.device
    watcher: Watcher
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Put the network on the device and everything where the state says it was."""
        # Channels last: a step of the U-Net takes 1.8 CPU seconds and not 2.9 (depthwise convolutions).
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        rules = self.recipe.training
        self.optimiser = _optimiser(self.network, rules, frozen=self._encoder_share)
        half = torch.float16 if self.device.type == "cuda" and not torch.cuda.is_bf16_supported() else torch.bfloat16
        self.half = half
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.device.type == "cuda" and half == torch.float16
        )
        if self.state.network:
            self.network.load_state_dict(self.state.network)
            self.optimiser.load_state_dict(self.state.optimiser)
            self.scaler.load_state_dict(self.state.scaler)

    def run(self) -> bool:
        """Train until the recipe or the limits end it; True where the recipe is done."""
        self._started = self._saved = time.monotonic()
        self._before, self._taken = self.state.seconds, 0
        try:
            while not self._done():
                if not self._epoch():
                    return False
        finally:
            self._save()
        self.state.finished = True
        self._save()
        return True

    def _done(self) -> bool:
        rules, state = self.recipe.training, self.state
        return state.finished or state.epoch >= rules.epochs or state.epoch - state.best_epoch > rules.patience

    def _epoch(self) -> bool:
        """One epoch from where it stands; False where the limits ended it."""
        state, steps = self.state, self.batches.steps
        self.network.train()
        for batch in self.batches.of_epoch(state.epoch, start=state.step):
            if self._out_of_limits():
                return False
            loss = self._step(batch)
            state.loss_sum, state.step, self._taken = state.loss_sum + loss, state.step + 1, self._taken + 1
            self.watcher.step(state.epoch * steps + state.step, self.recipe.training.epochs * steps, loss)
            if time.monotonic() - self._saved > self.recipe.training.checkpoint_seconds:
                self._save()
        self._judge(state.loss_sum / steps)
        self._save()
        return True

    def _step(self, batch: Batch) -> float:
        rules, at = self.recipe.training, self.state.epoch * self.batches.steps + self.state.step
        # Dropout draws from this; seeded by the step, it needs no state in the checkpoint.
        torch.manual_seed(rules.seed * 1_000_003 + at)
        rate = rules.learning_rate * rate_share(rules, at, rules.epochs * self.batches.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.device.type == "cuda"):
            seen = batch.scaled.to(self.device, non_blocking=True, memory_format=torch.channels_last)
            logit = self.network(seen)
        loss = loss_of(logit, batch.label.to(self.device), self.recipe.loss)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), rules.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return float(loss.detach())

    def _judge(self, loss: float) -> None:
        """Validate, keep the best weights, write the epoch's row, go on to the next."""
        state = self.state
        measured = measure(self.validation, probability_of(self.network, self.device), self.batches.scaled)
        threshold = measured.best_threshold()
        scores = measured.scores(threshold)
        if scores.iou > state.best_iou:
            state.best_iou, state.best_epoch, state.best = scores.iou, state.epoch, copied(self.network.state_dict())
        row = {"epoch": float(state.epoch), "loss": loss, "threshold": threshold, **vars(scores)}
        row["seconds"] = self._before + time.monotonic() - self._started
        state.history.append(row)
        state.epoch, state.step, state.loss_sum = state.epoch + 1, 0, 0.0
        write_log(state.history, self.checkpoint.with_name("log.csv"))
        self.watcher.epoch(row)

    def _save(self) -> None:
        state = self.state
        state.network, state.optimiser = self.network.state_dict(), self.optimiser.state_dict()
        state.scaler = self.scaler.state_dict()
        state.seconds = self._before + time.monotonic() - self._started
        write_checkpoint(self.checkpoint, state)
        self._saved = time.monotonic()

    def _out_of_limits(self) -> bool:
        spent = time.monotonic() - self._started
        return spent > self.limits.seconds or (self.limits.steps is not None and self._taken >= self.limits.steps)

    @property
    def _encoder_share(self) -> float:
        return 1.0 if self.recipe.network.weights == "random" else self.recipe.training.encoder_rate


def probability_of(network: nn.Module, device: torch.device) -> Probability:
    """The network as a function of one window; it is put into evaluation mode at each call."""

    def answer(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        network.eval()
        with torch.inference_mode():
            logit = network(torch.from_numpy(scaled)[None].to(device))
        found: NDArray[np.float32] = torch.sigmoid(logit)[0, 0].float().cpu().numpy()
        return found

    return answer


def rate_share(rules: TrainingRules, step: int, total: int) -> float:
    """The learning rate of a step as a share of the largest one: rises over a tenth, then falls as a cosine to 1 %."""
    rise = round(WARM_UP * total) if rules.schedule == "one-cycle" else 0
    if step < rise:
        return 0.04 + 0.96 * step / rise
    along = (step - rise) / max(total - rise, 1)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * along)) / 2


def _optimiser(network: Network, rules: TrainingRules, *, frozen: float) -> torch.optim.Optimizer:
    """AdamW; norms and biases do not decay; the encoder learns at its share of the rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        share = frozen if name.startswith("core.encoder.") else 1.0
        decay = rules.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((share, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": held, "share": share, "weight_decay": decay} for (share, decay), held in groups.items()
    ]
    return torch.optim.AdamW(described, lr=rules.learning_rate)
