"""The benchmark of reading and writing measures what it says."""

import argparse

import numpy as np
import pytest

from datasets import mask_files
from datasets.test import annotated_video
from evaluation import segment
from model.weights.checkpoint import save_checkpoint
from scripts.bench import files
from tests.helpers.weight_files import checkpoint_of, small_network
from util.errors import InputError
from util.progress import Progress

IDS = np.repeat(np.arange(4, dtype=np.uint8), 600).reshape(40, 60)


@pytest.fixture
def arguments():
    return argparse.Namespace(
        frames=3, objects=2, size=[40, 60], device="cpu", network=False, model=None, warmup=0, repeats=1
    )


def test_every_setting_has_a_row_of_equal_masks(arguments, tmp_path, capsys):
    arguments.network, arguments.model = True, tmp_path / "small.pth"
    save_checkpoint(arguments.model, checkpoint_of(small_network()))
    files.run(arguments)
    lines = capsys.readouterr().out.splitlines()
    for title in ("files alone", "small.pth"):
        (start,) = (number for number, line in enumerate(lines) if line.startswith(title))
        rows = lines[start + 1 : start + 3 + len(files.REPLACED)]
        assert [row[:34].strip() for row in rows] == ["all on", "plain", *(f"without {k}" for k in files.REPLACED)]
        assert all(row.endswith("  equal") for row in rows)
        assert all(float(cell) > 0 for row in rows for cell in row[34:].split()[:-1])


@pytest.mark.parametrize("setting", files.SETTINGS)
def test_the_masks_are_those_of_the_stand_in(arguments, setting, tmp_path):
    video, truth = files.make_video(tmp_path, arguments)
    segmenter = files.make_segmenters(arguments, video, truth)["files alone"]
    with Progress(0) as progress:
        run = files.segment(video, segmenter, files.SETTINGS[setting], progress)
    assert set(np.unique(truth[0])) == {0, 1, 2}
    np.testing.assert_array_equal(run.ids, truth)


def test_a_table_tells_masks_that_differ(capsys):
    ids = np.stack([IDS, IDS])
    other = np.where(ids == 3, 0, ids)
    files.print_table("t", {name: files.Run(1, 1, 1, 1, k) for name, k in {"all on": ids, "plain": other}.items()})
    assert capsys.readouterr().out.splitlines()[-1].endswith("33.333% of the object pixels differ")


def test_a_mask_is_on_disk_when_the_plain_writer_returns(tmp_path):
    with files.without(files.REPLACED), segment.PngWriter(mask_files.write_ids) as writer:
        for number in range(3):
            path = tmp_path / f"{number}.png"
            writer.write(path, IDS + number)
            np.testing.assert_array_equal(mask_files.read_ids(path), IDS + number)


def test_plain_reading_reads_no_frame_before_it_is_asked_for(arguments, tmp_path):
    video, _ = files.make_video(tmp_path, arguments)
    with files.without(["frames read ahead"]):
        frames = video.frames(video.covered)
    next(frames)
    for path in tmp_path.glob("JPEGImages/*/*.jpg"):
        path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        next(frames)


def test_plain_compression_takes_fewer_bytes_and_decodes_to_the_same_ids(tmp_path):
    ids = np.random.default_rng(0).integers(0, 3, (20, 30), np.uint8).repeat(8, 0).repeat(8, 1)
    mask_files.write_ids(tmp_path / "fast.png", ids)
    with files.without(["fast PNG compression"]):
        mask_files.write_ids(tmp_path / "plain.png", ids)
    np.testing.assert_array_equal(mask_files.read_ids(tmp_path / "plain.png"), ids)
    assert (tmp_path / "plain.png").stat().st_size < (tmp_path / "fast.png").stat().st_size


def test_what_was_replaced_comes_back():
    save, read_ahead, writer = mask_files._save_png, annotated_video.read_ahead, segment.PngWriter
    with files.without(files.REPLACED):
        assert mask_files._save_png is files.save_png
        assert segment.PngWriter is files.blocking_writer
        assert annotated_video.read_ahead is files.read_when_asked
    assert mask_files._save_png is save
    assert segment.PngWriter is writer
    assert annotated_video.read_ahead is read_ahead
