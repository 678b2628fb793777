"""Images encoded before their turn give the same masks, and are encoded once."""

from unittest.mock import MagicMock, patch

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from evaluation.averaging import AveragingCore, View
from inference.prefetch import FeaturePrefetch, features_apart
from inference_core import InferenceCore
from model import NETWORKS
from tests.helpers.weight_files import smallest_network
from util.device import Trial

HEIGHT, WIDTH = 44, 60
FRAMES = 5


@pytest.fixture
def clip():
    masks = torch.zeros(2, HEIGHT, WIDTH)
    masks[0, 5:25, 5:25], masks[1, 20:40, 30:60] = 1, 1
    return torch.randn(FRAMES, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)), {0: masks}


def run_ahead(core, images, masks):
    """As on a GPU: the next image is prepared before a frame is segmented."""
    results = []
    for index, image in enumerate(images):
        if index + 1 < len(images):
            core.prefetch(images[index + 1])
        results.append(core.step(image, masks.get(index)))
    return torch.stack(results)


@pytest.mark.parametrize("arch", NETWORKS)
def test_masks_are_the_same(arch, clip):
    images, masks = clip
    network = smallest_network(arch)
    expected = torch.stack(list(InferenceCore(network).stream(images, masks)))
    encoded, encode_image = [], network.encode_image
    with patch.object(network, "encode_image", lambda image: encoded.append(len(image)) or encode_image(image)):
        ahead = run_ahead(InferenceCore(network), list(images), masks)
    torch.testing.assert_close(ahead, expected, atol=0, rtol=0)
    assert encoded == [1] * (FRAMES - 1)


def test_averaged_masks_are_the_same(clip):
    images, masks = clip
    network = smallest_network("stcn")
    expected, found = (
        run(AveragingCore(lambda: InferenceCore(network), [View(1.5), View(flip=True)]))
        for run in (
            lambda core: torch.stack([core.step(image, masks.get(t)) for t, image in enumerate(images)]),
            lambda core: run_ahead(core, list(images), masks),
        )
    )
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_another_image_than_the_prepared_one_is_segmented_for_itself(clip):
    images, masks = clip
    network = smallest_network("qdmn")
    plain, misled = InferenceCore(network), InferenceCore(network)
    for core in (plain, misled):
        core.step(images[0], masks[0])
    misled.prefetch(images[1])
    torch.testing.assert_close(misled.step(images[2]), plain.step(images[2]), atol=0, rtol=0)


def test_of_images_that_nobody_asks_for_the_last_two_are_kept(clip):
    images = list(clip[0])
    ahead = FeaturePrefetch(smallest_network("qdmn"))
    for image in images:
        ahead.prefetch(image)
    assert [ahead.take(image) is not None for image in images] == [False, False, False, True, True]


def test_a_gpu_encodes_in_a_stream_of_its_own_and_is_waited_for():
    order = []
    side, present = MagicMock(), MagicMock()
    side.wait_stream.side_effect = lambda other: order.append(("side waits for", other))
    side.record_event.side_effect = lambda: order.append("event") or "event"
    present.wait_event.side_effect = lambda event: order.append(("present waits for", event))
    with FakeTensorMode(), patch("torch.cuda.Stream", return_value=side), patch("torch.cuda.stream") as entered:
        image, feature = torch.empty(3, 32, 48, device="cuda"), MagicMock()
        entered.return_value.__enter__.side_effect = lambda: order.append("in side")
        entered.return_value.__exit__.side_effect = lambda *_: order.append("out")
        network = MagicMock(size_multiple=16)
        network.encode_image.side_effect = lambda padded: order.append("encode") or (feature,)
        with (
            patch("torch.cuda.current_stream", return_value=present),
            patch.object(torch.Tensor, "record_stream") as kept,
        ):
            ahead = FeaturePrefetch(network)
            ahead.prefetch(image)
            ahead._trial = Trial("believed")
            ahead._trial.believed = True
            assert ahead.take(image) == (feature,)
    assert order == [("side waits for", present), "in side", "encode", "out", "event", ("present waits for", "event")]
    kept.assert_called_once_with(side)
    feature.record_stream.assert_called_once_with(present)


def test_features_are_compared_by_their_largest_value():
    maps = torch.rand(1, 4, 5, 6), torch.rand(1, 8, 3, 3)
    assert features_apart(tuple(x + 1e-4 for x in maps), maps) == ""
    assert "map 2" in features_apart((maps[0], maps[1].flip(1)), maps)
    assert "map 1" in features_apart((maps[0] * torch.nan, maps[1]), maps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gpu_masks_are_the_same(clip):
    images, masks = clip
    network = smallest_network("qdmn").cuda()
    images, masks = images.cuda(), {0: masks[0].cuda()}
    expected = torch.stack(list(InferenceCore(network).stream(images, masks)))
    torch.testing.assert_close(run_ahead(InferenceCore(network), list(images), masks), expected, atol=1e-4, rtol=0)
