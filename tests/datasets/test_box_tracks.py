"""Training sets of boxes: what is read from each layout, and what is refused."""

import json
import zlib

import numpy as np
import pytest

from datasets.boxes.tracks import GOT10K_SPLIT, got10k_videos, lasot_training_videos, open_tracks
from tests.helpers.deterministic import FIXTURES
from tests.helpers.pictures import boxes, write_pair
from util.errors import InputError

PUBLISHED = json.loads((FIXTURES / "droptrack_trees.json").read_text())
ROOTS = {"LASOT": "lasot", "GOT10K_train_full": "got10k", "TRACKINGNET": "trackingnet", "COCO17": "coco"}


@pytest.fixture
def trees(tmp_path):
    for name, text in PUBLISHED["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "coco/train2017").mkdir()
    return tmp_path


def opened(trees, name, **options):
    return open_tracks(name, trees / ROOTS[name], **options)


@pytest.mark.parametrize(
    ("kind", "video", "frame"),
    [
        ("LASOT", "lasot/airplane-10", "lasot/airplane/airplane-10/img/00000001.jpg"),
        ("GOT10K_train_full", "got10k/GOT-10k_Train_000001", "got10k/train/GOT-10k_Train_000001/00000001.jpg"),
        ("GOT10K_train_full", "got10k/GOT-10k_Train_000002", "got10k/train/GOT-10k_Train_000002/00000001.jpg"),
        ("TRACKINGNET", "trackingnet/abc_0", "trackingnet/TRAIN_0/frames/abc_0/0.jpg"),
    ],
)
def test_what_is_visible_and_where_frames_lie_is_as_published(trees, kind, video, frame):
    tracks = opened(trees, kind)
    (track,) = tracks[tracks.names.index(video.rpartition("/")[2])]
    assert track.visible.tolist() == [bool(flag) for flag in PUBLISHED["read"][video]["visible"]]
    assert track.frame(0) == trees / frame
    assert track.boxes[5].tolist() == [14, 20, 30.5, 40.25]


def test_objects_of_coco_are_those_of_no_crowd_in_either_folder(trees):
    tracks = opened(trees, "COCO17")
    expected = PUBLISHED["read"]["coco"]
    assert tracks.ids == expected["sequences"] and not tracks.is_video
    assert [tracks[i][0].boxes[0].tolist() for i in range(len(tracks))] == expected["boxes"]
    assert tracks[0][0].frame(0) == trees / "coco/train2017/000000000001.jpg"
    (trees / "coco/images").mkdir()
    (trees / "coco/train2017").rename(trees / "coco/images/train2017")
    assert opened(trees, "COCO17")[0][0].frame(0) == trees / "coco/images/train2017/000000000001.jpg"


def test_small_boxes_may_count_as_not_visible(trees):
    tracks = opened(trees, "COCO17", least_side=3)
    assert [tracks[i][0].visible.tolist() for i in (0, 1)] == [[True], [False]]
    assert opened(trees, "LASOT", least_side=3)[0][0].visible.tolist() == [True, *[False] * 4, True, False, False]


def test_lasot_learns_from_all_but_its_test_videos():
    names = lasot_training_videos()
    assert len(names) == len(set(names)) == PUBLISHED["read"]["lasot/airplane-10"]["sequences"]
    assert "airplane-2" in names and "airplane-1" not in names


def test_the_split_of_got10k_is_the_published_one(tmp_path):
    with np.load(GOT10K_SPLIT) as file:
        kinds = file["vot"]
    assert np.bincount(kinds).tolist() == [1000, 7086, 1249]
    assert zlib.crc32(kinds.tobytes()) == 579526143
    (tmp_path / "list.txt").write_text("".join(f"GOT-10k_Train_{i:06}\n" for i in range(1, 9336)))
    splits = {split: got10k_videos(tmp_path / "list.txt", split) for split in ("vottrain", "votval", "train_full")}
    assert {split: len(names) for split, names in splits.items()} == {
        "vottrain": 7086,
        "votval": 1249,
        "train_full": 9335,
    }
    assert not set(splits["vottrain"]) & set(splits["votval"])
    assert splits["votval"][0] == f"GOT-10k_Train_{int(np.argmax(kinds == 2)) + 1:06}"


def test_a_split_of_another_list_is_refused(trees):
    with pytest.raises(InputError, match="names 2 videos but GOT10K_vottrain is a split of 9335; fetch all"):
        open_tracks("GOT10K_vottrain", trees / "got10k")


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("LASOT", "lasot/airplane/airplane-10/full_occlusion.txt"),
        ("GOT10K_train_full", "got10k/train/GOT-10k_Train_000002/absence.label"),
        ("GOT10K_train_full", "got10k/train/list.txt"),
        ("COCO17", "coco/annotations/instances_train2017.json"),
    ],
)
def test_a_missing_file_of_annotations_is_named(trees, kind, file):
    (trees / file).unlink()
    with pytest.raises(InputError, match=f"{file} does not exist"):
        opened(trees, kind)


@pytest.mark.parametrize("text", ["", '{"images": [{"id": 1, "file_na', '{"images": [', "[" * 100_000])
def test_annotations_of_coco_that_are_cut_off_are_named(trees, text):
    (trees / "coco/annotations/instances_train2017.json").write_text(text)
    with pytest.raises(InputError, match=r"instances_train2017\.json is cut off or no JSON .* fetch it again"):
        opened(trees, "COCO17")


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"images": []},
        {"images": [], "annotations": [{"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4]}]},
        {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [{"id": 1, "image_id": 7, "bbox": [1, 2]}]},
        {"images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [{"id": 1, "image_id": 7, "bbox": "1,2"}]},
    ],
)
def test_other_json_than_instances_is_refused(trees, content):
    (trees / "coco/annotations/instances_train2017.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="holds no instances of COCO"):
        opened(trees, "COCO17")


def test_annotations_of_another_length_are_refused(trees):
    path = trees / "got10k/train/GOT-10k_Train_000001/cover.label"
    path.write_text("8\n8\n")
    with pytest.raises(InputError, match=r"cover\.label has 2 numbers but there are 8 boxes"):
        opened(trees, "GOT10K_train_full")[0]


@pytest.mark.parametrize("kind", [*ROOTS, "TNL2K", "DAVIS_2016", "DAVIS_2017", "YOUTUBE", "MASKS", "STATIC"])
def test_a_tree_of_another_layout_is_refused(tmp_path, kind):
    (tmp_path / "videos/a").mkdir(parents=True)
    with pytest.raises(InputError, match=rf"{tmp_path}.*check the root.* of {kind}"):
        open_tracks(kind, tmp_path)
    with pytest.raises(InputError, match=f"nowhere does not exist; check the root of {kind}"):
        open_tracks(kind, tmp_path / "nowhere")


def test_missing_videos_are_left_out_and_counted(trees, caplog):
    (trees / "got10k/train/list.txt").write_text("GOT-10k_Train_000001\nGOT-10k_Train_000009\n")
    assert opened(trees, "GOT10K_train_full").names == ["GOT-10k_Train_000001"]
    assert "1 of 2 videos are missing: GOT-10k_Train_000009" in caplog.text


def test_tnl2k_takes_frames_in_the_order_of_their_names(tmp_path):
    write_pair(tmp_path / "cat/imgs/a9.jpg", tmp_path / "cat/x.png", boxes(1))
    write_pair(tmp_path / "cat/imgs/a10.jpg", tmp_path / "cat/x.png", boxes(1))
    (tmp_path / "cat/groundtruth.txt").write_text("1,2,3,4\n0,0,0,0\n1,2,3,4\n")
    (track,) = open_tracks("TNL2K", tmp_path)[0]
    assert track.visible.tolist() == [True, False, True]
    assert [track.frame(i).name for i in (0, 1)] == ["a9.jpg", "a10.jpg"]
    with pytest.raises(InputError, match="more boxes than there are frames"):
        track.frame(2)


def write_masks(root, videos=("ball", "cube"), frames=3):
    for video in videos:
        for i in range(frames):
            ids = boxes(1, 2) if i else boxes(1, 255)
            write_pair(root / f"JPEGImages/480p/{video}/{i:05}.jpg", root / f"Annotations/480p/{video}/{i:05}.png", ids)


def test_every_object_of_masks_is_a_track(tmp_path):
    write_masks(tmp_path)
    tracks = open_tracks("MASKS", tmp_path)
    assert len(tracks) == 2
    first, second = tracks[1]
    assert (first.name, second.name) == ("cube/1", "cube/2")
    assert first.boxes.tolist() == [[8, 10, 22, 40]] * 3 and first.visible.all()
    assert second.visible.tolist() == [False, True, True]  # 255 is void beside other ids
    assert second.frame(2) == tmp_path / "JPEGImages/480p/cube/00002.jpg"


def test_davis_learns_from_its_list_alone(tmp_path):
    write_masks(tmp_path / "2016")
    with pytest.raises(InputError, match=r"train\.txt does not exist, so that videos of other splits might be learned"):
        open_tracks("DAVIS_2016", tmp_path)
    (tmp_path / "2016/ImageSets/480p").mkdir(parents=True)
    line = "/JPEGImages/480p/ball/00000.jpg /Annotations/480p/ball/00000.png\n"
    (tmp_path / "2016/ImageSets/480p/train.txt").write_text(line)
    assert open_tracks("DAVIS_2016", tmp_path).names == ["ball"]
    with pytest.raises(InputError, match="video cube is not among the training videos of DAVIS_2016"):
        open_tracks("DAVIS_2016", tmp_path, {"cube"})


def test_youtube_is_found_in_its_train_folder(tmp_path):
    write_masks(tmp_path / "train")
    assert open_tracks("YOUTUBE", tmp_path, {"cube"}).names == ["cube"]


def test_masks_of_another_size_are_refused(tmp_path):
    write_masks(tmp_path)
    write_pair(tmp_path / "JPEGImages/480p/ball/00000.jpg", tmp_path / "x.png", boxes(1, shape=(90, 90)))
    with pytest.raises(InputError, match="but its frame is 90x90"):
        open_tracks("MASKS", tmp_path, {"ball"})[0]


def test_pictures_with_masks_show_one_object_or_several(tmp_path):
    write_pair(tmp_path / "ecssd/a.jpg", tmp_path / "ecssd/a.png", boxes(255))
    write_pair(tmp_path / "people/b.jpg", tmp_path / "people/b.png", boxes(3, 7))
    tracks = open_tracks("STATIC", tmp_path)
    assert [len(tracks[i]) for i in range(2)] == [1, 2] and not tracks.is_video
    assert [track.boxes[0].tolist() for track in tracks[1]] == [[8, 10, 22, 40], [34, 10, 22, 40]]
    assert len(open_tracks("STATIC", tmp_path, {"b"})) == 1
