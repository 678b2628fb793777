"""The sizes in which a network sees frames; the letterbox gives the numbers of the published STM-Cycle."""

import numpy as np
import pytest
import torch

from datasets.test.sizing import FULL_SIZE, Letterbox, Limit, choose_sizing
from tests.helpers.deterministic import fixture
from util.errors import InputError
from util.tensors import one_hot

CANVAS = (32, 64)
SIZES = {"half": (64, 128), "pad": (48, 80), "same": (32, 64)}


@pytest.fixture(scope="module")
def expected():
    return fixture("stm_cycle_transform")


@pytest.mark.parametrize("case", SIZES)
def test_letterbox_equals_the_published_transform(case, expected):
    letterbox = Letterbox(CANVAS)
    image = letterbox.image(expected[f"{case}_image"])
    np.testing.assert_allclose(image, expected[f"{case}_net_frame"][0], atol=2e-5)
    planes = one_hot(expected[f"{case}_label"], [0, 1, 2, 3])
    np.testing.assert_array_equal(letterbox.mask(planes, SIZES[case]), expected[f"{case}_net_mask"][0])
    assert letterbox.working(SIZES[case]) == CANVAS


@pytest.mark.parametrize("case", ["half", "pad"])
def test_letterbox_equals_the_published_mask_writer(case, expected):
    probabilities = torch.from_numpy(expected["write_prob"][0])
    size = SIZES[case]
    ids = Letterbox(CANVAS).restore(probabilities, size, size).argmax(0)
    np.testing.assert_array_equal(ids, expected[f"write_{case}_label"])


@pytest.mark.parametrize(
    ("limit", "size", "working"),
    [
        ((), (480, 854), (480, 854)),
        ((480,), (720, 1280), (480, 853)),
        ((480,), (1280, 720), (853, 480)),
        ((480,), (480, 910), (480, 910)),
        ((100,), (200, 200), (100, 100)),
        ((240, 427), (480, 854), (240, 427)),
        ((240, 427), (480, 640), (240, 320)),
        ((240, 427), (854, 480), (240, 134)),
        ((240, 427), (300, 1000), (128, 427)),
        ((240, 427), (200, 300), (200, 300)),
    ],
)
def test_limits_keep_the_proportions(limit, size, working):
    assert Limit(limit).working(size) == working


def test_masks_and_images_are_resized_alike_and_back():
    sizing, size = Limit((16, 16)), (40, 64)
    ids = np.zeros(size, np.uint8)
    ids[8:24, 16:40] = 1
    pixels = np.repeat(ids[..., None] * 255, 3, 2)
    mask = sizing.mask(one_hot(ids, [1]), size)
    image = sizing.image(pixels)
    assert mask.shape[-2:] == image.shape[-2:] == (10, 16)
    assert ((image[0] > 0) == (mask[0] > 0.5)).float().mean() > 0.95
    back = sizing.restore(torch.cat([1 - mask, mask]), size, size).argmax(0).numpy()
    assert (back != ids).mean() < 0.05


@pytest.mark.parametrize(
    ("size", "compat", "sizing"),
    [
        (None, False, FULL_SIZE),
        ([480], True, Limit((480,))),
        ([240, 427], False, Limit((240, 427))),
        ([240, 427], True, Letterbox((240, 427))),
    ],
)
def test_choice_of_the_command_line(size, compat, sizing):
    assert choose_sizing(size, compat=compat) == sizing


def test_three_numbers_are_refused():
    with pytest.raises(InputError, match="--size 1 2 3"):
        choose_sizing([1, 2, 3])


@pytest.mark.parametrize("size", [(2000, 16), (16, 2000)])
@pytest.mark.parametrize("sizing", [Limit((16, 16)), Letterbox((16, 16))])
def test_the_thinnest_frame_keeps_a_pixel_of_its_width(sizing, size):
    assert sizing.image(np.zeros((*size, 3), np.uint8)).shape[1:] == sizing.working(size)
    assert min(sizing.working(size)) >= 1
    assert sizing.restore(torch.zeros(2, *sizing.working(size)), size, size).shape == (2, *size)
