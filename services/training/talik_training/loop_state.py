"""Checkpoints: all that training needs to go on as if it had never stopped."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talik_stac.errors import ModelError


@dataclass(kw_only=True)
class LoopState:
    """Where a run stands. The one mutable object of training; chance needs no state (it hangs on epoch and step)."""

    key: str
    """Digest of recipe and samples; a checkpoint of another run is refused."""
    network: dict[str, Tensor] = field(default_factory=dict)
    optimiser: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of float16 gradients; empty elsewhere."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the best epoch; empty before the first."""
    best_iou: float = -1.0
    best_epoch: int = -1
    epoch: int = 0
    step: int = 0
    """The next step of the epoch."""
    loss_sum: float = 0.0
    """Over the steps of this epoch so far."""
    seconds: float = 0.0
    """Spent in all sessions."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One row an epoch."""
    finished: bool = False


def write_checkpoint(path: Path, state: LoopState) -> None:
    """Write beside, flush, rename: a kill leaves the last whole checkpoint."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("wb") as file:
        torch.save(vars(state), file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def read_checkpoint(path: Path, *, key: str | None = None) -> LoopState | None:
    """Read a checkpoint onto the CPU; None where there is none. Raises ModelError for one of another run."""
    if not path.exists():
        return None
    try:
        state = LoopState(**torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, TypeError, EOFError, ValueError, OSError) as error:
        raise ModelError(f"{path} is not a checkpoint of this version ({error}); remove it to start anew") from error
    if key is not None and state.key != key:
        raise ModelError(
            f"{path} is of another recipe or other samples ({state.key[:8]}, here {key[:8]}); "
            "give another --out, or --fresh to start anew"
        )
    return state


def write_log(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write one CSV row an epoch."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A snapshot on the CPU that further training does not change."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
