"""Clips made of one picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.train.static_dataset import StaticDataset, read_static_mask, static_datasets
from tests.helpers.pictures import CANVAS, write_set
from util.errors import InputError


def test_soft_masks_are_soft(static_root):
    masks = StaticDataset(static_root / "flat", image_size=CANVAS, soft_masks=True)[0]["masks"]
    assert masks.dtype == torch.uint8
    assert {0, 255} < set(masks.unique().tolist())


def test_static_masks_are_binary_by_default(static_root):
    grey = np.linspace(0, 255, 60 * 80).reshape(60, 80).astype(np.uint8)
    Image.fromarray(grey).save(static_root / "flat/a.png")
    assert set(StaticDataset(static_root / "flat", image_size=CANVAS)[0]["masks"].unique().tolist()) == {0, 255}


def test_a_bright_grey_mask_is_the_object_from_one_half_on(tmp_path):
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / "a.png")
    assert (read_static_mask(tmp_path / "a.png") > 127).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("kind", ["grey", "palette", "two bits", "one bit"])
def test_masks_of_0_and_1_hold_the_object(tmp_path, kind):
    mask = np.array([[0, 1, 1, 0]], np.uint8)
    picture = Image.fromarray(mask * 255 if kind == "one bit" else mask)
    if kind in ("palette", "two bits"):
        picture.putpalette([0, 0, 0, 90, 0, 0])
    picture.convert("1" if kind == "one bit" else picture.mode).save(tmp_path / "a.png")
    assert (read_static_mask(tmp_path / "a.png") > 127).tolist() == [[False, True, True, False]]


def test_a_mask_without_object_is_refused(static_root):
    Image.fromarray(np.zeros((60, 80), np.uint8)).save(static_root / "flat/a.png")
    with pytest.raises(InputError, match=r"a\.png shows no object"):
        StaticDataset(static_root / "flat", image_size=CANVAS)[0]


def test_a_set_whose_masks_are_all_empty_is_refused(static_root):
    for path in (static_root / "flat").glob("*.png"):
        Image.fromarray(np.zeros((60, 80), np.uint8)).save(path)
    with pytest.raises(InputError, match=r"no mask of .*flat shows an object"):
        StaticDataset(static_root / "flat")


def test_hidden_files_are_no_pictures_and_capitals_are(static_root):
    folder = static_root / "flat"
    for name in ("._a.jpg", "._a.png"):
        (folder / name).write_bytes(b"mac")
    (folder / "a.jpg").rename(folder / "a.JPG")
    assert [path.name for path in StaticDataset(folder).pictures] == ["a.JPG", "b.jpg"]


def test_views_of_one_picture_differ(static_root):
    sample = StaticDataset(static_root / "flat", image_size=CANVAS)[0]
    for key in ("frames", "masks"):
        first, second, third = sample[key]
        assert not torch.equal(first, second) and not torch.equal(second, third) and not torch.equal(first, third)


def test_static_sets_are_found_and_repeated(tmp_path):
    write_set(tmp_path / "fss/ant", ["1"])
    write_set(tmp_path / "fss/bee", ["1", "2"])
    write_set(tmp_path / "ecssd", ["x"])
    write_set(tmp_path / "BIG_small", ["y"])
    write_set(tmp_path / "HRSOD_small", ["y"])
    write_set(tmp_path / "mine", ["z"])
    write_set(tmp_path / "unmasked", ["x"])
    (tmp_path / "unmasked/x.png").unlink()
    (tmp_path / "empty").mkdir()
    sets = static_datasets(tmp_path, image_size=(16, 16), clip_length=2)
    repeats = {data[i]["name"]: repeats for data, repeats in sets for i in range(len(data))}
    assert repeats == {
        "BIG_small/y": 5, "HRSOD_small/y": 5, "ecssd/x": 1,
        "fss/ant/1": 1, "fss/bee/1": 1, "fss/bee/2": 1, "mine/z": 1,
    }  # fmt: skip


def test_a_picture_without_mask_is_left_out(static_root, caplog):
    (static_root / "flat/b.png").unlink()
    assert len(StaticDataset(static_root / "flat")) == 1
    assert "1 pictures without a .png mask" in caplog.text


def test_a_static_root_without_sets_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        static_datasets(tmp_path / "none")
    with pytest.raises(InputError, match="has no folder"):
        static_datasets(tmp_path)
    with pytest.raises(InputError, match="holds no picture"):
        StaticDataset(tmp_path)
