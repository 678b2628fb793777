"""Augmentation of frames together with their masks."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tvf

from datasets.augment import MEAN_COLOUR, static_augmentation, to_mask, video_augmentation

HEIGHT, WIDTH, SIZE = 150, 200, 64


def ellipse(value=255):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    inside = ((y - 80) / 35) ** 2 + ((x - 110) / 45) ** 2 < 1
    return np.where(inside, value, 0).astype(np.uint8)


def picture_of(mask):
    return Image.fromarray(np.stack([mask, np.full_like(mask, 90), 255 - mask], axis=-1))


def centre_of_mass(weights):
    y, x = torch.meshgrid(*(torch.arange(n) for n in weights.shape), indexing="ij")
    return torch.stack([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def transforms_of(augmentation):
    return [*augmentation.sequence.transforms, *augmentation.view.transforms]


AUGMENTATIONS = {
    "static": static_augmentation(SIZE, soft_masks=False),
    "static with soft masks": static_augmentation(SIZE, soft_masks=True),
    "video": video_augmentation(SIZE, min_scale=0.36),
}
EVERY_TRANSFORM = [
    pytest.param(transform, id=f"{name}-{i}-{type(transform).__name__}")
    for name, augmentation in AUGMENTATIONS.items()
    for i, transform in enumerate(transforms_of(augmentation))
]


@pytest.mark.parametrize("transform", EVERY_TRANSFORM)
def test_every_transform_keeps_the_mask_on_its_object(transform):
    for seed in range(6):
        torch.manual_seed(seed)
        frame, mask = transform(picture_of(ellipse()), to_mask(ellipse()))
        red, green, blue = tvf.pil_to_tensor(frame).double()
        mask = mask[0].double()
        assert red.shape == mask.shape
        if isinstance(transform, v2.RandomGrayscale | v2.ColorJitter):
            assert torch.equal(mask, torch.from_numpy(ellipse()).double())
            continue
        content = (green - 90).abs() < 2
        seen = torch.where(content, red, 0)
        assert (centre_of_mass(seen) - centre_of_mass(mask)).abs().max() < 0.2
        assert ((seen > 127) != (mask > 127)).sum() < 0.06 * (mask > 127).sum()
        assert ((blue < 128) & content & (mask < 128)).sum() < 0.06 * (mask > 127).sum()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_clip_keeps_type_size_and_labels(name):
    torch.manual_seed(0)
    augmentation = AUGMENTATIONS[name]
    frames, masks = augmentation.sequence([picture_of(ellipse())] * 3, [to_mask(ellipse(2))] * 3)
    frames, masks = augmentation.views(frames, masks)
    assert [frame.size for frame in frames] == [(SIZE, SIZE)] * 3
    assert all(frame.mode == "RGB" for frame in frames)
    assert all(mask.shape == (1, SIZE, SIZE) and mask.dtype == torch.uint8 for mask in masks)
    if name != "static with soft masks":
        assert set(torch.cat(list(masks)).unique().tolist()) <= {0, 2}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_sequence_draw_is_shared_by_all_frames(name):
    torch.manual_seed(1)
    frames, masks = AUGMENTATIONS[name].sequence([picture_of(ellipse())] * 3, [to_mask(ellipse())] * 3)
    assert np.array(frames[0]).tobytes() == np.array(frames[1]).tobytes() == np.array(frames[2]).tobytes()
    assert torch.equal(masks[0], masks[1]) and torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_of_equal_frames_differ(name):
    torch.manual_seed(1)
    _, masks = AUGMENTATIONS[name].views([picture_of(ellipse())] * 3, [to_mask(ellipse())] * 3)
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_colour_comes_last_and_changes_the_uncovered_border_too(name):
    torch.manual_seed(0)
    frames, masks = AUGMENTATIONS[name].views(
        [Image.new("RGB", (WIDTH, WIDTH), "white")] * 8, [to_mask(np.full((WIDTH, WIDTH), 255, np.uint8))] * 8
    )
    untouched = [MEAN_COLOUR in {tuple(c) for c in np.array(frame).reshape(-1, 3).tolist()} for frame in frames]
    assert all((mask == 0).any() for mask in masks)
    assert sum(untouched) < 4


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_affine_maps_uncover_the_mean_colour_and_background(name):
    white = Image.new("RGB", (WIDTH, HEIGHT), "white")
    full = to_mask(np.full((HEIGHT, WIDTH), 255, np.uint8))
    affine = AUGMENTATIONS[name].view.transforms[0]
    for seed in range(5):
        torch.manual_seed(seed)
        frame, mask = affine(white, full)
        colours = {tuple(c) for c in np.array(frame).reshape(-1, 3).tolist()}
        assert MEAN_COLOUR in colours
        uncovered = torch.from_numpy(np.array(frame)[..., 0] == MEAN_COLOUR[0])
        assert (mask[0][uncovered] == 0).float().mean() > 0.95


def test_soft_masks_are_soft_and_hard_masks_are_not():
    for soft in (False, True):
        torch.manual_seed(2)
        _, masks = static_augmentation(SIZE, soft).views([picture_of(ellipse())], [to_mask(ellipse())])
        assert (masks[0].unique().numel() > 2) == soft
