"""Exports: what other programs read equals the session's masks."""

import json

import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids
from datasets.run_lengths import encode_mask
from datasets.test.davis_test_dataset import DavisTestDataset
from datasets.test.video_file import VideoFile
from interactive.exports import SUFFIXES, export
from model.interactive import Click
from tests.helpers.interactive_sessions import open_session, still_frames
from util.errors import InputError

COUNT = 4
PACKED = "m0450000000LM23b0"  # by pycocotools, of the mask in the test


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    session = open_session(still_frames(folder / "frames", COUNT), folder / "session")
    for x in (16, 48):
        session.prompt(0, session.add_object(f"thing at {x}"), Click(x, 24))
    list(session.propagate())
    yield session
    session.close()


def write(session, form, folder):
    reports = []
    path = export(session, form, folder, lambda *done: reports.append(done))
    assert reports == [(number, COUNT) for number in range(1, COUNT + 1)]
    return path


def test_masks_are_pngs_of_ids(session, tmp_path):
    folder = write(session, "masks", tmp_path)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        assert (read_ids(path) == session.mask(index)).all() and Image.open(path).mode == "P"
        assert set(Image.open(path).info) <= {"transparency"}
    assert index == COUNT - 1


def test_the_davis_tree_is_read_by_the_benchmark(session, tmp_path):
    (video,) = DavisTestDataset.davis_2017(write(session, "davis", tmp_path)).videos
    assert video.name == "still" and video.objects == (1, 2) and len(video.source.names) == COUNT
    assert (video.read_mask(video.masks[0]) == session.mask(0)).all()


def test_the_youtube_tree_names_the_objects_and_their_frames(session, tmp_path):
    root = write(session, "youtube", tmp_path) / "train_480p"
    objects = json.loads((root / "meta.json").read_text())["videos"]["still"]["objects"]
    assert objects["2"] == {"category": "thing at 48", "frames": list(session.source.names)}
    assert (read_ids(root / "Annotations/still/00003.png") == session.mask(3)).all()
    assert len(list((root / "JPEGImages/still").glob("*.jpg"))) == COUNT


def test_the_overlay_shows_all_frames(session, tmp_path):
    video = VideoFile(write(session, "overlay", tmp_path))
    assert len(video) == COUNT and video.size == session.source.size
    frame = next(video.items(0, 1)).astype(int)
    assert np.abs(frame[24, 16] - session.frame(0)[24, 16]).max() > 15
    assert np.abs(frame[2, 32] - session.frame(0)[2, 32]).max() < 15


def unpack(counts):
    """The run lengths that COCO's own reader makes of packed counts, written anew from its format."""
    lengths, place = [], 0
    while place < len(counts):
        value, shift, more = 0, 0, True
        while more:
            code = ord(counts[place]) - 48
            value |= (code & 0x1F) << shift
            shift, more, place = shift + 5, bool(code & 0x20), place + 1
            if not more and code & 0x10:
                value |= -1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
    return lengths


def decode(counts, size):
    lengths = unpack(counts)
    flat = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return flat.reshape(size[::-1]).T


def test_coco_holds_the_masks(session, tmp_path):
    content = json.loads(write(session, "coco", tmp_path).read_text())
    assert len(content["images"]) == COUNT and content["categories"][0]["name"] == "thing at 16"
    assert len(content["annotations"]) == 2 * COUNT
    for entry in content["annotations"]:
        mask = session.mask(entry["image_id"] - 1) == entry["category_id"]
        assert (decode(entry["segmentation"]["counts"], entry["segmentation"]["size"]) == mask).all()
        x, y, width, height = entry["bbox"]
        assert entry["area"] == mask.sum() == mask[y : y + height, x : x + width].sum()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_tell_any_mask(share):
    mask = np.random.default_rng(0).random((37, 53)) < share
    lengths = unpack(encode_mask(mask))
    assert sum(lengths) == mask.size and min(lengths[1:], default=1) > 0
    assert (decode(encode_mask(mask), mask.shape) == mask).all()


def test_counts_are_packed_as_by_pycocotools():
    mask = np.zeros((9, 11), bool)
    mask[2:6, 3:9] = True
    mask[7, 7] = True
    assert encode_mask(mask) == PACKED


def test_frames_without_a_mask_are_left_out(tmp_path):
    session = open_session(still_frames(tmp_path / "frames", 3), tmp_path / "session")
    with pytest.raises(InputError, match="no frame has a mask"):
        export(session, "masks", tmp_path / "export", lambda *done: None)
    session.prompt(1, session.add_object(), Click(16, 24))
    folder = export(session, "masks", tmp_path / "export", lambda *done: None)
    assert [path.name for path in folder.iterdir()] == ["00001.png"]
    session.close()


@pytest.mark.parametrize("form", SUFFIXES)
def test_an_export_that_ends_early_leaves_what_was_there(session, tmp_path, form):
    folder = tmp_path / "export"
    path = export(session, form, folder, lambda *done: None)
    before = sorted(p.name for p in folder.rglob("*"))

    def full(done, total):
        if done == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export(session, form, folder, full)
    with pytest.raises(InputError, match="stopped"):
        export(session, form, folder, lambda *done: None, lambda: True)
    assert sorted(p.name for p in folder.rglob("*")) == before and path.exists()
