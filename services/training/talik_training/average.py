"""One network out of two that were taught on from the same start: the mean of their weights.

Wortsman et al. 2022, "Model soups", arXiv:2203.05482. It costs nothing at inference. `python -m talik_training.average
RECIPE.toml A B --out FOLDER` puts the mean of the best weights of the runs in A and B into FOLDER as a finished run of
the recipe; `talik train RECIPE.toml --out FOLDER` then calibrates, measures, exports and writes the card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from talik_stac.errors import ModelError, TalikError
from talik_training.loop_state import LoopState, read_checkpoint, write_checkpoint
from talik_training.recipe import load_recipe
from talik_training.samples import load_samples
from talik_training.train import CHECKPOINT, key_of


def averaged(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor; whole numbers (counts of batches) are the last one's. Raises ModelError."""
    first, last = states[0], states[-1]
    for other in states[1:]:
        if {name: t.shape for name, t in other.items()} != {name: t.shape for name, t in first.items()}:
            raise ModelError("these weights are of different networks; average runs of one [network] table")
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if tensor.is_floating_point() else tensor
        for name, tensor in last.items()
    }


def average_runs(recipe: Path, runs: Sequence[Path], out: Path) -> None:
    """Write the mean of the runs' best weights as a finished run of the recipe. Raises TalikError."""
    states = []
    for run in runs:
        kept = read_checkpoint(run / CHECKPOINT)
        if kept is None or not kept.best:
            raise ModelError(f"{run / CHECKPOINT}: no weights there; give folders that `talik train` wrote")
        states.append(kept)
    rules = load_recipe(recipe)
    samples = [sample.with_bands(rules.model.bands) for sample in load_samples(recipe)]
    best = averaged([state.best for state in states])
    out.mkdir(parents=True, exist_ok=True)
    last = states[-1]
    made = LoopState(
        key=key_of(rules, samples),
        epoch=last.epoch,
        best_epoch=last.best_epoch,
        best_iou=last.best_iou,
        seconds=sum(state.seconds for state in states),
        history=last.history,
        network=best,
        best=best,
        optimiser=last.optimiser,
        scaler=last.scaler,
        finished=True,
    )
    write_checkpoint(out / CHECKPOINT, made)


def main(arguments: Sequence[str] | None = None) -> int:
    """Average; 1 with one line where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m talik_training.average", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        average_runs(given.recipe, given.runs, given.out)
    except TalikError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{given.out / CHECKPOINT}; now: talik train {given.recipe} --out {given.out}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
