"""What several tests of the rounds share."""

from __future__ import annotations

import pytest

from talik_training.networks import NetworkRules
from talik_training.rounds.corridor_model import LearningRules


@pytest.fixture(scope="session")
def two_steps() -> LearningRules:
    """A network that learns next to nothing in a second."""
    return LearningRules(
        first_steps=2,
        steps=2,
        epochs=1,
        batch=2,
        chip_px=64,
        window_px=32,
        threads=1,
        network=NetworkRules(weights="random", decoder_channels=(8, 8, 8, 8, 8)),
    )
