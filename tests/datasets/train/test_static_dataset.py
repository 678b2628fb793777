"""Clips made of one picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.mask_files import brightness_of_object, write_ids
from datasets.train.static_dataset import StaticDataset, draw_objects, static_datasets
from tests.helpers.pictures import CANVAS, boxes, same, write_pair, write_set
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
    assert (brightness_of_object(tmp_path / "a.png") > 127).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("kind", ["grey", "palette", "two bits", "one bit"])
def test_masks_of_0_and_1_hold_the_object(tmp_path, kind):
    mask = np.array([[0, 1, 1, 0]], np.uint8)
    picture = Image.fromarray(mask * 255 if kind == "one bit" else mask)
    if kind in ("palette", "two bits"):
        picture.putpalette([0, 0, 0, 90, 0, 0])
    picture.convert("1" if kind == "one bit" else picture.mode).save(tmp_path / "a.png")
    assert (brightness_of_object(tmp_path / "a.png") > 127).tolist() == [[False, True, True, False]]


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


@pytest.fixture
def parts(tmp_path):
    """A set of one picture with the ids 1, 2 and 7, and one of a single id."""
    write_pair(tmp_path / "parts/a.jpg", tmp_path / "parts/a.png", boxes(1, 2, 7))
    write_pair(tmp_path / "parts/b.jpg", tmp_path / "parts/b.png", boxes(3))
    return tmp_path / "parts"


def seeded(dataset, index, seed):
    torch.manual_seed(seed)
    return dataset[index]


def test_objects_are_parts_and_unions_of_parts_without_overlap():
    torch.manual_seed(0)
    seen = [draw_objects([1, 2, 7], 2) for _ in range(600)]
    for objects in seen:
        used = [part for group in objects for part in group]
        assert all(objects) and len(set(used)) == len(used) and set(used) <= {1, 2, 7}
    counts = np.bincount([len(objects) for objects in seen])
    assert counts[0] == 0 and abs(counts[1] - counts[2]) < 100
    groups = {frozenset(group) for objects in seen for group in objects}
    assert len(groups) == 7  # every id and every union of ids
    assert max(len(draw_objects([1, 2, 7], 9)) for _ in range(60)) == 3
    assert draw_objects([5], 4) == [[5]] and draw_objects([], 4) == []


def test_several_ids_give_several_objects_and_one_id_gives_one(parts):
    dataset = StaticDataset(parts, image_size=CANVAS, num_objects=3)
    assert dataset.several == {0}
    numbers = set()
    for seed in range(20):
        sample = seeded(dataset, 0, seed)
        masks, selector = sample["masks"] > 127, sample["selector"]
        assert masks.shape == (3, 3, *CANVAS) and masks.sum(1).max() <= 1
        number = int(selector.sum())
        assert selector.tolist() == [1.0] * number + [0.0] * (3 - number)
        assert masks[0, :number].flatten(1).any(1).all() and not masks[:, number:].any()
        numbers.add(number)
    assert numbers == {1, 2, 3}
    assert same(seeded(dataset, 0, 4), seeded(dataset, 0, 4))
    single = seeded(dataset, 1, 0)
    assert single["selector"].tolist() == [1, 0, 0]
    assert torch.equal(single["masks"][:, :1], seeded(StaticDataset(parts, image_size=CANVAS), 1, 0)["masks"])
    assert not single["masks"][:, 1:].any()


def test_with_one_object_all_ids_are_one(parts):
    dataset = StaticDataset(parts, image_size=CANVAS, num_objects=1)
    before = seeded(dataset, 0, 3)
    write_ids(parts / "a.png", (boxes(1, 2, 7) > 0).astype(np.uint8))
    assert not dataset.several and before["selector"].tolist() == [1]
    assert same(before, seeded(StaticDataset(parts, image_size=CANVAS), 0, 3))


def test_parts_are_soft_on_request(parts):
    masks = seeded(StaticDataset(parts, image_size=CANVAS, num_objects=2, soft_masks=True), 0, 0)["masks"]
    assert len(masks.unique()) > 2


def test_void_is_no_object(parts):
    ids = boxes(1, 2, 255)
    write_ids(parts / "a.png", ids)
    dataset = StaticDataset(parts, image_size=CANVAS, num_objects=3)
    assert max(int(seeded(dataset, 0, seed)["selector"].sum()) for seed in range(12)) == 2


def grey_set(folder, *masks):
    for number, mask in enumerate(masks):
        write_pair(folder / f"{number}.jpg", folder / f"{number}.png", boxes(1))
        Image.fromarray(mask).save(folder / f"{number}.png")
    return StaticDataset(folder, image_size=CANVAS, num_objects=2)


def test_grey_masks_hold_ids_only_where_none_of_the_set_is_bright(tmp_path):
    assert grey_set(tmp_path / "ids", boxes(1, 2), boxes(1, 3)).several == {0, 1}
    assert not grey_set(tmp_path / "bright", boxes(1, 2), boxes(255)).several
    assert not grey_set(tmp_path / "dark", boxes(90), boxes(90)).several


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("kind", ["smoothed", "shaded"])
def test_smoothed_and_shaded_masks_are_one_object(tmp_path, kind, palette):
    smoothed = np.array(Image.fromarray(boxes(120)).resize((40, 30), Image.Resampling.BOX).resize((80, 60)))
    mask = smoothed if kind == "smoothed" else np.tile(np.arange(80, dtype=np.uint8), (60, 1))
    dataset = grey_set(tmp_path / "set", mask)
    if palette:
        (tmp_path / "set/0.png").unlink()
        write_ids(tmp_path / "set/0.png", mask)
        dataset = StaticDataset(tmp_path / "set", image_size=CANVAS, num_objects=2)
    assert not dataset.several


def test_sets_have_planes_for_several_objects_where_any_mask_holds_them(parts):
    write_set(parts.parent / "ecssd", ["x"])
    options = {"image_size": CANVAS, "num_objects": 2}
    assert [data[0]["masks"].shape[1] for data, _ in static_datasets(parts.parent, **options)] == [2, 2]
    (parts / "a.jpg").unlink()
    assert [data[0]["masks"].shape[1] for data, _ in static_datasets(parts.parent, **options)] == [1, 1]


def test_an_unreadable_mask_is_left_to_the_sample(parts):
    (parts / "a.png").write_bytes(b"broken")
    dataset = StaticDataset(parts, image_size=CANVAS, num_objects=2)
    with pytest.raises(InputError, match=r"a\.png"):
        dataset[0]
