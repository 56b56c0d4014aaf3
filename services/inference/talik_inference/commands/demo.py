"""`talik demo`: the main job from a bare checkout, on a simulated landscape whose truth is known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from talik_inference.demo import Demo, run_demo
from talik_stac.landforms import recipe_for

app = typer.Typer(help="Map a simulated permafrost lowland over three years and score it against its truth.")
console = Console(stderr=True)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to put everything; an earlier demo there is replaced.")] = Path(
        "talik-demo"
    ),
    seed: Annotated[int, typer.Option(help="Of the simulated landscape.")] = 1,
    size: Annotated[int, typer.Option(min=300, max=4000, help="Side of a simulated scene in pixels.")] = 1000,
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; all cores if left out.")] = None,
) -> None:
    """Map a simulated permafrost lowland over three years and score it against its truth."""
    with console.status("starting") as status:

        def say(what: str) -> None:
            status.update(what)
            if not console.is_terminal:
                console.print(what)

        made = run_demo(folder, seed=seed, size_px=size, workers=workers or os.cpu_count() or 1, say=say)
    _print(made, folder)


def _print(made: Demo, folder: Path) -> None:
    out = Console(width=110, soft_wrap=True)
    model = recipe_for("water").model
    table = Table(title=f"Water in a SIMULATED lowland, mapped by {model}, against the simulation's truth")
    for column in ("year", "objects", "area km2", "object F1", "pixel F1", "pixel IoU", "seen", "s", "peak MB"):
        table.add_column(column, justify="right")
    for score in made.years:
        table.add_row(
            str(score.year),
            str(score.result.edition.count),
            f"{score.result.edition.area_m2 / 1e6:.3f}",
            f"{score.objects.f1:.3f}",
            f"{score.pixels.f1:.3f}",
            f"{score.pixels.iou:.3f}",
            f"{score.observed:.0%}",
            f"{score.seconds:.1f}",
            f"{score.peak_mb:.0f}",
        )
    out.print(table)
    first, last = made.years[0].result.edition, made.years[-1].result.edition
    inventory = made.store.url(f"{last.prefix}/inventory.parquet")
    out.print(f"\npicture        {made.picture}", highlight=False)
    out.print(f"store          {made.store.root}", highlight=False)
    out.print(f"last edition   {inventory}", highlight=False)
    out.print("\nLook at it:", highlight=False)
    out.print(f"  QGIS or ogrinfo   {made.store.url(f'{last.prefix}/inventory.fgb')}", highlight=False)
    out.print(f"  Python            geopandas.read_parquet('{inventory}')", highlight=False)
    out.print(
        f"  what changed      talik editions diff {first.id} {last.id} --store {folder / 'store'}", highlight=False
    )
