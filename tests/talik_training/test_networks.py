"""Networks: packaged weights fit whole, any window of 32 works, other bands take the mean of the colours."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from talik_inference.model import Scaling
from talik_stac.errors import ModelError
from talik_training.networks import Network, NetworkRules, build_network, for_bands, load_in_order, packaged_weights
from talik_training.samples import load_samples

DATA = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
BANDS = {name: Scaling(mean=0.1, std=0.1) for name in ("blue", "green", "red", "nir")}


@pytest.mark.parametrize("architecture", ["unet", "deeplabv3plus"])
def test_packaged_weights_fill_the_whole_encoder_and_any_window_of_32_works(architecture: str) -> None:
    network, loaded = build_network(NetworkRules(architecture=architecture), BANDS)  # type: ignore[arg-type]
    assert loaded.tensors == loaded.of == 288
    assert "288 of 288 encoder tensors (100%)" in str(loaded)
    network.eval()
    for shape in ((32, 32), (64, 96), (160, 32)):
        with torch.inference_mode():
            assert network(torch.zeros(1, 4, *shape)).shape == (1, 1, *shape)


def test_packaged_weights_are_what_the_encoder_computes_with() -> None:
    network, _ = build_network(NetworkRules(), {name: Scaling() for name in ("red", "green", "blue")})
    packaged = packaged_weights()
    torch.testing.assert_close(network.core.encoder.model.conv_stem.weight, packaged["_conv_stem.weight"])
    last = network.core.encoder.state_dict()["model.blocks.6.0.conv_pwl.weight"]
    assert torch.equal(last, packaged["_blocks.15._project_conv.weight"])


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data of ../shared are not at {DATA}")
def test_packaged_weights_see_real_images_as_the_statistics_in_them_say(tmp_path: Path) -> None:
    """Variance before each batch norm, on real images, agrees with its running variance: the layers are in place."""
    folder = DATA / "rts_cyber2a_maxar"
    (tmp_path / "s.toml").write_text(f'[[source]]\nkind = "rts-maxar"\nfolder = "{folder}"\nlimit = 12')
    images = [sample.image[:, :96, :192] for sample in load_samples(tmp_path / "s.toml")]
    seen = torch.from_numpy((np.stack([i for i in images if i.shape == (3, 96, 192)]) * 255 - 127) / 128)
    network, _ = build_network(NetworkRules(), {name: Scaling() for name in ("red", "green", "blue")})
    found: list[float] = []

    def compare(norm: torch.nn.BatchNorm2d, given: tuple[torch.Tensor], _: torch.Tensor) -> None:
        pair = torch.stack([given[0].var((0, 2, 3)), norm.running_var])
        found.append(float(torch.corrcoef((pair + 1e-6).log())[0, 1]))

    for layer in network.core.encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_hook(compare)
    network.eval()
    with torch.inference_mode():
        network.core.encoder(seen)
    assert len(found) == 48
    assert np.median(found) > 0.8
    assert min(found) > 0.5


def test_colours_keep_their_weights_in_any_order_and_other_bands_take_the_mean() -> None:
    kernel = torch.randn(8, 3, 3, 3)
    spread = for_bands(kernel, ("blue", "nir", "red"), inputs=4)
    torch.testing.assert_close(spread[:, 0], kernel[:, 2] * 3 / 4)
    torch.testing.assert_close(spread[:, 1], kernel.mean(dim=1) * 3 / 4)
    torch.testing.assert_close(spread[:, 2], kernel[:, 0] * 3 / 4)
    torch.testing.assert_close(spread[:, 3], kernel.mean(dim=1) * 3 / 4)


def test_weights_of_another_shape_are_refused() -> None:
    network = Network(NetworkRules(), BANDS)
    packaged = packaged_weights()
    packaged["_blocks.3._expand_conv.weight"] = torch.zeros(2, 2, 1, 1)
    with pytest.raises(ModelError, match=r"blocks\.2\.0\.conv_pw\.weight .* does not fit"):
        load_in_order(network.core.encoder, packaged, network.bands)


def test_an_index_is_the_normalised_difference_of_reflectance() -> None:
    network = Network(NetworkRules(weights="random", indices=(("green", "nir"),)), BANDS)
    light = torch.tensor([0.05, 0.10, 0.08, 0.30]).reshape(1, 4, 1, 1)
    index = network._with_indices((light - 0.1) / 0.1)[0, 4, 0, 0].item()
    assert index == pytest.approx((0.10 - 0.30) / 0.401, abs=1e-5)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (NetworkRules(encoder="resnet18"), "no packaged weights for encoder 'resnet18'"),
        (NetworkRules(encoder="nonsense", weights="random"), "cannot build unet with encoder 'nonsense'"),
        (NetworkRules(indices=(("green", "swir16"),)), "index of band 'swir16'"),
        (NetworkRules(weights="/nowhere.pt"), "no checkpoint there"),
    ],
)
def test_what_cannot_be_built_is_told(rules: NetworkRules, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        build_network(rules, BANDS)


def test_seeds_give_the_same_random_weights() -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(7)
        made.append(build_network(NetworkRules(weights="random"), BANDS)[0].state_dict())
    assert all(np.array_equal(a, b) for a, b in zip(made[0].values(), made[1].values(), strict=True))
