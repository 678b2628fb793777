"""eval_generic.py from the command line to the files, with a core that needs no network."""

import csv

import av
import numpy as np
import pytest
from PIL import Image

from datasets.mask_files import read_ids, write_ids
from tests.helpers.davis_trees import make_mask, write_frames
from tests.helpers.generic_runs import MASK, NAMES, SIZE, SeenCore, evaluate
from tests.helpers.result_files import shown

OTHER = np.roll(make_mask(objects=(9,)), 30, axis=1)


def written(output, video="clip"):
    return {path.stem: read_ids(path) for path in (output / video).iterdir()}


def order(notes):
    return [brightness for brightness, _ in notes]


# Where frames come from


def test_a_folder_of_pictures_is_a_video(frames, mask, output):
    evaluate(frames, output, "--masks", mask)
    results = written(output)
    assert sorted(results) == sorted(NAMES)
    assert all((ids == MASK).all() for ids in results.values())


def make_movie(path, count=6):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "bgr0"
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 10 * index, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_file_is_a_video(tmp_path, mask, output):
    evaluate(make_movie(tmp_path / "film.mkv"), output, "--masks", mask)
    assert sorted(written(output, "film")) == [f"{number:05d}" for number in range(6)]
    assert order(SeenCore.passes[0]) == list(range(6))


def test_a_folder_of_videos_takes_each_with_its_own_masks(tmp_path, output):
    write_frames(tmp_path / "videos/b", NAMES)
    make_movie(tmp_path / "videos/a.mkv")
    (tmp_path / "masks/b").mkdir(parents=True)
    write_ids(tmp_path / "masks/b/shot8.png", MASK)
    write_ids(tmp_path / "masks/a.png", OTHER)
    evaluate(tmp_path / "videos", output, "--masks", tmp_path / "masks")
    assert (written(output, "b")["shot13"] == MASK).all()
    assert (written(output, "a")["00005"] == OTHER).all()


def test_a_tree_of_jpegimages_and_annotations_needs_no_masks_argument(tmp_path, output):
    write_frames(tmp_path / "tree/JPEGImages/dog", NAMES)
    (tmp_path / "tree/Annotations/dog").mkdir(parents=True)
    write_ids(tmp_path / "tree/Annotations/dog/shot8.png", MASK)
    evaluate(tmp_path / "tree", output)
    assert len(written(output, "dog")) == 6


def test_live_video_ends_after_max_frames(mask, output):
    source = f"lavfi:color=c=black:size={SIZE[1]}x{SIZE[0]}:rate=10"
    evaluate(source, output, "--masks", mask, "--max_frames", 7, "--overlay", "mp4", "--quality_csv")
    (folder,) = shown(output)
    assert len(list(folder.iterdir())) == 7


# Which frames the masks belong to


def test_a_mask_named_like_a_frame_belongs_to_it(frames, tmp_path, output):
    write_ids(tmp_path / "shot10.png", MASK)
    evaluate(frames, output, "--masks", tmp_path / "shot10.png")
    assert order(SeenCore.passes[0]) == [2, 3, 4, 5]
    assert sorted(written(output)) == sorted(NAMES[2:])


@pytest.mark.parametrize("start", ["shot11", "3"])
def test_start_says_which_frame_a_mask_belongs_to(frames, mask, output, start):
    evaluate(frames, output, "--masks", mask, "--start", start)
    assert order(SeenCore.passes[0]) == [3, 4, 5]


def test_several_frames_can_have_masks(frames, tmp_path, output):
    (tmp_path / "masks").mkdir()
    write_ids(tmp_path / "masks/shot8.png", MASK)
    write_ids(tmp_path / "masks/shot11.png", OTHER)
    evaluate(frames, output, "--masks", tmp_path / "masks")
    assert [ids for _, ids in SeenCore.passes[0]] == [(2, 5), None, None, (9,), None, None]
    assert (written(output)["shot13"] == MASK + OTHER).all()
    assert (written(output)["shot10"] == MASK).all()


def test_files_of_one_object_each_are_joined(frames, tmp_path, output):
    for name, k in (("dog", 2), ("cat", 5)):
        Image.fromarray(np.where(k == MASK, 255, 0).astype(np.uint8)).save(tmp_path / f"{name}.png")
    evaluate(frames, output, "--masks", tmp_path / "dog.png", tmp_path / "cat.png")
    assert set(np.unique(written(output)["shot13"])) == {0, 1, 2}


def test_a_folder_named_like_a_frame_holds_a_mask_for_each_object(frames, tmp_path, output):
    (tmp_path / "masks/shot9").mkdir(parents=True)
    for k in (2, 5):
        Image.fromarray(np.where(k == MASK, 255, 0).astype(np.uint8)).save(tmp_path / f"masks/shot9/{k}.png")
    evaluate(frames, output, "--masks", tmp_path / "masks")
    assert sorted(written(output)) == sorted(NAMES[1:])
    assert (written(output)["shot13"] == MASK).all()


# What ids may be


def test_ids_above_255_are_kept(frames, tmp_path, output):
    deep = MASK.astype(np.uint16) * 1000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    evaluate(frames, output, "--masks", tmp_path / "deep.png")
    assert (np.array(Image.open(output / "clip/shot13.png")) == deep).all()


def test_results_of_a_colour_coded_mask_have_its_colours(frames, tmp_path, output):
    rgb = np.zeros((*SIZE, 3), np.uint8)
    rgb[MASK == 2], rgb[MASK == 5] = (250, 10, 10), (10, 10, 250)
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    evaluate(frames, output, "--masks", tmp_path / "rgb.png")
    assert (np.array(Image.open(output / "clip/shot13.png").convert("RGB")) == rgb).all()


# Directions


def test_backward_runs_from_the_mask_to_the_beginning(frames, mask, output):
    evaluate(frames, output, "--masks", mask, "--start", "shot10", "--direction", "backward")
    assert order(SeenCore.passes[0]) == [2, 1, 0]
    assert sorted(written(output)) == sorted(NAMES[:3])


def test_both_directions_cover_all_frames(frames, mask, output):
    evaluate(frames, output, "--masks", mask, "--start", "shot10", "--direction", "both", "--quality_csv")
    assert [order(notes) for notes in SeenCore.passes] == [[2, 3, 4, 5], [2, 1, 0]]
    assert sorted(written(output)) == sorted(NAMES)
    with (output.with_name("run-quality") / "clip.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert sorted((row["name"], row["object"]) for row in rows) == sorted((n, k) for n in NAMES for k in "25")


def test_backwards_a_late_object_is_added_where_others_are_not(frames, tmp_path, output):
    late = np.roll(MASK, 2, axis=1) // 5 * 9
    assert ((late > 0) & (MASK > 0)).any()
    (tmp_path / "masks").mkdir()
    write_ids(tmp_path / "masks/shot9.png", MASK)
    write_ids(tmp_path / "masks/shot12.png", late)
    evaluate(frames, output, "--masks", tmp_path / "masks", "--direction", "both")
    results = written(output)
    assert (results["shot10"] == np.where(MASK > 0, MASK, late)).all()
    assert sorted(results) == sorted(NAMES)
    assert set(np.unique(results["shot8"])) == {0, 2, 5, 9}


def test_a_video_file_runs_backwards(tmp_path, mask, output):
    film = make_movie(tmp_path / "film.mkv", 25)
    evaluate(film, output, "--masks", mask, "--start", "20", "--direction", "backward")
    assert order(SeenCore.passes[0]) == list(range(20, -1, -1))


# What else is written


def test_everything_else_lies_beside_the_results(frames, mask, output):
    flags = ["--soft", "--boxes", "--report", "--overlay", "gif", "--direction", "both", "--start", "shot10"]
    evaluate(frames, output, "--masks", mask, *flags)
    soft = np.array(Image.open(output.with_name("run-soft") / "clip/5/shot13.png"))
    assert (soft == np.where(MASK == 5, 255, 0)).all()
    with (output.with_name("run-boxes") / "clip.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows[::2]] == list(NAMES)
    assert [rows[1][key] for key in ("object", "x", "y", "width", "height")] == ["5", "12", "5", "4", "25"]
    assert Image.open(output.with_name("run-overlay") / "clip.gif").n_frames == 6
    assert (output.with_name("run-timelines") / "clip.png").is_file()
    assert "clip" in output.with_name("run-report.html").read_text()


def test_results_are_scored_against_true_masks(frames, mask, tmp_path, output, capsys):
    (tmp_path / "truth/clip").mkdir(parents=True)
    for name in NAMES:
        write_ids(tmp_path / f"truth/clip/{name}.png", MASK)
    evaluate(frames, output, "--masks", mask, "--truth", tmp_path / "truth", "--score")
    assert "1.000" in capsys.readouterr().out
