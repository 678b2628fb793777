"""Prompts as planes, and the network that turns them into a mask."""

import io

import numpy as np
import pytest
import torch

from model.interactive import PLANES, RADII, STRIDE, Box, Click, ClickDecoder, ClickNetwork, Stroke, render_prompts
from model.layers.resnet import ResNetEncoder
from model.weights.checkpoint import (
    Checkpoint,
    load_click_network,
    load_network,
    load_weights,
    read_weights,
    restore_network,
    save_checkpoint,
)
from util.errors import InputError

SIZE = (50, 75)
NEGATIVE = len(RADII) + 1


def tiny(trunk):
    return ClickNetwork(trunk, ClickDecoder(channels=trunk.channels, width=40, depth=1, heads=2)).eval()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return tiny(ResNetEncoder("resnet18").eval())


@pytest.fixture(scope="module")
def image():
    return torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))


def covered(planes):
    """Pixels that planes cover."""
    return (planes.sum((-1, -2)) * STRIDE**2)[0]


def test_disks_have_the_area_of_their_radius_and_lie_around_the_click():
    planes = render_prompts([Click(100.5, 60.25)], (160, 240))
    assert planes.shape == (1, PLANES, 40, 60)
    for plane, radius in enumerate(RADII):
        assert covered(planes)[plane].item() == pytest.approx(np.pi * radius**2, rel=0.15)
        rows, columns = torch.meshgrid(torch.arange(40), torch.arange(60), indexing="ij")
        weights = planes[0, plane] / planes[0, plane].sum()
        assert STRIDE * ((weights * columns).sum() + 0.5).item() == pytest.approx(100.5, abs=0.3)
        assert STRIDE * ((weights * rows).sum() + 0.5).item() == pytest.approx(60.25, abs=0.3)
    assert not planes[:, len(RADII) :].any()


def test_positive_and_negative_prompts_have_planes_of_their_own():
    positive = render_prompts([Click(10, 10), Stroke(((20, 20), (60, 30)))], SIZE)
    negative = render_prompts([Click(10, 10, positive=False), Stroke(((20, 20), (60, 30)), positive=False)], SIZE)
    assert torch.equal(positive[:, :NEGATIVE], negative[:, NEGATIVE:-1])
    assert not positive[:, NEGATIVE:].any() and not negative[:, :NEGATIVE].any()


def test_a_stroke_covers_its_length_times_its_width_and_a_dot_is_a_disk():
    stroke = render_prompts([Stroke(((20, 40), (120, 40), (120, 90)), radius=6)], (128, 160))
    assert covered(stroke)[len(RADII)].item() == pytest.approx(150 * 12, rel=0.15)
    dot = render_prompts([Stroke(((64, 64),), radius=15)], (128, 160))
    assert covered(dot)[len(RADII)].item() == pytest.approx(np.pi * 15**2, rel=0.1)
    assert not render_prompts([Stroke(())], (128, 160)).any()


def test_the_last_box_is_one_inside_and_minus_one_outside_whatever_its_corners():
    planes = render_prompts([Box(0, 0, 4, 4), Box(40, 32, 8, 16)], (48, 64))[0, -1]
    expected = -torch.ones(12, 16)
    expected[4:8, 2:10] = 1
    assert torch.equal(planes.sign(), expected)
    assert (planes[5:7, 3:9] == 1).all()


def test_what_lies_outside_the_frame_is_cut_off():
    far = [Click(1e9, -1e9), Stroke(((-1e12, 5), (-50, 5))), Click(-100, 20, positive=False)]
    assert not render_prompts(far, SIZE).any()
    assert render_prompts([Box(-1e9, -1e9, 1e9, 1e9)], SIZE)[:, -1].min() == 1


@torch.no_grad()
def test_any_size_gives_a_mask_of_that_size_that_prompts_and_previous_mask_change(network, image):
    features = network.encode(image)
    nothing = network.segment(features, render_prompts([], features.size))
    assert nothing.shape == (1, 1, *SIZE) and nothing.isfinite().all()
    for prompt in (Click(30, 20), Click(30, 20, positive=False), Stroke(((5, 5), (60, 40))), Box(10, 10, 50, 40)):
        changed = network.segment(features, render_prompts([prompt], features.size))
        assert not torch.allclose(nothing, changed, atol=1e-4)
    before = network.segment(features, render_prompts([], features.size), torch.ones(1, 1, *SIZE))
    assert not torch.allclose(nothing, before, atol=1e-4)


@torch.no_grad()
def test_no_previous_mask_is_an_empty_one(network, image):
    features = network.encode(image)
    prompts = render_prompts([Click(30, 20)], SIZE)
    empty = network.segment(features, prompts, torch.zeros(1, 1, *SIZE))
    torch.testing.assert_close(network.segment(features, prompts), empty)


@torch.no_grad()
def test_objects_of_a_frame_together_are_as_alone(network, image):
    features = network.encode(image)
    prompts = [render_prompts([prompt], SIZE) for prompt in (Click(30, 20), Box(10, 10, 50, 40))]
    previous = torch.rand(2, 1, *SIZE, generator=torch.Generator().manual_seed(2))
    together = network.segment(features, torch.cat(prompts), previous)
    alone = [network.segment(features, planes, mask[None]) for planes, mask in zip(prompts, previous, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_features_of_the_trunk_that_are_there_already_serve_as_well(network):
    image = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(3))
    prompts = render_prompts([Click(30, 20)], (48, 64))
    given = network.encode(image, network.trunk(image))
    torch.testing.assert_close(network.segment(given, prompts), network.segment(network.encode(image), prompts))
    with pytest.raises(ValueError, match="do not fit an image"):
        network.encode(image[..., :50], network.trunk(image))


def test_all_of_the_decoder_learns_and_nothing_of_the_trunk():
    trunk = ResNetEncoder("resnet18").eval()
    network = tiny(trunk).train()
    features = network.encode(torch.randn(2, 3, 32, 48))
    prompts = torch.cat([render_prompts([Click(9, 9)], (32, 48))] * 2)
    network.segment(features, prompts, torch.rand(2, 1, 32, 48)).square().sum().backward()
    assert [name for name, p in network.decoder.named_parameters() if p.grad is None] == []
    assert all(p.grad is None for p in trunk.parameters())


def test_the_decoder_of_the_shipped_trunk_fits_into_6_megabytes_in_half_precision():
    decoder = ClickDecoder()
    file = io.BytesIO()
    state = {name: value.half() if value.ndim > 1 else value for name, value in decoder.state_dict().items()}
    torch.save(state, file)
    assert file.tell() < 6e6


@torch.no_grad()
def test_it_is_loaded_beside_its_trunk_in_full_and_half_precision(tmp_path, network, image):
    options = {**network.decoder.options, "trunk": ClickNetwork(network.trunk).decoder.options["trunk"]}
    state = network.decoder.state_dict()
    save_checkpoint(tmp_path / "full.pth", Checkpoint("clicks", options, state))
    half = {name: value.half() if value.ndim > 1 else value for name, value in state.items()}
    save_checkpoint(tmp_path / "half.pth", Checkpoint("clicks", options, half))
    prompts = render_prompts([Click(30, 20)], SIZE)
    expected = network.segment(network.encode(image), prompts)
    for name, tolerance in (("full", 1e-5), ("half", 1e-2)):
        loaded = load_click_network(tmp_path / f"{name}.pth", network.trunk)
        assert loaded.trunk is network.trunk and not loaded.training
        torch.testing.assert_close(
            loaded.segment(loaded.encode(image), prompts), expected, atol=tolerance, rtol=tolerance
        )
    rounded = ResNetEncoder("resnet18")
    rounded.load_state_dict({name: value.half() for name, value in network.trunk.state_dict().items()})
    load_click_network(tmp_path / "full.pth", rounded)


def test_another_trunk_or_another_network_is_refused(tmp_path, network):
    path = tmp_path / "clicks.pth"
    options = {**network.decoder.options, "trunk": "0123456789abcdef"}
    save_checkpoint(path, Checkpoint("clicks", options, network.decoder.state_dict()))
    with pytest.raises(InputError, match="trained for another image encoder"):
        load_click_network(path, network.trunk)
    load_weights(tiny(network.trunk).decoder, path)  # to learn anew from
    assert restore_network(read_weights(path), path).options == options
    with pytest.raises(InputError, match="holds clicks, which segments nothing by itself"):
        load_network(path, torch.device("cpu"))
    save_checkpoint(path, Checkpoint("stcn", {}, {}))
    with pytest.raises(InputError, match="holds stcn, not what turns clicks into masks"):
        load_click_network(path, network.trunk)
