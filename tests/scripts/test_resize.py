"""Making trees of pictures smaller."""

import sys

import numpy as np
import pytest
from PIL import Image

from datasets.frame_files import read_frame
from datasets.mask_files import read_ids, voc_palette, write_ids
from scripts import resize_length, resize_youtube
from util.errors import InputError

SMALL_SIZE = (853, 480)


def run(monkeypatch, script, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    script.main()


def write_frame(path, width=1280, height=720):
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()).save(path)


def write_mask(path, width=1280, height=720, labels=(1, 7)):
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = np.zeros((height, width), np.uint8)
    ids[: height // 2, : width // 2], ids[height // 2 :, width // 2 :] = labels
    write_ids(path, ids)


@pytest.fixture
def videos(tmp_path):
    root = tmp_path / "train"
    for video, frames in (("a", 3), ("b", 2)):
        for frame in range(frames):
            write_frame(root / f"JPEGImages/{video}/{frame:05d}.jpg")
            write_mask(root / f"Annotations/{video}/{frame:05d}.png")
    return root


def files(root):
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("[!.]*") if path.is_file()}


def test_videos_get_480_rows_and_keep_ids_and_palette(videos, tmp_path, monkeypatch, capsys):
    output = tmp_path / "train_480p"
    run(monkeypatch, resize_youtube, videos, output, "--workers", 1)
    assert files(output).keys() == files(videos).keys()
    frame, mask = Image.open(output / "JPEGImages/a/00000.jpg"), Image.open(output / "Annotations/b/00001.png")
    assert frame.size == mask.size == SMALL_SIZE
    assert (frame.format, mask.format, mask.mode) == ("JPEG", "PNG", "P")
    assert mask.getpalette() == voc_palette().flatten().tolist()
    assert np.unique(np.array(mask)).tolist() == [0, 1, 7]
    assert "wrote 10 pictures" in capsys.readouterr().out


def test_frames_keep_their_colours(videos, tmp_path):
    resize_youtube.resize_youtube(videos, tmp_path / "out", 1)
    small = read_frame(tmp_path / "out/JPEGImages/a/00000.jpg").astype(float)
    assert np.abs(small - np.linspace(0, 255, SMALL_SIZE[0])[None, :, None]).max() < 6


def test_a_portrait_video_gets_480_columns(tmp_path):
    write_frame(tmp_path / "in/JPEGImages/a/0.jpg", 719, 1279)
    write_mask(tmp_path / "in/Annotations/a/0.png", 719, 1279)
    resize_youtube.resize_youtube(tmp_path / "in", tmp_path / "out", 1)
    assert Image.open(tmp_path / "out/JPEGImages/a/0.jpg").size == (480, 1279 * 480 // 719)


def test_small_pictures_are_copied(tmp_path):
    write_frame(tmp_path / "in/JPEGImages/a/0.jpg", 640, 480)
    write_mask(tmp_path / "in/Annotations/a/0.png", 320, 240)
    resize_youtube.resize_youtube(tmp_path / "in", tmp_path / "out", 1)
    for name in ("JPEGImages/a/0.jpg", "Annotations/a/0.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()


@pytest.mark.parametrize("width", [320, 1280])
def test_frames_of_other_formats_become_jpeg(tmp_path, width):
    write_frame(tmp_path / "in/JPEGImages/a/0.png", width, 720)
    write_mask(tmp_path / "in/Annotations/a/0.png", width, 720)
    resize_youtube.resize_youtube(tmp_path / "in", tmp_path / "out", 1)
    assert Image.open(tmp_path / "out/JPEGImages/a/0.jpg").format == "JPEG"


def test_several_processes_write_the_same_files(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(resize_youtube, "JOBS_PER_TASK", 5)
    for workers in (1, 2):
        resize_youtube.resize_youtube(videos, tmp_path / str(workers), workers)
    for name in files(videos):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_an_interrupted_run_goes_on_with_what_is_missing(videos, tmp_path, monkeypatch):
    output, resize_picture, done = tmp_path / "out", resize_youtube.resize_picture, []

    def interrupted(job):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(job)
        resize_picture(job)

    monkeypatch.setattr(resize_youtube, "resize_picture", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resize_youtube.resize_youtube(videos, output, 1)
    before = files(output)
    assert len(before) == 4
    monkeypatch.setattr(resize_youtube, "resize_picture", resize_picture)
    assert resize_youtube.resize_youtube(videos, output, 1) == 6
    after = files(output)
    assert after.keys() == files(videos).keys()
    assert all(after[name] == time for name, time in before.items())
    assert resize_youtube.resize_youtube(videos, output, 1) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_picture_that_cannot_be_read_is_named_and_leaves_no_output(videos, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(resize_youtube, "JOBS_PER_TASK", 5)
    path = videos / "JPEGImages/b/00001.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match=r"b/00001\.jpg cannot be read"):
        resize_youtube.resize_youtube(videos, tmp_path / "out", workers)
    assert not (tmp_path / "out/JPEGImages/b/00001.jpg").exists()
    assert not list(tmp_path.rglob("*.tmp"))


def test_pictures_and_masks_of_one_folder_become_means_over_areas(tmp_path, monkeypatch):
    folder = tmp_path / "BIG"
    write_frame(folder / "some name.jpg", 800, 768)
    checks = np.kron(np.indices((384, 500)).sum(axis=0) % 2, [[255, 255], [255, 0]]).astype(np.uint8)
    Image.fromarray(checks).save(folder / "some name.png")
    write_mask(folder / "palette.png", 1000, 768)
    run(monkeypatch, resize_length, folder, tmp_path / "out")
    assert Image.open(tmp_path / "out/some name.jpg").size == (400, 384)
    mean = read_ids(tmp_path / "out/some name.png")
    assert mean.shape == (384, 500) and set(np.unique(mean)) == {0, 191}
    assert np.unique(read_ids(tmp_path / "out/palette.png")).tolist() == [0, 1, 7]


def test_the_folder_of_the_large_pictures_is_refused_as_output(videos):
    with pytest.raises(InputError, match="choose another one for the small ones"):
        resize_youtube.resize_youtube(videos, videos, 1)


def test_a_folder_of_another_layout_is_refused(videos, tmp_path):
    with pytest.raises(InputError, match="has no folder JPEGImages"):
        resize_youtube.resize_youtube(videos / "JPEGImages", tmp_path / "out", 1)
    with pytest.raises(InputError, match="does not exist"):
        resize_length.resize_folder(videos / "nowhere", tmp_path / "out", 1)


@pytest.mark.parametrize("place", [".", "JPEGImages/small", ".."])
def test_an_output_that_meets_the_input_is_refused(videos, monkeypatch, place):
    before = files(videos.parent)
    with pytest.raises(InputError, match="is, holds or lies in the folder of the large pictures"):
        run(monkeypatch, resize_youtube, videos, videos / place, "--workers", 1)
    assert files(videos.parent) == before


def test_an_output_that_is_a_link_to_itself_is_reported(videos, tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"loop.* is not writable"):
        run(monkeypatch, resize_youtube, videos, tmp_path / "loop", "--workers", 1)
