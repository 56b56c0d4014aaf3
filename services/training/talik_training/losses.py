"""Losses for landforms that are rare and small; unknown pixels count nothing, exactly."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from talik_training.samples import UNKNOWN


class LossRules(BaseModel):
    """A sum of a pixel loss and a region loss.

    Pixel: focal cross entropy (Lin et al. 2017, arXiv:1708.02002). Region: Tversky (Salehi et al. 2017,
    arXiv:1706.05721) with `missed` the weight of false negatives and 1 - missed that of false positives; 0.5 is Dice.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["focal-tversky", "cross-entropy"] = "focal-tversky"
    gamma: float = Field(default=2.0, ge=0)
    missed: float = Field(default=0.5, gt=0, lt=1)
    region_weight: float = Field(default=1.0, ge=0)
    positive_weight: float = Field(default=1.0, gt=0)
    """Weight of landform pixels in the pixel loss."""


def loss_of(logits: Tensor, label: Tensor, rules: LossRules) -> Tensor:
    """Scalar loss of float (sample, 1, y, x) logits and uint8 (sample, y, x) labels; 255 is left out.

    Unknown pixels are taken out before any arithmetic, so that not even NaN there reaches a gradient. 0 where all is
    unknown.
    """
    known = label != UNKNOWN
    seen = logits.float().squeeze(1)[known]  # (known pixel,)
    truth = label[known].float()
    if truth.numel() == 0:
        return logits.float().sum() * 0
    gamma = rules.gamma if rules.kind == "focal-tversky" else 0.0
    total = _focal(seen, truth, gamma=gamma, positive_weight=rules.positive_weight)
    if rules.kind == "focal-tversky" and rules.region_weight > 0:
        total = total + rules.region_weight * _tversky(seen, truth, missed=rules.missed)
    return total


def _focal(logits: Tensor, truth: Tensor, *, gamma: float, positive_weight: float) -> Tensor:
    """Mean of (1 - p)^gamma times cross entropy, p the probability of the truth."""
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = torch.where(truth > 0.5, positive_weight, 1.0)
    if gamma > 0:
        weight = weight * (1 - torch.exp(-entropy)) ** gamma
    return (weight * entropy).mean()


def _tversky(logits: Tensor, truth: Tensor, *, missed: float) -> Tensor:
    """1 - Tversky index over the whole batch: single chips without landform would make it jump."""
    probability = torch.sigmoid(logits)
    hit = (probability * truth).sum()
    wrong = (probability * (1 - truth)).sum()
    lost = ((1 - probability) * truth).sum()
    return 1 - (hit + 1) / (hit + (1 - missed) * wrong + missed * lost + 1)
