"""The mean of two runs' weights, as a finished run."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from talik_stac.errors import ModelError
from talik_training.average import average_runs, averaged, main
from talik_training.fitting import Silent
from talik_training.loop_state import read_checkpoint
from talik_training.train import CHECKPOINT, TrainRequest, train


def test_the_mean_of_weights_is_taken_and_counts_are_the_last_ones() -> None:
    first = {"weight": torch.tensor([1.0, 3.0]), "batches": torch.tensor(4)}
    second = {"weight": torch.tensor([3.0, 5.0]), "batches": torch.tensor(9)}

    mean = averaged([first, second])

    assert mean["weight"].tolist() == [2.0, 4.0]
    assert int(mean["batches"]) == 9


def test_weights_of_different_networks_are_refused() -> None:
    with pytest.raises(ModelError, match="different networks"):
        averaged([{"a": torch.zeros(2)}, {"a": torch.zeros(3)}])


def test_an_averaged_run_is_finished_and_training_only_exports_it(
    write_recipe: Callable[..., Path], tmp_path: Path
) -> None:
    recipe = write_recipe()
    train(TrainRequest(recipe=recipe, out=tmp_path / "a", threads=1, device="cpu"), Silent(), lambda _: None)
    average_runs(recipe, [tmp_path / "a", tmp_path / "a"], tmp_path / "mean")
    made = train(TrainRequest(recipe=recipe, out=tmp_path / "mean", threads=1, device="cpu"), Silent(), lambda _: None)

    kept, before = (read_checkpoint(tmp_path / name / CHECKPOINT) for name in ("mean", "a"))
    assert kept is not None
    assert before is not None
    assert made.finished
    assert all(torch.equal(kept.best[name], before.best[name]) for name in before.best)
    # The mean of a run with itself is that run: the same file to the byte.
    assert (tmp_path / "mean" / "model.onnx").read_bytes() == (tmp_path / "a" / "model.onnx").read_bytes()


def test_a_folder_without_a_run_is_named_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "r.toml"), str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "give folders that `talik train` wrote" in capsys.readouterr().err
