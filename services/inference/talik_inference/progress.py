"""A progress bar in the terms of mapping: blocks, km2, million pixels a second, time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from talik_inference.blocks import BlockDone
from talik_inference.grid import pixel_metres
from talik_inference.plan import Plan


class BlockProgress:
    """Shown on a terminal only; elsewhere silent."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("mapping"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[km2]:,.0f} km2  {task.fields[rate]:.1f} Mpx/s  left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("blocks", total=None, km2=0.0, rate=0.0)
        self._pixel_m2: dict[str, float] = {}
        self._km2 = 0.0
        self._pixels = 0
        self._started = time.perf_counter()

    def __enter__(self) -> BlockProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, plan: Plan) -> None:
        """Take up a plan: its blocks are what there is to do."""
        self._pixel_m2 = {b.id: pixel_metres(plan.zones[b.zone].lattice) ** 2 for b in plan.blocks}
        self._km2, self._pixels, self._started = 0.0, 0, time.perf_counter()
        self._bar.update(self._task, total=len(plan.blocks), completed=0)

    def advance(self, done: BlockDone) -> None:
        """Count a finished block."""
        self._pixels += done.inside_px
        self._km2 += done.inside_px * self._pixel_m2.get(done.id, 0.0) / 1e6
        rate = self._pixels / 1e6 / max(1e-9, time.perf_counter() - self._started)
        self._bar.update(self._task, advance=1, km2=self._km2, rate=rate)
