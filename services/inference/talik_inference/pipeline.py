"""The main path: an area, a recipe and a season -> a published inventory edition."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pyogrio.errors import DataSourceError

from talik_inference.blocks import BlockDone, Job, finished
from talik_inference.check import check_scene_files
from talik_inference.configuration import configuration_hash
from talik_inference.despeckle import check_despeckling
from talik_inference.executors import Executor
from talik_inference.grid import pixel_metres
from talik_inference.model import Model, keep_model, load_model
from talik_inference.plan import Block, Plan, Windows, plan_blocks
from talik_inference.predict import landform_above
from talik_inference.publish import publish_run
from talik_inference.radiometry import check_radiometry
from talik_inference.read import one_line, with_grids
from talik_inference.search import Imagery, Wanted, find_scenes
from talik_inference.season import Season
from talik_inference.zones import zones_of
from talik_stac.aoi import AreaOfInterest
from talik_stac.areas import remember_area
from talik_stac.editions import Claim, Edition, claim, load_edition
from talik_stac.errors import MissingKeyError, NoScenesError, ReadError, RecipeError, StoreError
from talik_stac.landforms import Recipe
from talik_stac.scenes import Scene
from talik_stac.store import Store, open_store

BLOCK_PX = 2048


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """What to map, and how to run it. The second group of fields never changes a byte of the result."""

    store_root: str
    aoi: AreaOfInterest
    recipe: Recipe
    season: Season
    imagery: Imagery
    skip_bad: bool = False
    """Go on without scenes whose files cannot be read, and say so in run.json."""

    executor: Executor
    block_px: int = BLOCK_PX


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is planned but not begun."""

    request: MapRequest
    model: Model
    job: Job
    scenes: tuple[Scene, ...]
    """Those that the plan reads, by date and id."""
    bad: tuple[ReadError, ...]
    """Scenes left out because a file cannot be read (only with skip_bad)."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MapResult:
    """What a run came to."""

    edition: Edition
    published_before: bool
    """True where the same run was published by another call."""
    blocks_done: int
    """Blocks mapped by this call."""
    blocks_resumed: int
    """Blocks found done."""
    warnings: tuple[str, ...]


Progress = Callable[[BlockDone], None]


def map_landform(
    request: MapRequest,
    *,
    planned: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> MapResult:
    """Map one landform, area and season and publish the edition. Raises TalikError.

    The same request gives the same bytes however it is run; after a kill the same call goes on.
    `planned` hears of the plan, `progress` of each finished block.
    """
    left_out: list[ReadError] = []
    while True:
        prepared = prepare(request, left_out)
        if planned:
            planned(prepared.job.plan)
        try:
            return run(prepared, progress=progress)
        except ReadError as error:
            if not request.skip_bad or error.scene_id in {bad.scene_id for bad in left_out}:
                raise
            left_out.append(error)


def prepare(request: MapRequest, left_out: list[ReadError] | None = None) -> Prepared:
    """Recipe -> model -> search -> scenes -> plan; reads headers and overviews, writes nothing."""
    store = open_store(request.store_root)
    model = load_model(request.recipe.model, store)
    _check_landform(model, request.recipe)
    windows = Windows(core_px=model.card.core_px, halo_px=model.card.halo_px)
    bands = list(model.card.bands)
    wanted = Wanted(
        imagery=request.imagery,
        aoi=request.aoi,
        season=request.season,
        bands=bands,
        max_cloud_percent=request.recipe.max_cloud_percent,
        windows=windows,
    )
    found = find_scenes(wanted, store)
    good, bad = _readable(list(found.near), request, left_out or [])
    checked = [check_radiometry(with_grids(scene), bands) for scene in good]
    zones = zones_of(
        [c.scene for c in checked],
        request.aoi.geometry,
        resolution=request.recipe.resolution_m,
        season=found.season,
    )
    plan = plan_blocks(zones, windows, block_px=request.block_px)
    _check_resolution(model, plan)
    scenes = tuple(plan.scenes())
    if not scenes:
        raise NoScenesError(
            f"no scene of {request.season.start} to {request.season.end} covers area '{request.aoi.name}'; "
            "the scenes found lie beside it"
        )
    job = Job(
        configuration=configuration_hash(request.aoi, request.season, request.recipe, model.card, plan),
        store_root=store.root,
        plan=plan,
        recipe=request.recipe,
        model=model,
        above=landform_above(_threshold(request.recipe, model)),
        threads=request.executor.threads,
    )
    used = {scene.id for scene in scenes}
    warnings = [w for c in checked if c.scene.id in used for w in c.warnings]
    warnings += check_despeckling(request.recipe, bands, scenes)
    return Prepared(request=request, model=model, job=job, scenes=scenes, bad=tuple(bad), warnings=tuple(warnings))


def run(prepared: Prepared, *, progress: Progress | None = None) -> MapResult:
    """Blocks -> edition. Finished blocks are not done again; the edition appears by one last write."""
    request, job = prepared.request, prepared.job
    store = open_store(request.store_root)
    remember_area(store, request.aoi)
    keep_model(prepared.model, store)
    claimed = _claim(store, prepared)
    if claimed.published:
        return _result(prepared, load_edition(store, claimed.edition_id), before=True, done=0, resumed=0)
    done = {block.id: manifest for block, manifest in _finished(job, store) if manifest is not None}
    todo = [block for block in job.plan.blocks if block.id not in done]
    resumed = len(done)
    for manifest in done.values():
        if progress:
            progress(manifest)
    for manifest in request.executor.run(job, todo):
        done[manifest.id] = manifest
        if progress:
            progress(manifest)
    try:
        edition = _publish(prepared, store, claimed.edition_id, done)
    except MissingKeyError:
        # The same run in another process may have published meanwhile and taken the blocks away.
        if not _claim(store, prepared).published:
            raise
        return _result(prepared, load_edition(store, claimed.edition_id), before=True, done=len(todo), resumed=resumed)
    return _result(prepared, edition, before=False, done=len(todo), resumed=resumed)


def _publish(prepared: Prepared, store: Store, edition_id: str, done: dict[str, BlockDone]) -> Edition:
    """Publish from temporary files; says so where these do not fit on the disk."""
    try:
        with tempfile.TemporaryDirectory(prefix="talik-") as folder:
            return publish_run(prepared, store, edition_id, done, Path(folder))
    except (OSError, DataSourceError) as error:  # RasterioIOError and pyarrow's are OSErrors
        raise StoreError(
            f"cannot write temporary files in {tempfile.gettempdir()}: {one_line(error)}; free some space or set "
            "TMPDIR, then run the same command again: it goes on where it stopped"
        ) from error


def _claim(store: Store, prepared: Prepared) -> Claim:
    request = prepared.request
    return claim(
        store,
        landform=request.recipe.landform,
        area=request.aoi.name,
        season=request.season.label,
        configuration=prepared.job.configuration,
    )


def _finished(job: Job, store: Store) -> Iterator[tuple[Block, BlockDone | None]]:
    there = set(store.list(job.prefix))
    for block in job.plan.blocks:
        if f"{job.prefix}/{block.id}.json" in there:
            yield block, finished(job, store, block)


def _readable(
    found: list[Scene], request: MapRequest, left_out: list[ReadError]
) -> tuple[list[Scene], list[ReadError]]:
    """Part the scenes into those whose files open and are whole, and the others. Raises the first ReadError."""
    bad = [*left_out, *check_scene_files(found)]
    if bad and not request.skip_bad:
        raise bad[0]
    names = {error.scene_id for error in bad}
    good = [scene for scene in found if scene.id not in names]
    if not good:
        raise bad[0]
    return good, bad


def _threshold(recipe: Recipe, model: Model) -> float:
    return model.card.threshold if recipe.threshold is None else recipe.threshold


def _check_landform(model: Model, recipe: Recipe) -> None:
    """Refuse to publish under one landform's name what a model of another finds. Raises RecipeError."""
    if model.card.landform != recipe.landform:
        raise RecipeError(
            f"model {model.card.reference} maps '{model.card.landform}', not '{recipe.landform}'; give --landform "
            f"{model.card.landform} or a model of {recipe.landform}"
        )


def _check_resolution(model: Model, plan: Plan) -> None:
    for zone in plan.zones:
        model.card.check_resolution(pixel_metres(zone.lattice))


def _result(prepared: Prepared, edition: Edition, *, before: bool, done: int, resumed: int) -> MapResult:
    return MapResult(
        edition=edition,
        published_before=before,
        blocks_done=done,
        blocks_resumed=resumed,
        warnings=prepared.warnings,
    )
