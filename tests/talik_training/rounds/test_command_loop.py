"""`talik loop` as it is typed: a recipe first, or the name of a proof."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talik_training.commands import loop as command
from talik_training.rounds import corridor_site
from talik_training.rounds.corridor_model import LearningRules
from talik_training.rounds.corridor_site import CorridorRules


def shown(*words: str) -> str:
    done = CliRunner().invoke(command.app, list(words), env={"COLUMNS": "200"})
    return re.sub(r"\x1b\[[0-9;]*m", "", done.output)


def test_a_recipe_as_the_first_word_is_the_loop_with_a_store() -> None:
    assert "--reviewer" in shown("recipe.toml", "--help")
    assert shown("recipe.toml", "--help") == shown("run", "--help")


@pytest.mark.parametrize("name", ["simulate", "patches", "run"])
def test_every_part_has_help(name: str) -> None:
    assert "--out" in shown(name, "--help")
    assert name in shown("--help")


def test_the_help_of_the_group_names_what_is_needed() -> None:
    for option in ("--landform", "--collection", "--season", "--reviewer", "--out", "--seed", "--small"):
        assert option in shown("--help")


def test_a_simulated_loop_prints_its_table_and_the_experts_errors(
    monkeypatch: pytest.MonkeyPatch, two_steps: LearningRules, tmp_path: Path
) -> None:
    def tiny(seed: int, known_share: float, learning: LearningRules) -> CorridorRules:
        assert learning.threads == 2
        return CorridorRules(seed=seed, known_share=known_share, learning=two_steps)

    monkeypatch.setattr(corridor_site, "CorridorRules", tiny)
    monkeypatch.setattr(corridor_site, "SMALL_TILES", (1, 1))
    said = shown(*("simulate", "--seed", "4", "--small", "--max-rounds", "1", "--out", str(tmp_path)))
    assert "candidates inspected" in said
    assert "25% (smallest) to 2% (largest)" in said
    assert (tmp_path / "rounds.png").exists()
    assert json.loads((tmp_path / "rounds.json").read_text())["described"]["simulated"] is True
