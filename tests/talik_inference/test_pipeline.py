"""Exactness: the same imagery and model give the same bytes, however the run is done, killed, cut or ordered."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from making import footprint_of, grid_at, write_tif
from talik_inference.executors import Dask, Executor, InProcess, ProcessPool
from talik_inference.model import Scaling
from talik_inference.plan import Block
from talik_stac.aoi import parse_aoi
from talik_stac.editions import list_editions
from talik_stac.errors import ImageryError, ModelError, NoScenesError, ReadError, StoreError
from talik_stac.store import open_store
from tiny_models import always_one, blurred_green
from world import World, around, paint


def ragged(height: int, width: int, seed: int) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((height, width)), 2)
    return np.asarray(field > np.quantile(field, 0.7))


@pytest.fixture(scope="module")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two overlapping scenes with a cloud and a wedge without data."""
    world = World(folder=tmp_path_factory.mktemp("landscape"))
    pixels = paint(ragged(260, 330, seed=1))
    rng = np.random.default_rng(2)
    pixels = (pixels * rng.uniform(0.7, 1.3, pixels.shape)).astype(np.uint16)
    west = pixels[:, :, :200].copy()
    west[:, :60, :50] = 0
    codes = np.ones((1, 260, 200), np.uint8)
    codes[0, 100:160, 120:170] = 0
    folder = world.folder / "imagery"
    grid = grid_at(40_900, -540_620, 260, 200)
    write_tif(folder / "west_20210715.tif", west, grid, nodata=0)
    write_tif(folder / "west_20210715_valid.tif", codes, grid)
    (folder / "west_20210715.tif").with_suffix(".toml").write_text('bands = ["green", "nir"]\n')
    world.index([folder / "west_20210715.tif", folder / "west_20210715_valid.tif"])
    world.add("east_20210720", pixels[:, :, 130:], grid_at(41_030, -540_620, 260, 200))
    return world


@pytest.fixture(scope="module")
def area(landscape: World) -> shapely.Geometry:
    return around(grid_at(40_950, -540_600, 230, 250), 0.0)


def model_of(world: World) -> str:
    folder = world.folder / "blur"
    return str(folder) if folder.exists() else blurred_green(folder, radius=4, core_px=48, threshold=0.085)


def fresh(world: World, tmp_path: Path) -> World:
    """The same imagery in a store without editions."""
    import shutil

    shutil.copytree(Path(world.root) / "imagery", tmp_path / "store" / "imagery")
    shutil.copy(Path(world.root) / "catalog.json", tmp_path / "store" / "catalog.json")
    return World(folder=tmp_path)


@pytest.fixture(scope="module")
def reference(landscape: World, area: shapely.Geometry, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    world = fresh(landscape, tmp_path_factory.mktemp("reference"))
    result = world.map(area, model=model_of(landscape), block_px=4096, executor=InProcess(workers=1))
    assert result.edition.count > 20
    return world.bytes_of(result)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block_px=st.integers(1, 400), workers=st.integers(1, 3), seed=st.integers(0, 1000))
def test_block_size_workers_and_order_leave_no_trace(
    landscape: World,
    area: shapely.Geometry,
    reference: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    block_px: int,
    workers: int,
    seed: int,
) -> None:
    class Shuffled(InProcess):
        def run(self, job, blocks):  # type: ignore[no-untyped-def]
            mixed: list[Block] = random.Random(seed).sample(list(blocks), len(blocks))
            return super().run(job, mixed)

    world = fresh(landscape, tmp_path_factory.mktemp("run"))
    result = world.map(area, model=model_of(landscape), block_px=block_px, executor=Shuffled(workers=workers))
    assert world.bytes_of(result) == reference


@pytest.mark.parametrize("executor", [ProcessPool(workers=2), Dask(workers=2)], ids=["processes", "dask"])
def test_every_executor_gives_the_same_bytes(
    landscape: World, area: shapely.Geometry, reference: dict[str, str], tmp_path: Path, executor: Executor
) -> None:
    world = fresh(landscape, tmp_path)
    result = world.map(area, model=model_of(landscape), block_px=96, executor=executor)
    assert world.bytes_of(result) == reference


@pytest.mark.parametrize("share", [0.31, 0.5, 0.77])
def test_an_area_given_whole_or_as_its_halves_gives_the_same_bytes(
    landscape: World, area: shapely.Geometry, reference: dict[str, str], tmp_path: Path, share: float
) -> None:
    west, south, east, north = area.bounds
    middle = west + share * (east - west)
    halves = [shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)]
    path = tmp_path / "area.geojson"
    features = [{"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(half)} for half in halves]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    world = fresh(landscape, tmp_path)
    result = world.map(parse_aoi(str(path)).geometry, model=model_of(landscape), block_px=100)
    assert world.bytes_of(result) == reference


def test_halves_mapped_apart_see_the_pixels_that_the_whole_sees(
    landscape: World, area: shapely.Geometry, tmp_path: Path
) -> None:
    west, south, east, north = area.bounds
    middle = west + 0.43 * (east - west)
    parts = {
        "whole": area,
        "left": shapely.box(west, south, middle, north),
        "right": shapely.box(middle, south, east, north),
    }
    world = fresh(landscape, tmp_path)
    pixels = {
        name: world.inventory(world.map(part, name=name, model=model_of(landscape)))["pixels"].sum()
        for name, part in parts.items()
    }
    assert pixels["left"] + pixels["right"] == pixels["whole"]


def test_a_run_killed_at_random_moments_goes_on_and_gives_the_same_bytes(
    landscape: World, area: shapely.Geometry, tmp_path: Path
) -> None:
    """kill -9 of the command itself, again and again; finished blocks are not done again."""
    world, whole = fresh(landscape, tmp_path / "killed"), fresh(landscape, tmp_path / "whole")
    west, south, east, north = area.bounds
    command = [
        *(Path(sys.executable).parent / "talik", "map", "--landform", "water", "--season", "2021"),
        *("--collection", "test", "--aoi", f"{west},{south},{east},{north}", "--name", "area"),
        *("--model", model_of(landscape), "--min-area", "0", "--block", "48", "--workers", "1"),
    ]
    rng = random.Random(5)
    done_before: dict[Path, int] = {}
    for _ in range(4):
        run = subprocess.Popen([*map(str, command), "--store", world.root], stdout=subprocess.DEVNULL)
        deadline, wanted = time.monotonic() + 30, len(done_before) + rng.randint(1, 6)
        while run.poll() is None and time.monotonic() < deadline:
            if len(list(Path(world.root).glob("runs/*/blocks/*.json"))) >= wanted:
                break
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not list_editions(open_store(world.root)) or run.returncode == 0
        manifests = {p: p.stat().st_mtime_ns for p in Path(world.root).glob("runs/*/blocks/*.json")}
        assert all(manifests.get(path, when) == when for path, when in done_before.items()), "a block was done again"
        done_before = manifests or done_before
    subprocess.run([*map(str, command), "--store", world.root], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*map(str, command), "--store", whole.root, "--block", "4096"], check=True, stdout=subprocess.DEVNULL
    )
    (killed,), (straight,) = list_editions(open_store(world.root)), list_editions(open_store(whole.root))
    for name in ("inventory.parquet", "inventory.fgb", "observed.parquet"):
        paths = [Path(w.root) / e.prefix / name for w, e in ((world, killed), (whole, straight))]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name


def test_the_same_run_again_does_nothing(landscape: World, area: shapely.Geometry, tmp_path: Path) -> None:
    world = fresh(landscape, tmp_path)
    first = world.map(area)
    again = world.map(area, block_px=64)
    assert (first.published_before, again.published_before) == (False, True)
    assert again.edition.id == first.edition.id
    changed = world.map(area, min_area_m2=1000.0)
    assert changed.edition.id.endswith("-v2")
    assert not list(open_store(world.root).list("runs")), "finished runs leave no blocks behind"


def test_ids_stay_with_their_lakes_from_year_to_year(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 60, 60)
    lake = np.zeros((60, 60), bool)
    lake[10:20, 10:20] = True
    grown = lake.copy()
    grown[8:24, 8:24] = True
    grown[40:45, 40:45] = True
    world.add("a_20210715", paint(lake), grid)
    world.add("b_20220715", paint(grown), grid)
    first = world.inventory(world.map(around(grid), season="2021"))
    second = world.inventory(world.map(around(grid), season="2022"))
    assert len(second) == 2
    assert second.loc[second["pixels"].idxmax(), "id"] == first["id"].iloc[0]
    assert second["id"].is_unique


def test_a_truncated_scene_is_named_and_left_out_only_when_asked(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 200, 200)
    rng = np.random.default_rng(0)
    good = world.add("good_20210715", rng.integers(1, 9000, (2, 200, 200)).astype(np.uint16), grid)
    bad = world.add("bad_20210716", rng.integers(1, 9000, (2, 200, 200)).astype(np.uint16), grid)
    os.truncate(bad, bad.stat().st_size // 2)
    with pytest.raises(ReadError, match="bad_20210716"):
        world.map(around(grid))
    assert not list_editions(open_store(world.root))
    result = world.map(around(grid), skip_bad=True)
    record = json.loads((Path(world.root) / result.edition.prefix / "run.json").read_text())
    assert [scene["id"] for scene in record["scenes_left_out"]] == ["bad_20210716"]
    assert [scene["id"] for scene in record["scenes"]] == ["good_20210715"]
    assert good.exists()


def test_refusals_leave_the_store_as_it_was(landscape: World, area: shapely.Geometry, tmp_path: Path) -> None:
    world = fresh(landscape, tmp_path)
    before = sorted(p for p in Path(world.root).rglob("*") if p.is_file())
    broken = Path(always_one(tmp_path / "one"))
    (broken / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ModelError, match="sha256"):
        world.map(area, model=str(broken))
    red = always_one(tmp_path / "red", bands={"red": Scaling(), "nir": Scaling()})
    with pytest.raises(ImageryError, match="red"):
        world.map(area, model=red)
    with pytest.raises(NoScenesError, match="2021-07-15"):
        world.map(area, season="2019")
    with pytest.raises(ModelError, match=r"pixels of 0\.1 to 5 m"):
        world.map(area, model=always_one(tmp_path / "fine", resolution_max_m=5.0))
    assert sorted(p for p in Path(world.root).rglob("*") if p.is_file()) == before


def test_a_median_of_three_dates_ignores_the_odd_one(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 50, 50)
    lake = np.zeros((50, 50), bool)
    lake[10:30, 10:30] = True
    world.add("a_20210710", paint(lake), grid)
    world.add("b_20210715", paint(np.ones((50, 50), bool)), grid)
    world.add("c_20210720", paint(lake), grid)
    assert footprint_of(grid).is_valid
    best = world.inventory(world.map(around(grid)))
    median = world.inventory(world.map(around(grid), composite="median"))
    assert median["pixels"].tolist() == [400]
    assert best["scenes"].iloc[0].tolist() == ["a_20210710"]
    assert len(median["scenes"].iloc[0]) == 3


def test_temporary_files_that_do_not_fit_are_said_and_nothing_is_published(
    landscape: World, area: shapely.Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    world = fresh(landscape, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("talik_inference.publish.write_tile", full)
        with pytest.raises(StoreError, match=r"No space left.*TMPDIR"):
            world.map(area)
    assert not list_editions(open_store(world.root))
    assert world.map(area).blocks_done == 0, "the blocks were done before"


def test_the_same_run_twice_at_once_ends_in_one_edition(
    landscape: World, area: shapely.Geometry, tmp_path: Path
) -> None:
    world = fresh(landscape, tmp_path)

    class Overtaken(InProcess):
        """Another process does the same run to its end while this one is about to publish."""

        def run(self, job, blocks):  # type: ignore[no-untyped-def]
            yield from super().run(job, blocks)
            assert not world.map(area).published_before

    result = world.map(area, executor=Overtaken(workers=1))
    assert result.published_before
    (edition,) = list_editions(open_store(world.root))
    assert edition.id == result.edition.id
