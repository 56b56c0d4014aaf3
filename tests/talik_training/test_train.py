"""Training as a whole: it learns, resuming equals not stopping, and the folder maps."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from talik_inference.model import Score, load_model
from talik_stac.errors import ModelError, RecipeError
from talik_stac.store import open_store
from talik_training.card import with_scores, write_card
from talik_training.commands.train import app
from talik_training.fitting import Limits, rate_share
from talik_training.loop_state import read_checkpoint
from talik_training.recipe import TrainingRules, load_recipe
from talik_training.train import Trained, TrainRequest, train
from world import World, around, paint

DATA = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
RECIPES = Path(__file__).parents[2] / "services" / "training" / "recipes"
WriteRecipe = Callable[..., Path]


class Silent:
    """Nobody watches."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def step(self, done: int, total: int, loss: float) -> None:
        self.losses.append(loss)

    def epoch(self, row: dict[str, float]) -> None:
        pass


def run(recipe: Path, out: Path, watcher: Silent | None = None, **options: object) -> Trained:
    request = TrainRequest(recipe=recipe, out=out, device="cpu", threads=2, **options)  # type: ignore[arg-type]
    return train(request, watcher or Silent(), lambda text: None)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One run that several tests look at."""

    trained: Trained
    losses: list[float]


@pytest.fixture(scope="module")
def learned(write_recipe_in: WriteRecipe, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder, watcher = tmp_path_factory.mktemp("learned"), Silent()
    recipe = write_recipe_in(folder, ("epochs = 4", "epochs = 6"), ("repeats = 2", "repeats = 4"))
    return Learned(trained=run(recipe, folder / "out", watcher), losses=watcher.losses)


def test_the_loss_falls(learned: Learned) -> None:
    assert np.mean(learned.losses[-4:]) < 0.5 * np.mean(learned.losses[:4])


def test_it_leaves_a_model_with_card_log_split_and_pictures(learned: Learned, tmp_path: Path) -> None:
    out = learned.trained.folder
    rows = list(csv.DictReader((out / "log.csv").read_text().splitlines()))
    assert [float(row["epoch"]) for row in rows] == list(range(6))
    assert {"curves.png", "examples.png", "split.json", "checkpoint.pt"} < {path.name for path in out.iterdir()}
    card = load_model(str(out), open_store(str(tmp_path / "store"))).card
    assert card == learned.trained.card
    assert list(card.bands) == ["green", "nir"]
    assert card.scores[0].metric == "pixel IoU"
    assert card.scores[0].value > 0.8
    assert (card.scores[0].data, card.scores[0].places) == ("test part: 2 samples of 1 places", 1)
    assert card.scores[0].low is None, "one place says nothing of others"
    assert [(s.name, s.licence, s.samples, s.places) for s in card.sources] == [("simulated ponds", "CC0", 12, 6)]
    assert card.split["train"].samples + card.split["validation"].samples == 10
    assert card.calibration is not None
    assert card.architecture.startswith("U-Net, encoder tu-tf_efficientnet_lite0, decoder of 32, 16")
    assert "random numbers" in card.encoder
    assert (card.device, card.precision) == ("cpu", "float32")
    assert card.seconds is not None
    assert json.loads((out / "training.json").read_text())["export"]["difference"] <= 1e-4


def test_its_folder_maps_a_world(learned: Learned, tmp_path: Path) -> None:
    y, x = np.mgrid[:200, :200]
    water = ((y - 60) ** 2 + (x - 70) ** 2 < 15**2) | ((y - 140) ** 2 + (x - 130) ** 2 < 10**2)
    grid = GeoBox.from_bbox((500000, 6000000, 502000, 6002000), crs="EPSG:32633", resolution=10)
    world = World(folder=tmp_path / "world")
    world.add("scene_20210715", paint(water), grid)
    result = world.map(around(grid), model=str(learned.trained.folder), min_area_m2=2000.0)
    assert result.edition.count == 2
    assert result.edition.area_m2 == pytest.approx(water.sum() * 100, rel=0.2)


@pytest.mark.parametrize("stops", [(1,), (3, 2), (7,)])
def test_resuming_after_a_stop_equals_not_stopping(
    write_recipe: WriteRecipe, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    recipe = write_recipe()
    whole = run(recipe, tmp_path / "whole")
    for steps in stops:
        with suppress(ModelError):  # within the first epoch there is no model to export yet
            assert not run(recipe, tmp_path / "cut", limits=Limits(steps=steps)).finished
    cut = run(recipe, tmp_path / "cut")
    assert whole.finished
    assert cut.finished
    one, other = (read_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "cut"))
    assert one is not None
    assert other is not None
    for name, tensor in one.network.items():
        assert torch.equal(tensor, other.network[name]), name
    for name, tensor in one.best.items():
        assert torch.equal(tensor, other.best[name]), name
    assert (tmp_path / "whole" / "model.onnx").read_bytes() == (tmp_path / "cut" / "model.onnx").read_bytes()
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in t.history] for t in (whole, cut)]
    assert timeless[0] == timeless[1]


KILLED = """
import os, signal, sys
from pathlib import Path
from talik_training.train import TrainRequest, train

class Killer:
    def step(self, done, total, loss):
        if done == 7:
            os.kill(os.getpid(), signal.SIGKILL)
    def epoch(self, row):
        pass

request = TrainRequest(recipe=Path(sys.argv[1]), out=Path(sys.argv[2]), device="cpu", threads=2)
train(request, Killer(), lambda text: None)
"""


def test_resuming_after_a_kill_in_the_middle_of_an_epoch_equals_not_stopping(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    recipe = write_recipe(("checkpoint_seconds = 60", "checkpoint_seconds = 0.001"), ("epochs = 4", "epochs = 3"))
    whole = run(recipe, tmp_path / "whole")
    killed = subprocess.run([sys.executable, "-c", KILLED, recipe, tmp_path / "cut"], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    left = read_checkpoint(tmp_path / "cut" / "checkpoint.pt")
    assert left is not None
    assert (left.epoch, left.step) == (1, 2)
    cut = run(recipe, tmp_path / "cut")
    assert whole.card.sha256 == cut.card.sha256


def test_threads_that_prepare_crops_change_nothing(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(("epochs = 4", "epochs = 1"))
    twice = [run(recipe, tmp_path / name) for name in ("a", "b")]
    assert twice[0].card.sha256 == twice[1].card.sha256


def test_a_checkpoint_of_another_recipe_is_refused_unless_fresh(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    one_epoch = ("epochs = 4", "epochs = 1")
    run(write_recipe(one_epoch), tmp_path / "out")
    other = write_recipe(one_epoch, ("seed = 3", "seed = 4"))
    with pytest.raises(ModelError, match="of another recipe or other samples"):
        run(other, tmp_path / "out")
    assert run(other, tmp_path / "out", fresh=True).finished


def test_a_finished_run_given_a_better_text_writes_its_card_again(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    one_epoch = ("epochs = 4", "epochs = 1")
    first = run(write_recipe(one_epoch), tmp_path / "out")
    measured = Score(metric="pixel IoU", value=0.5, data="elsewhere", command="talik evaluate out --card")
    told = first.card.model_copy(update={"made": date(2020, 1, 1), "device": "an old machine"})
    write_card(with_scores(told, [measured], [measured.model_copy(update={"of": "ndwi@1"})]), tmp_path / "out")
    text = write_recipe(one_epoch, ('limits = "Tests only."', 'limits = "Not for bread."'), ("CC0", "CC-BY-4.0"))
    second = run(text, tmp_path / "out").card
    assert second.sha256 == first.card.sha256
    assert (second.limits, second.sources[0].licence) == ("Not for bread.", "CC-BY-4.0")
    assert second.scores == (*first.card.scores, measured)
    assert [score.of for score in second.baseline] == ["ndwi@1"]
    assert (second.made, second.device, second.seconds) == (told.made, told.device, first.card.seconds)


def test_it_stops_where_validation_gets_no_better(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    still = write_recipe(
        ("epochs = 4", "epochs = 9\npatience = 2"),
        ("learning_rate = 3e-3", "learning_rate = 1e-12"),
        ("repeats = 2", "repeats = 0.4"),
    )
    trained = run(still, tmp_path / "out")
    assert trained.finished
    assert len(trained.history) < 9


def test_unknown_pixels_and_no_data_do_not_change_what_is_learned(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    """A sample whose label is all unknown adds batches without gradient; labels under no data are never seen."""
    import rasterio

    recipe = write_recipe(("epochs = 4", "epochs = 1"), ("label_above = 0", "label_values = [1]\nunknown_values = [9]"))
    results = []
    for wrong in (0, 1):
        for path in sorted((tmp_path / "images").glob("*.tif")):
            with rasterio.open(path, "r+") as image, rasterio.open(tmp_path / "labels" / path.name, "r+") as label:
                pixels, drawn = image.read(), label.read()
                pixels[:, :20] = 0
                drawn[:, :20] = wrong
                drawn[:, 20:30] = 9
                image.write(pixels)
                label.write(drawn)
        results.append(run(recipe, tmp_path / f"out{wrong}"))
    assert results[0].card.sha256 == results[1].card.sha256


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs = 4", "epoch = 4", r"training\.epoch: Extra inputs are not permitted \(here 4\)"),
        ("epochs = 4", "epochs = 0", r"training\.epochs: .*greater than or equal to 1 \(here 0\)"),
        ("core_px = 64", "core_px = 65", "must be a multiple of 64, here 65"),
        ("batch = 4", "batch = ", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line_with_the_value(
    write_recipe: WriteRecipe, old: str, new: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        load_recipe(write_recipe((old, new)))
    assert "\n" not in str(caught.value)


def test_the_rate_rises_and_falls() -> None:
    shares = [rate_share(TrainingRules(), step, 100) for step in range(100)]
    assert shares.index(max(shares)) == 10
    assert max(shares) == pytest.approx(1)
    assert shares[0] < 0.05
    assert shares[-1] < 0.02


def test_a_time_limit_stops_it_with_the_best_model_so_far(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    # Uncalibrated: the steep calibration of a network of a few steps makes rounding larger than the export allows.
    recipe = write_recipe(("epochs = 4", "epochs = 500\ncalibrate = false"))
    trained = run(recipe, tmp_path / "out", limits=Limits(seconds=4))
    assert not trained.finished
    assert 0 < len(trained.history) < 500
    assert (tmp_path / "out" / "model.onnx").exists()


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data of ../shared are not at {DATA}")
def test_it_learns_from_real_slumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALIK_DATA", str(DATA))
    text = (RECIPES / "thaw-slump.toml").read_text()
    first, _, rest = text.partition("# Hard negatives")
    text = first + rest[rest.index("[split]") :]  # the slumps alone: hundreds of negatives take minutes
    for old, new in (
        ('kind = "rts-maxar"', 'kind = "rts-maxar"\nlimit = 24'),
        ("epochs = 30", "epochs = 3"),
        ("batch = 8", "batch = 4\nrepeats = 2"),
        ("window_px = 192", "window_px = 96"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "recipe.toml").write_text(text)
    watcher = Silent()
    trained = run(tmp_path / "recipe.toml", tmp_path / "out", watcher)
    assert np.mean(watcher.losses[-4:]) < np.mean(watcher.losses[:4])
    assert trained.loaded.tensors == trained.loaded.of
    assert "3 samples of 3 places for test" in trained.card.training_data
    assert trained.card.sources[0].samples == 24


def test_the_command_trains_and_says_its_scores(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(("epochs = 4", "epochs = 1"))
    result = CliRunner().invoke(app, [str(recipe), "--out", str(tmp_path / "out"), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "pixel IoU" in result.stdout
    assert "0 of 288 encoder tensors" in result.stderr
    assert "epoch 1: loss" in result.stderr
