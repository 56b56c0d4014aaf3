"""The rebuilt network answers as the package's own graph does."""

import numpy as np
import onnxruntime as ort
import pytest
import torch

from talik_inference.model import Scaling
from talik_stac.errors import ModelError
from talik_training.csmask import BANDS, SCALING, WATER, CsmaskNet, load_packaged, packaged_graph
from talik_training.networks import NetworkRules, build_network


@pytest.fixture(scope="module")
def network() -> CsmaskNet:
    made = CsmaskNet(len(BANDS) + 2)
    load_packaged(made)
    return made.eval()


def test_the_rebuilt_network_answers_as_the_packages_own_graph(network: CsmaskNet) -> None:
    window = np.random.default_rng(0).standard_normal((1, 256, 256, 4), np.float32)
    options = ort.SessionOptions()
    options.log_severity_level = 4  # the graph states sizes that its own layers contradict
    session = ort.InferenceSession(packaged_graph(), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: window})

    with torch.inference_mode():
        seen = torch.from_numpy(window).permute(0, 3, 1, 2)
        extra = torch.randn(1, 2, 256, 256)  # more inputs change nothing at first
        classes = torch.softmax(network.class_logits(torch.cat([seen, extra], 1)), 1)
        water = torch.sigmoid(network(torch.cat([seen, extra], 1)))

    assert np.abs(classes.numpy() - expected.transpose(0, 3, 1, 2)).max() < 1e-5
    assert np.abs(water[:, 0].numpy() - expected[..., WATER]).max() < 1e-5


def test_any_side_that_halves_four_times_is_answered(network: CsmaskNet) -> None:
    with torch.inference_mode():
        assert network(torch.zeros(1, 6, 64, 112)).shape == (1, 1, 64, 112)


def test_the_class_called_water_is_dark_in_the_near_infrared(network: CsmaskNet) -> None:
    scaling = np.array([[s.mean, s.std] for s in SCALING.values()], np.float32)
    answers = []
    for spectrum in ((0.06, 0.06, 0.04, 0.01), (0.04, 0.08, 0.05, 0.40)):  # a lake, a meadow
        scaled = (np.array(spectrum, np.float32) - scaling[:, 0]) / scaling[:, 1]
        window = np.zeros((1, 6, 64, 64), np.float32)
        window[0, :4] = scaled[:, None, None]
        with torch.inference_mode():
            answers.append(float(torch.sigmoid(network(torch.from_numpy(window))).mean()))

    assert answers[0] > 0.9
    assert answers[1] < 0.1


def test_other_scaling_than_the_weights_were_made_for_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.scaling"):
        build_network(NetworkRules(architecture="csmask"), {band: Scaling() for band in BANDS})
