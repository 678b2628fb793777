"""Smoothed edges are told from objects."""

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_foreground, read_ids
from datasets.mask_reader import MaskReader, MaskRules
from datasets.smooth_edges import find_smooth_edges
from util.errors import InputError


def disc(value=255, line=cv2.LINE_8):
    mask = np.zeros((96, 128), np.uint8)
    cv2.circle(mask, (60, 48), 30, value, -1, line)
    return mask


def three_ids():
    mask = np.zeros((96, 128), np.uint8)
    mask[10:50, 10:50], mask[40:80, 60:110], mask[5:30, 70:120] = 1, 2, 3
    return mask


def resized(mask, resampling):
    return np.array(Image.fromarray(mask).resize((170, 131), resampling))


SMOOTH = {
    "anti-aliased": disc(line=cv2.LINE_AA),
    "anti-aliased small id": disc(3, cv2.LINE_AA),
    "bilinear": resized(disc(), Image.Resampling.BILINEAR),
    "lanczos": resized(disc(), Image.Resampling.LANCZOS),
    "blurred": cv2.GaussianBlur(disc(), (0, 0), 2),
    "ids resampled": resized(three_ids(), Image.Resampling.BILINEAR),
    "jpeg": cv2.imdecode(cv2.imencode(".jpg", disc(), [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_GRAYSCALE),
}


@pytest.mark.parametrize("mask", SMOOTH.values(), ids=SMOOTH)
def test_smoothing_is_recognised_and_can_be_undone(mask):
    edges = find_smooth_edges(mask)
    snapped = edges.snap(mask)
    assert set(np.unique(snapped)) <= set(edges.solid.tolist())
    assert set(np.unique(snapped)) >= {0, mask.max()}


def test_undone_anti_aliasing_is_the_drawn_shape():
    mask = disc(line=cv2.LINE_AA)
    assert np.count_nonzero((find_smooth_edges(mask).snap(mask) > 0) != (mask > 127)) == 0


def rope(mask, width):
    cv2.line(mask, (0, 0), (127, 95), 2, width)
    return mask


def tiny_objects():
    mask = np.zeros((96, 128), np.uint8)
    for number in range(60):
        row, column = divmod(number, 10)
        mask[10 + 3 * row : 12 + 3 * row, 10 + 2 * column : 12 + 2 * column] = number + 1
    mask[60:90, 20:80] = 200
    return mask


MEANT = {
    "disc": disc(),
    "three ids": three_ids(),
    "rope of 1 pixel": rope(three_ids(), 1),
    "rope of 2 pixels": rope(three_ids() * 3, 2),
    "tiny objects": tiny_objects(),
    "nearest": resized(three_ids(), Image.Resampling.NEAREST),
}


@pytest.mark.parametrize("mask", MEANT.values(), ids=MEANT)
def test_small_and_thin_objects_are_no_smoothing(mask):
    assert find_smooth_edges(mask) is None


def coloured():
    sharp = np.zeros((96, 128, 3), np.uint8)
    sharp[20:52, 25:57], sharp[60:85, 80:100] = (255, 0, 0), (0, 255, 0)
    return sharp


def test_smoothed_masks_are_refused_with_the_remedy_or_snapped(tmp_path):
    Image.fromarray(cv2.GaussianBlur(coloured(), (0, 0), 1)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png has smoothed edges: \d+ of its colours .*--snap"):
        MaskReader().read(tmp_path / "m.png")
    ids = MaskReader(MaskRules(snap=True)).read(tmp_path / "m.png")
    sharp = MaskReader()
    Image.fromarray(coloured()).save(tmp_path / "sharp.png")
    assert np.mean(ids != sharp.read(tmp_path / "sharp.png")) < 0.002
    assert len(np.unique(MaskReader(MaskRules(snap=False)).read(tmp_path / "m.png"))) > 10


def test_a_smooth_alpha_channel_is_refused_or_cut(tmp_path):
    pixels = np.dstack([np.full((96, 128, 3), (255, 0, 0), np.uint8), disc(line=cv2.LINE_AA)])
    Image.fromarray(pixels).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="smoothed edges"):
        MaskReader().read(tmp_path / "m.png")
    ids = MaskReader(MaskRules(snap=True)).read(tmp_path / "m.png")
    assert np.array_equal(ids > 0, disc(line=cv2.LINE_AA) > 127)


def test_ids_with_smoothed_edges_are_refused_everywhere_but_in_results(tmp_path):
    Image.fromarray(disc(line=cv2.LINE_AA)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png has smoothed edges"):
        read_ids(tmp_path / "m.png")
    assert read_ids(tmp_path / "m.png", checked=False).max() == 255


def test_as_one_object_a_smooth_grey_mask_counts_from_half_brightness_on(tmp_path):
    Image.fromarray(disc(line=cv2.LINE_AA)).save(tmp_path / "m.png")
    mask, is_cut = read_foreground(tmp_path / "m.png")
    assert is_cut and np.array_equal(mask, disc(line=cv2.LINE_AA) > 127)
    Image.fromarray(disc(9)).save(tmp_path / "ids.png")
    mask, is_cut = read_foreground(tmp_path / "ids.png")
    assert not is_cut and np.array_equal(mask, disc() > 0)
