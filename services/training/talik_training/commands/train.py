"""`talik train`: from a recipe to a model with its card."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from talik_training.train import Trained

app = typer.Typer(add_completion=False)


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="A training recipe in TOML.", metavar="RECIPE.toml")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model, its card, curves and checkpoint.")],
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after this time and export the best so far; the command resumes.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = Device.AUTO,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew where the folder holds a checkpoint.")] = False,
) -> None:
    """Train a model by a recipe, on places that are split by place. The same command resumes after a kill."""
    from talik_training.fitting import Limits
    from talik_training.train import TrainRequest
    from talik_training.train import train as run

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    request = TrainRequest(
        recipe=recipe,
        out=out,
        threads=threads,
        device=device.value,
        fresh=fresh,
        limits=Limits() if max_minutes is None else Limits(seconds=60 * max_minutes),
        command=f"talik {shlex.join(sys.argv[1:])}" if sys.argv[1:2] == ["train"] else f"talik train {recipe}",
    )
    with _Shown(console) as shown:
        trained = run(request, shown, lambda text: console.print(text, markup=False))
    _tell(Console(highlight=False, soft_wrap=True), trained)


class _Shown:
    """A progress bar on a terminal, a line an epoch elsewhere and above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def step(self, done: int, total: int, loss: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total, description=f"loss {loss:.3f}")

    def epoch(self, row: dict[str, float]) -> None:
        """Say how the epoch went."""
        self._console.print(
            f"epoch {row['epoch'] + 1:.0f}: loss {row['loss']:.4f}, validation IoU {row['iou']:.3f}, "
            f"F1 {row['f1']:.3f} at {row['threshold']:.2f}, {row['seconds']:.0f} s"
        )


def _tell(out: Console, trained: Trained) -> None:
    for score in trained.card.scores:
        out.print(f"{score.metric:<16} {score!s:<24}  {score.data}", markup=False)
    if trained.card.calibration and trained.card.calibration.expected_calibration_error is not None:
        out.print(f"expected calibration error {trained.card.calibration.expected_calibration_error:.4f}", markup=False)
    out.print(f"model {trained.card.reference} in {trained.folder}; map with --model {trained.folder}", markup=False)
    if not trained.finished:
        out.print("the time was over before the recipe was done; the same command goes on")
