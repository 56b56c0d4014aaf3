"""`talik loop`: rounds of train, map, review and add, until nothing new is found."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from talik_stac.settings import Settings
from talik_stac.store import open_store

if TYPE_CHECKING:
    from talik_training.rounds.loop import Rounds
    from talik_training.rounds.store_site import StoreRequest, StoreSite

RUN = "run"


class _RecipeFirst(TyperGroup):
    """A group whose first word may be a recipe: `talik loop RECIPE.toml` is `talik loop run RECIPE.toml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Put `run` before what is no command."""
        return super().resolve_command(ctx, args if args[0] in self.commands else [RUN, *args])


app = typer.Typer(
    cls=_RecipeFirst,
    no_args_is_help=True,
    help="""Rounds of train, map, review and add, until nothing new is found.

    With a store: talik loop RECIPE.toml --landform L --collection C --season 2020 --reviewer NAME --out FOLDER.
    Simulated: talik loop simulate --seed 1 --out FOLDER (--small for a trial).
    """,
)
console = Console(stderr=True, highlight=False, soft_wrap=True)

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the rounds; the same command goes on there.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads.")]
MaxRounds = Annotated[int, typer.Option(min=1, help="Stop after so many.")]
Quiet = Annotated[int, typer.Option(min=1, help="Stop after so many rounds in a row that find nothing new.")]
Largest = Annotated[int | None, typer.Option(min=1, help="The most candidates to look at in a round; all if left out.")]


class Device(StrEnum):
    """Where to train."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@app.command(RUN)
def run(  # noqa: PLR0913, PLR0917 - one parameter an option
    recipe: Annotated[Path, typer.Argument(help="A training recipe in TOML.", metavar="RECIPE.toml")],
    landform: Annotated[str, typer.Option(help="What to map, as of talik map.")],
    collection: Annotated[str, typer.Option(help="Collection of the store's index.")],
    season: Annotated[str, typer.Option(help="A year (2014: the recipe's months) or START/END days.")],
    reviewer: Annotated[str, typer.Option(help="The expert's name; written the same way each time.")],
    out: Out,
    aoi: Annotated[
        str | None, typer.Option(help="File, west,south,east,north, or an area's name; the collection's extent.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Probability above which a pixel is a candidate.")] = None,
    min_area: Annotated[float | None, typer.Option(help="Smallest candidate, m2.")] = None,
    largest_inspection: Largest = None,
    max_rounds: MaxRounds = 20,
    quiet_rounds: Quiet = 1,
    threads: Threads = 2,
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = Device.AUTO,
    store: Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")] = None,
) -> None:
    """Do the next steps with a store: train, map, write a sheet, stop for the expert; with all decided, go on."""
    from talik_stac.areas import area_of_collection, resolve_area
    from talik_stac.landforms import recipe_for
    from talik_training.commands.train import _Shown
    from talik_training.rounds.loop import LoopRules, run_rounds
    from talik_training.rounds.report import write_report
    from talik_training.rounds.store_site import StoreRequest, StoreSite

    opened = open_store(store or Settings().store)
    changes = {"threshold": threshold, "min_area_m2": min_area}
    request = StoreRequest(
        training=recipe,
        store=opened,
        aoi=area_of_collection(opened, collection) if aoi is None else resolve_area(opened, aoi),
        recipe=recipe_for(landform).model_copy(update={k: v for k, v in changes.items() if v is not None}),
        collection=collection,
        season=season,
        reviewer=reviewer,
        out=out,
        threads=threads,
        device=device.value,
    )
    rules = LoopRules(max_rounds=max_rounds, stop_after_nothing_new=quiet_rounds, largest_inspection=largest_inspection)
    out.mkdir(parents=True, exist_ok=True)
    with _Shown(console) as shown:
        site = StoreSite(request, shown)
        done = run_rounds(site, rules, out, _say)
    _tell(done, write_report(done, out))
    _next(done, site, request)


@app.command()
def simulate(  # noqa: PLR0913, PLR0917 - one parameter an option
    out: Out,
    seed: Annotated[int, typer.Option(min=0, help="Of the corridor, of what is known first, of the expert.")] = 1,
    small: Annotated[bool, typer.Option("--small", help="839 km2 and not 4,194: a trial of a few minutes.")] = False,
    known: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of the slumps known at first; 300 of 875 as in the paper.")
    ] = 300 / 875,
    max_rounds: MaxRounds = 12,
    quiet_rounds: Quiet = 2,
    largest_inspection: Largest = None,
    threads: Threads = 2,
) -> None:
    """Prove the loop on a simulated corridor with a simulated expert, against the known truth."""
    from talik_training.rounds.corridor_model import LearningRules
    from talik_training.rounds.corridor_site import CorridorRules, simulated_loop
    from talik_training.rounds.loop import LoopRules
    from talik_training.rounds.table import as_text

    rules = LoopRules(max_rounds=max_rounds, stop_after_nothing_new=quiet_rounds, largest_inspection=largest_inspection)
    whole = CorridorRules(seed=seed, known_share=known, learning=LearningRules(threads=threads))
    described = whole.small() if small else whole
    done, paths, notes = simulated_loop(described, rules, out, _say, after=lambda row: _say(as_text([row])[1]))
    _tell(done, paths)
    for note in notes:
        typer.echo(note)


@app.command()
def patches(
    out: Out,
    data: Annotated[Path, typer.Option(envvar="TALIK_DATA", help="Folder that holds rts_cyber2a_maxar; TALIK_DATA.")],
    start: Annotated[int, typer.Option(min=1, help="Patches that are known before the first round.")] = 100,
    limit: Annotated[int | None, typer.Option(min=1, help="Read at most so many patches: for trials.")] = None,
    max_rounds: MaxRounds = 8,
    threads: Threads = 2,
) -> None:
    """Prove the loop on the real patches of thaw slumps, from a few of them, with the published masks as expert."""
    from talik_training.rounds.loop import LoopRules
    from talik_training.rounds.patches_site import PatchesRequest
    from talik_training.rounds.patches_site import run as run_patches

    request = PatchesRequest(
        data=data, out=out, start=start, limit=limit, threads=threads, rules=LoopRules(max_rounds=max_rounds)
    )
    done = run_patches(request, _say)
    _tell(done, [out / "rounds.json"])


def _say(text: str) -> None:
    console.print(text, markup=False)


def _tell(done: Rounds, paths: list[Path]) -> None:
    """The table, and where everything lies."""
    from talik_training.rounds.table import as_text

    for line in as_text(done.rows) if done.rows else []:
        typer.echo(line)
    if done.ended:
        typer.echo(f"ended: {done.ended}")
    for path in paths:
        typer.echo(str(path))


def _next(done: Rounds, site: StoreSite, request: StoreRequest) -> None:
    """What somebody has to do now."""
    if done.waiting:
        typer.echo(done.waiting)
        return
    edition = site.last_edition(len(done.rows))
    typer.echo(f"publish what was confirmed: talik review publish {edition} --reviewer {request.reviewer}")
