"""Losses: unknown pixels have no effect at all, and the parts are what their papers say."""

import math

import pytest
import torch
from torch.nn import functional

from talik_training.losses import LossRules, loss_of

RULES = [LossRules(), LossRules(kind="cross-entropy"), LossRules(missed=0.8, positive_weight=4)]


@pytest.mark.parametrize("rules", RULES)
def test_an_unknown_pixel_has_gradient_zero_whatever_its_logit(rules: LossRules) -> None:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, 2, (2, 8, 8), generator=generator, dtype=torch.uint8)
    label[0, :3] = 255
    logits = torch.randn(2, 1, 8, 8, generator=generator)
    losses = []
    for wild in (0.0, 1e4, math.nan):
        here = logits.clone()
        here[0, 0, :3] = wild
        here.requires_grad_()
        loss = loss_of(here, label, rules)
        loss.backward()
        assert torch.equal(here.grad[0, 0, :3], torch.zeros(3, 8))
        assert here.grad[1].abs().min() > 0
        losses.append(loss.item())
    assert losses[0] == losses[1] == losses[2]


def test_all_unknown_is_a_loss_of_zero_that_can_be_differentiated() -> None:
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    loss = loss_of(logits, torch.full((1, 4, 4), 255, dtype=torch.uint8), LossRules())
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_cross_entropy_is_that_of_torch() -> None:
    logits = torch.randn(2, 1, 5, 5)
    label = torch.randint(0, 2, (2, 5, 5), dtype=torch.uint8)
    expected = functional.binary_cross_entropy_with_logits(logits[:, 0], label.float())
    torch.testing.assert_close(loss_of(logits, label, LossRules(kind="cross-entropy")), expected)


def test_the_region_loss_of_equal_weights_is_dice_and_a_perfect_answer_costs_nothing() -> None:
    label = torch.zeros(1, 10, 10, dtype=torch.uint8)
    label[0, :4] = 1
    sure = torch.where(label > 0, 40.0, -40.0)[:, None]
    assert loss_of(sure, label, LossRules()).item() == pytest.approx(0, abs=1e-6)
    half = torch.where(label > 0, 40.0, -40.0)[:, None].clone()
    half[0, 0, :2] = -40  # half of the landform is missed
    dice = 1 - (2 * 20 + 2) / (20 + 40 + 2)
    whole = loss_of(half, label, LossRules()).item()
    pixel = loss_of(half, label, LossRules(region_weight=0)).item()
    assert whole - pixel == pytest.approx(dice, abs=1e-5)


def test_missing_costs_more_than_false_alarm_where_the_rules_say_so() -> None:
    label = torch.zeros(1, 10, 10, dtype=torch.uint8)
    label[0, 4:6] = 1
    missed, wrong = (torch.where(label > 0, 9.0, -9.0)[:, None].clone() for _ in range(2))
    missed[0, 0, 4] = -9
    wrong[0, 0, 6] = 9
    rules = LossRules(missed=0.8)
    assert loss_of(missed, label, rules) > loss_of(wrong, label, rules)
