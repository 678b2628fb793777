"""Test sets of boxes: where their files lie, which videos there are, and what does not fit."""

import logging

import numpy as np
import pytest
from PIL import Image

from datasets.boxes.dataset import BoxDataset
from datasets.boxes.trees import BOX_SETS, open_tree, open_video
from util.errors import InputError
from util.files import write_text

ROW = "4,5,6,7\n"


def frames(folder, count=3, form="{:04}.jpg", first=1):
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        Image.fromarray(np.full((16, 24, 3), number % 250, np.uint8)).save(folder / form.format(number))


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


def numbers_of(tree, name):
    """The numbers in the names of a video's frames."""
    return [int(frame) for frame in tree.source(name).names]


def test_lasot_ext_has_ten_videos_of_fifteen_classes(root):
    listed = [f"{name}-{n}" for name in ("atv", "wingsuit") for n in (1, 10)]
    for name in listed:
        frames(root / name.split("-")[0] / name / "img", form="{:08}.jpg")
        write_text(root / name.split("-")[0] / name / "groundtruth.txt", ROW * 3)
        for flags in ("full_occlusion", "out_of_view"):
            write_text(root / name.split("-")[0] / name / f"{flags}.txt", "0,1,0\n")
    with pytest.raises(InputError, match=r"video atv-2 .* has no"):
        open_tree("lasot_ext", root)
    tree = open_tree("lasot_ext", root, only=["atv-1", "wingsuit-10"])
    assert tree.names == ["atv-1", "wingsuit-10"]
    assert tree.visible("atv-1", 3).tolist() == [True, False, True]


def test_trackingnet(root):
    frames(root / "TEST/frames/b_1", count=12, form="{}.jpg", first=0)
    frames(root / "TEST/frames/a_1", form="{}.jpg", first=0)
    for name in ("a_1", "b_1"):
        write_text(root / f"TEST/anno/{name}.txt", ROW)
    tree = open_tree("trackingnet", root)
    assert tree.names == ["a_1", "b_1"] and not tree.has_truth
    assert numbers_of(tree, "b_1") == list(range(12))
    assert BoxDataset(tree).boxes["a_1"] == (4, 5, 6, 7)


def test_tnl2k(root):
    frames(root / "advSamp_Baseball_game/imgs", form="{:05}.png")
    write_text(root / "advSamp_Baseball_game/groundtruth.txt", ROW * 3)
    write_text(root / "advSamp_Baseball_game/language.txt", "the white cap\n")
    tree = open_tree("tnl2k", root)
    assert tree.names == ["advSamp_Baseball_game"] and numbers_of(tree, tree.names[0]) == [1, 2, 3]
    assert tree.visible(tree.names[0], 3).all()


def test_otb_has_several_objects_and_parts_of_videos(root, caplog):
    frames(root / "Jogging/img")
    frames(root / "Human4/img")
    frames(root / "David/img", count=305)
    write_text(root / "Jogging/groundtruth_rect.1.txt", ROW * 3)
    write_text(root / "Jogging/groundtruth_rect.2.txt", "9\t8\t7\t6\n" * 3)
    write_text(root / "Human4/groundtruth_rect.1.txt", "")
    write_text(root / "Human4/groundtruth_rect.2.txt", ROW * 3)
    write_text(root / "David/groundtruth_rect.txt", ROW * 4)
    with caplog.at_level(logging.WARNING):
        tree = open_tree("otb", root)
    assert "4 videos, of 100" in caplog.text
    assert tree.names == ["David", "Human4_2", "Jogging_1", "Jogging_2"]
    assert numbers_of(tree, "David") == [300, 301, 302, 303]
    assert BoxDataset(tree).boxes["Jogging_2"] == (9, 8, 7, 6)


def test_uav123_has_parts_of_videos(root):
    frames(root / "data_seq/UAV123/bird1", count=780, form="{:06}.jpg")
    frames(root / "data_seq/UAV123/car1_s", form="{:06}.jpg")
    write_text(root / "anno/UAV123/bird1_2.txt", "NaN,NaN,NaN,NaN\n".join([ROW, ROW * 2]))
    write_text(root / "anno/UAV123/car1_s.txt", ROW * 3)
    tree = open_tree("uav123", root)
    assert tree.names == ["bird1_2", "car1_s"]
    assert numbers_of(tree, "bird1_2") == [775, 776, 777, 778]
    assert numbers_of(tree, "car1_s") == [1, 2, 3]
    assert set(BoxDataset(tree).boxes) == {"bird1_2", "car1_s"}


def test_frames_that_do_not_fit_the_boxes_are_named(root):
    frames(root / "Deer/img", count=4)
    write_text(root / "Deer/groundtruth_rect.txt", ROW * 3)
    with pytest.raises(InputError, match=r"groundtruth_rect.txt has 3 rows but .*img 4 frames"):
        BoxDataset(open_tree("otb", root))
    frames(root / "data_seq/UAV123/bird1", form="{:06}.jpg")
    write_text(root / "anno/UAV123/bird1_2.txt", ROW)
    with pytest.raises(InputError, match="bird1 has 3 frames, and none in 774"):
        BoxDataset(open_tree("uav123", root))


@pytest.mark.parametrize("kind", sorted(set(BOX_SETS) - {"lasot", "lasot_ext"}))
def test_a_root_without_the_set_is_named(root, kind):
    root.mkdir()
    with pytest.raises(InputError, match=f"check the root of {kind}"):
        open_tree(kind, root)


def test_a_list_chooses_videos_of_any_set(root, tmp_path):
    for name in ("Deer", "Car"):
        frames(root / name / "img")
        write_text(root / name / "groundtruth_rect.txt", ROW * 3)
    write_text(tmp_path / "list.txt", "Deer\n")
    assert open_tree("otb", root, tmp_path / "list.txt").names == ["Deer"]
    assert open_tree("otb", root, only=["Car"]).names == ["Car"]
    with pytest.raises(InputError, match="Wolf"):
        open_tree("otb", root, only=["Wolf"])


def test_a_single_video(root):
    frames(root / "mine")
    tree = open_video(root / "mine", (1.0, 2.0, 3.0, 4.0))
    dataset = BoxDataset(tree)
    assert dataset.boxes == {"mine": (1, 2, 3, 4)} and len(dataset.videos[0].source.names) == 3
    frames(root / "other")
    with pytest.raises(InputError, match="several videos"):
        open_video(root, (1.0, 2.0, 3.0, 4.0))
