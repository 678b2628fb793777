"""Changes of colour as one linear map."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as tvf

from datasets.train.colour import GREY, Jitter, colour_map

BY_TORCHVISION = {
    "brightness": tvf.adjust_brightness,
    "contrast": tvf.adjust_contrast,
    "saturation": tvf.adjust_saturation,
}
AMOUNTS = {"brightness": 1.15, "contrast": 0.8, "saturation": 1.3}


@pytest.fixture
def picture():
    """(3,H,W) in 80..170, of which no change here makes a value that had to be clipped."""
    return np.random.default_rng(0).uniform(80, 170, (3, 12, 16))


def changed(picture, changes):
    of_pixel, of_mean, constant = np.split(colour_map(changes), (3, 6), axis=1)
    offset = of_mean @ picture.mean((1, 2)) + constant[:, 0]
    return np.einsum("ij,jhw->ihw", of_pixel, picture) + offset[:, None, None]


def by_torchvision(picture, transform):
    return 255 * transform(torch.from_numpy(picture / 255)).numpy()


def mean_grey(picture):
    return GREY @ picture.mean((1, 2))


def test_no_change_keeps_the_picture(picture):
    assert np.array_equal(changed(picture, ()), picture)


@pytest.mark.parametrize("name", BY_TORCHVISION)
@pytest.mark.parametrize("amount", [0.7, 1.2])
def test_a_change_equals_that_of_torchvision(picture, name, amount):
    expected = by_torchvision(picture, lambda x: BY_TORCHVISION[name](x, amount))
    assert np.abs(changed(picture, ((name, amount),)) - expected).max() < 0.1


@pytest.mark.parametrize("order", list(permutations(AMOUNTS)))
def test_changes_are_made_one_after_the_other(picture, order):
    def in_turn(x):
        for name in order:
            x = BY_TORCHVISION[name](x, AMOUNTS[name])
        return x

    changes = tuple((name, AMOUNTS[name]) for name in order)
    assert np.abs(changed(picture, changes) - by_torchvision(picture, in_turn)).max() < 0.1


def test_a_shift_is_added_in_its_turn(picture):
    assert np.allclose(changed(picture, (("shift", 4.5),)), picture + 4.5)
    assert np.allclose(changed(picture, (("brightness", 1.2), ("shift", -3))), 1.2 * picture - 3)
    assert np.allclose(changed(picture, (("shift", -3), ("brightness", 1.2))), 1.2 * (picture - 3))


@pytest.mark.parametrize("name", AMOUNTS)
def test_changes_of_a_shifted_picture_are_those_of_the_picture_that_it_has_become(picture, name):
    change = ((name, AMOUNTS[name]),)
    assert np.allclose(changed(picture, (("shift", 7), *change)), changed(picture + 7, change))


def test_contrast_keeps_the_mean_grey(picture):
    assert mean_grey(changed(picture, (("contrast", 0.4),))) == pytest.approx(mean_grey(picture))
    before = (("contrast", 1.2), ("hue", 0.1), ("brightness", 1.1))
    after = changed(picture, (*before, ("contrast", 1.4)))
    assert mean_grey(after) == pytest.approx(mean_grey(changed(picture, before)))


@pytest.mark.parametrize("turn", [-0.05, 0.03, 0.4])
def test_a_hue_turn_keeps_grey_pixels_and_the_mean_of_the_channels(picture, turn):
    grey = np.repeat(picture[:1], 3, axis=0)
    assert np.allclose(changed(grey, (("hue", turn),)), grey)
    turned = changed(picture, (("hue", turn),))
    assert np.allclose(turned.mean(0), picture.mean(0))
    assert np.abs(turned - picture).max() > 1


def test_a_hue_turn_goes_the_way_of_torchvision():
    pure = 255 * np.eye(3).reshape(3, 3, 1)
    expected = by_torchvision(pure, lambda x: tvf.adjust_hue(x, 1 / 3))
    assert np.allclose(changed(pure, (("hue", 1 / 3),)), expected, atol=0.1)


def test_a_full_turn_of_hue_changes_nothing(picture):
    assert np.allclose(changed(picture, (("hue", 1.0),)), picture)
    assert np.allclose(changed(picture, (("hue", 0.3), ("hue", 0.7))), picture)


@pytest.mark.parametrize("seed", range(4))
def test_grey_comes_last_and_makes_the_channels_equal(picture, seed):
    in_colour, in_grey = (
        changed(picture, (torch.manual_seed(seed), Jitter(0.1, 0.1, 0.1, 0.1, grey=grey).draw())[1]) for grey in (0, 1)
    )
    assert np.allclose(in_grey, np.einsum("c,chw->hw", GREY, in_colour))
    assert np.ptp(in_colour, axis=0).max() > 1


@pytest.mark.parametrize("seed", range(6))
def test_draws_are_those_of_torchvision(picture, seed):
    torch.manual_seed(seed)
    expected = by_torchvision(picture, ColorJitter(0.2, 0.3, 0.3))
    torch.manual_seed(seed)
    assert np.abs(changed(picture, Jitter(0.2, 0.3, 0.3).draw()) - expected).max() < 0.1


def test_amounts_stay_within_their_limits():
    torch.manual_seed(0)
    limits = {"brightness": (0.9, 1.1), "contrast": (0.95, 1.05), "saturation": (0.8, 1.2), "hue": (-0.05, 0.05)}
    draws = [dict(Jitter(0.1, 0.05, 0.2, 0.05).draw()) for _ in range(100)]
    for name, (low, high) in limits.items():
        amounts = np.array([draw[name] for draw in draws])
        assert low <= amounts.min() and amounts.max() <= high
        assert np.ptp(amounts) > 0.9 * (high - low)


def test_grey_happens_with_its_probability():
    torch.manual_seed(0)
    picture = np.array([200.0, 100.0, 50.0]).reshape(3, 1, 1)
    grey = sum(np.ptp(changed(picture, Jitter(0.1, 0.1, 0.1, grey=0.3).draw())) < 1e-6 for _ in range(300))
    assert 65 < grey < 115
