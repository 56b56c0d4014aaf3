"""`talik map`: name an area and a year, get an inventory edition."""

from __future__ import annotations

import os
import resource
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from talik_inference.estimate import Estimate, estimate
from talik_inference.executors import executor
from talik_inference.pipeline import BLOCK_PX, MapRequest, MapResult, Prepared, map_landform, prepare
from talik_inference.progress import BlockProgress
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_stac.aoi import AreaOfInterest
from talik_stac.areas import area_of_collection, resolve_area
from talik_stac.errors import RecipeError
from talik_stac.landforms import RECIPES, Recipe, recipe_for
from talik_stac.settings import Settings
from talik_stac.store import Store, open_store

app = typer.Typer(help="Map a landform over an area and a season; publish the inventory edition.")
console = Console(stderr=True)


@app.command()
def map_(  # noqa: PLR0913, PLR0917 - one parameter an option
    landform: Annotated[str, typer.Option(help=f"What to map: {', '.join(RECIPES)}.")],
    season: Annotated[str, typer.Option(help="A year (2014: the recipe's months) or START/END days.")],
    collection: Annotated[str, typer.Option(help="Collection of the store's index, or of the API at --catalog.")],
    aoi: Annotated[
        str | None,
        typer.Option(help="File, west,south,east,north, or the name of an area; the collection's extent if left out."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the area, part of the edition's id.")] = None,
    catalog: Annotated[str | None, typer.Option(help="URL of a STAC API; the store's index if left out.")] = None,
    model: Annotated[str | None, typer.Option(help="name@version or a folder; the recipe's if left out.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Probability above which a pixel is landform.")] = None,
    min_area: Annotated[float | None, typer.Option(help="Smallest object kept, m2.")] = None,
    composite: Annotated[str | None, typer.Option(help="best or median.")] = None,
    max_cloud: Annotated[float | None, typer.Option(help="Cloudiest scene read, percent.")] = None,
    resolution: Annotated[float | None, typer.Option(help="Pixel size in m; the imagery's own if left out.")] = None,
    despeckle: Annotated[
        str | None,
        typer.Option(help="Filter the speckle of radar: ppb, or ppb,looks=4.4,search_px=10,patch_px=3,rounds=1."),
    ] = None,
    no_despeckle: Annotated[
        bool, typer.Option("--no-despeckle", help="No speckle filter, whatever the recipe says.")
    ] = False,
    run_on: Annotated[
        str, typer.Option("--executor", help="threads, processes, dask or dask=tcp://host:port.")
    ] = "threads",
    workers: Annotated[int | None, typer.Option(min=1, help="Threads or processes; all cores if left out.")] = None,
    block: Annotated[int, typer.Option(min=1, help="Side of a block in pixels; changes memory, never results.")] = (
        BLOCK_PX
    ),
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without scenes that cannot be read.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    store: Annotated[str | None, typer.Option(help="Folder or s3://bucket/prefix; TALIK_STORE.")] = None,
) -> None:
    """Map a landform over an area and a season; publish the inventory edition."""
    settings = Settings()
    opened = open_store(store or settings.store)
    recipe = _recipe(
        recipe_for(landform),
        model=model,
        threshold=threshold,
        min_area_m2=min_area,
        composite=composite,
        max_cloud_percent=max_cloud,
        resolution_m=resolution,
        despeckle=None if despeckle is None else _step(despeckle),
    )
    if no_despeckle:
        recipe = _without_despeckling(recipe, despeckle)
    request = MapRequest(
        store_root=opened.root,
        aoi=_area(opened, settings, aoi, name, collection, catalog),
        recipe=recipe,
        season=parse_season(season, recipe),
        imagery=Imagery(collection=collection, catalog=catalog),
        skip_bad=skip_bad,
        executor=executor(run_on, workers=workers or settings.workers or os.cpu_count() or 1),
        block_px=block,
    )
    if dry_run:
        with console.status("searching and planning"):
            prepared = prepare(request)
        _print_plan(prepared, estimate(prepared))
        return
    started = time.perf_counter()
    with BlockProgress(console) as progress:
        result = map_landform(request, planned=progress.start, progress=progress.advance)
    _print_summary(opened, result, time.perf_counter() - started)


def _recipe(recipe: Recipe, **changes: object) -> Recipe:
    """The recipe with the options that were given; validated as a recipe file would be."""
    from pydantic import ValidationError

    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return recipe.changed(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from error


def _step(text: str) -> dict[str, str]:
    """`ppb,looks=4` -> the fields of a Despeckle, as text. Raises RecipeError."""
    method, *pairs = (part.strip() for part in text.split(","))
    fields = {"method": method}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise RecipeError(f"--despeckle '{text}': '{pair}' is not NAME=VALUE; write ppb,looks=4.4")
        fields[name] = value
    return fields


def _without_despeckling(recipe: Recipe, asked: str | None) -> Recipe:
    if asked is not None:
        raise RecipeError(f"--despeckle {asked} and --no-despeckle contradict each other; give one of them")
    return recipe.model_copy(update={"despeckle": None})


def _area(
    store: Store, settings: Settings, aoi: str | None, name: str | None, collection: str, catalog: str | None
) -> AreaOfInterest:
    area_km2, vertices = settings.max_area_km2, settings.max_vertices
    if aoi is not None:
        return resolve_area(store, aoi, name=name, max_area_km2=area_km2, max_vertices=vertices)
    if catalog is not None:
        raise typer.BadParameter("an area is needed with --catalog", param_hint="--aoi")
    return area_of_collection(store, collection, name=name, max_area_km2=area_km2, max_vertices=vertices)


def _print_plan(prepared: Prepared, expected: Estimate) -> None:
    """Tell what a run would do."""
    request, plan = prepared.request, prepared.job.plan
    scenes = Table(title=f"{len(prepared.scenes)} scenes", title_justify="left")
    for column in ("scene", "date", "cloud %"):
        scenes.add_column(column)
    for scene in prepared.scenes:
        cloud = "?" if scene.cloud_cover is None else f"{scene.cloud_cover:.0f}"
        scenes.add_row(scene.id, f"{scene.datetime:%Y-%m-%d %H:%M}", cloud)
    out = Console()
    out.print(scenes)
    for zone in plan.zones:
        out.print(f"grid: {zone.lattice.crs}, pixel {zone.lattice.resolution:g}")
    out.print(f"area: {request.aoi.name}, {request.aoi.area_km2:,.1f} km2")
    out.print(f"model: {prepared.model.card.reference}, window {plan.windows.window_px} px")
    if request.recipe.despeckle is not None:
        out.print(f"despeckling: {request.recipe.despeckle!r}")
    out.print(f"blocks: {len(plan.blocks)}, pixels: {plan.pixels / 1e6:,.1f} million")
    out.print(f"expected time: {_duration(expected.seconds)} (model timed on one window here)")
    out.print(f"expected memory: {expected.memory_mb:,.0f} MB")
    _print_warnings(prepared.warnings)


def _print_summary(store: Store, result: MapResult, seconds: float) -> None:
    edition = result.edition
    out = Console(soft_wrap=True)
    _print_warnings(result.warnings)
    if result.published_before:
        out.print(f"{edition.id} was published before from the same imagery, model and recipe: nothing to do")
    else:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        resumed = f", {result.blocks_resumed} blocks found done" if result.blocks_resumed else ""
        out.print(f"published {edition.id} in {_duration(seconds)}, peak memory {peak_mb:,.0f} MB{resumed}")
    out.print(f"{edition.count:,} objects, {edition.area_m2 / 1e6:,.3f} km2")
    for file in ("inventory.parquet", "inventory.fgb", "run.json", "item.json"):
        out.print(f"  {store.url(f'{edition.prefix}/{file}')}")


def _print_warnings(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        console.print(f"[yellow]warning:[/] {warning}", highlight=False)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
