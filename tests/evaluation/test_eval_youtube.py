"""eval_youtube.py from the command line to the files, with a core that needs no network."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import eval_youtube
from datasets.mask_files import read_ids, write_ids
from evaluation import cores
from tests.helpers.davis_trees import FAKE_NETWORK, FakeCore, make_mask, write_frames
from tests.helpers.failures import failure_line

NAMES = tuple(f"{number:05d}" for number in range(0, 60, 5))
EVERY = tuple(f"{number:05d}" for number in range(60))
FIRST = make_mask(objects=(7,))
LATER = np.roll(make_mask(objects=(3,)), 20, axis=1)


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    monkeypatch.setattr(cores, "load_network", lambda path, device: FAKE_NETWORK)
    monkeypatch.setattr(eval_youtube, "InferenceCoreYV", FakeCore)


@pytest.fixture
def root(tmp_path):
    """Object 7 appears in frame 5, object 3 in frame 15; the server scores frames 5 to 55 but 30."""
    root = tmp_path / "YouTube"
    write_frames(root / "valid/JPEGImages/cat", NAMES)
    write_frames(root / "all_frames/valid_all_frames/JPEGImages/cat", EVERY)
    masks = root / "valid/Annotations/cat"
    masks.mkdir(parents=True)
    write_ids(masks / "00005.png", FIRST)
    write_ids(masks / "00015.png", LATER)
    frames = [name for name in NAMES[1:] if name != "00030"]
    objects = {"7": {"category": "cat", "frames": frames}, "3": {"category": "cat", "frames": frames[2:]}}
    (root / "valid/meta.json").write_text(json.dumps({"videos": {"cat": {"objects": objects}}}))
    return root


@pytest.fixture
def output(tmp_path):
    return tmp_path / "results/yv"


def evaluate(root, output, *flags):
    eval_youtube.main(["--yv", str(root), "--output", str(output), "--device", "cpu", *map(str, flags)])


def fail(capsys, *arguments):
    return failure_line(capsys, lambda: evaluate(*arguments))


def written(output):
    return sorted(path.stem for path in (output / "cat").iterdir())


def test_only_frames_that_the_server_scores_are_written(root, output):
    evaluate(root, output)
    assert written(output) == [name for name in NAMES[1:] if name != "00030"]


def test_without_meta_json_each_fifth_frame_is_written(root, output):
    (root / "valid/meta.json").unlink()
    evaluate(root, output)
    assert written(output) == list(NAMES[1:])


def test_output_all_writes_every_frame_from_the_first_mask_on(root, output):
    evaluate(root, output, "--output_all")
    assert written(output) == list(EVERY[5:])


def test_all_frames_are_segmented_though_few_are_written(root, output):
    evaluate(root, output)
    assert len(FakeCore.seen) == 55


def test_each_fifth_frame_can_be_read_instead(root, output):
    evaluate(root, output, "--frames", "fifth")
    assert len(FakeCore.seen) == 11
    assert written(output) == [name for name in NAMES[1:] if name != "00030"]


def test_each_fifth_frame_is_read_where_there_are_no_others(root, output):
    (root / "all_frames").rename(root / "elsewhere")
    evaluate(root, output)
    assert len(FakeCore.seen) == 11


def test_ids_are_kept_and_objects_join_when_they_appear(root, output):
    evaluate(root, output)
    np.testing.assert_array_equal(read_ids(output / "cat/00010.png"), FIRST)
    np.testing.assert_array_equal(read_ids(output / "cat/00015.png"), FIRST + LATER)
    np.testing.assert_array_equal(read_ids(output / "cat/00055.png"), FIRST + LATER)


def test_the_network_sees_frames_of_at_most_480_pixels_and_results_have_the_size_of_the_masks(
    root, output, monkeypatch
):
    sizes = set()

    class NotedCore(FakeCore):
        def step(self, image, mask=None, objects=None):
            sizes.add(tuple(image.shape[-2:]))
            return super().step(image, mask, objects)

    monkeypatch.setattr(eval_youtube, "InferenceCoreYV", NotedCore)
    evaluate(root, output, "--size", "30")
    assert sizes == {(30, 42)}
    assert {read_ids(path).shape for path in output.rglob("*.png")} == {(37, 53)}


def test_published_constants_reach_the_core(root, output, monkeypatch):
    cores = []

    class NotedCore(FakeCore):
        def __init__(self, network, memory, **options):
            super().__init__(network, memory, **options)
            cores.append(self)

    monkeypatch.setattr(eval_youtube, "InferenceCoreYV", NotedCore)
    evaluate(root, output)
    memory = cores[0].memory
    assert (memory.capacity, memory.quality_threshold, memory.mem_every) == (10, 0.75, 5)


def test_a_mask_a_pixel_narrower_than_its_frame_is_used(root, output, caplog):
    write_ids(root / "valid/Annotations/cat/00015.png", LATER[:, :-1])
    evaluate(root, output)
    assert "mask is resized" in caplog.text
    assert 3 in read_ids(output / "cat/00020.png")


def test_the_archive_holds_the_videos_in_annotations(root, output):
    evaluate(root, output, "--zip")
    with zipfile.ZipFile(output.with_name("yv.zip")) as archive:
        assert archive.namelist() == [f"Annotations/cat/{name}.png" for name in NAMES[1:] if name != "00030"]


def test_finished_videos_are_skipped(root, output, capsys):
    evaluate(root, output)
    FakeCore.seen = []
    evaluate(root, output)
    assert FakeCore.seen == []
    assert "1 finished videos skipped" in capsys.readouterr().out


def test_results_are_scored_where_there_are_true_masks(root, output, capsys):
    truth = root / "all_frames/valid_all_frames/Annotations/cat"
    truth.mkdir(parents=True)
    for index, name in enumerate(EVERY):
        write_ids(truth / f"{name}.png", FIRST * (index >= 5) + LATER * (index >= 15))
    evaluate(root, output, "--score", "--report")
    (total,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Global"))
    assert total.split()[1] == "1.000"
    page = output.with_name("yv-report.html").read_text()
    assert "cat" in page and "data:image/png" in page


def test_seen_and_unseen_categories_are_scored_apart_where_both_parts_tell_them(root, output, capsys):
    truth = root / "all_frames/valid_all_frames/Annotations/cat"
    truth.mkdir(parents=True)
    for index, name in enumerate(EVERY):
        write_ids(truth / f"{name}.png", FIRST * (index >= 5) + LATER * (15 <= index < 40))
    frames = {"7": NAMES[1:], "3": NAMES[3:]}
    kinds = {"7": "cat", "3": "yak"}
    objects = {k: {"category": kinds[k], "frames": list(names)} for k, names in frames.items()}
    (root / "valid/meta.json").write_text(json.dumps({"videos": {"cat": {"objects": objects}}}))
    (root / "train").mkdir()
    train = {"a": {"objects": {"1": {"category": "cat", "frames": ["00000"]}}}}
    (root / "train/meta.json").write_text(json.dumps({"videos": train}))
    evaluate(root, output, "--score")
    names, values = capsys.readouterr().out.splitlines()[-2:]
    row = dict(zip(names.split()[1:], map(float, values.split()), strict=True))
    # object 3 is scored in frames 20 to 55 and stays in the results, though it is gone from frame 40 on
    assert row == {"J&F": 0.75, "J": 0.75, "J_seen": 1, "J_unseen": 0.5, "F": 0.75, "F_seen": 1, "F_unseen": 0.5}


def test_a_run_without_true_masks_cannot_be_scored(root, output, capsys):
    assert "--zip" in fail(capsys, root, output, "--score")


def scored(root, frames, **others):
    """Let the meta.json want these frames of the video."""
    videos = {"cat": {"objects": {"7": {"frames": frames}}}} | others
    (root / "valid/meta.json").write_text(json.dumps({"videos": videos}))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (["00005", "00010.jpg", "00010.PNG"], False),
        ([5, 10], True),
        (["5", "0010", "00005"], True),
    ],
)
def test_frames_that_meta_json_calls_otherwise_are_found(root, output, capsys, frames, said):
    scored(root, frames)
    evaluate(root, output)
    assert written(output) == ["00005", "00010"]
    assert ("meta.json names frames by number" in capsys.readouterr().out) == said


def test_frames_of_meta_json_that_are_not_there_are_said(root, output, capsys):
    scored(root, ["00005", "00099", "x"])
    evaluate(root, output)
    assert written(output) == ["00005"]
    assert "cat (and 1 more)" in next(line for line in capsys.readouterr().out.splitlines() if "are not in" in line)


@pytest.mark.parametrize("frames", [["00099"], ["x"], ["9" * 300], ["00000"]])
def test_a_video_of_which_nothing_would_be_written_is_refused(root, output, capsys, frames):
    scored(root, frames)
    line = fail(capsys, root, output)
    assert "cat" in line
    assert not output.exists()


@pytest.mark.parametrize("frames", ["00005", 5, None, {"00005": 1}, [5.0], [None], [True], [["00005"]]])
def test_frames_of_meta_json_that_are_no_list_of_names_are_refused(root, output, capsys, frames):
    scored(root, frames)
    assert "meta.json is not a meta.json of YouTube-VOS" in fail(capsys, root, output)


@pytest.mark.parametrize("videos", [{}, {"cat": {"objects": {}}}, {"cat": {"objects": {"7": {"frames": []}}}}])
def test_each_fifth_frame_of_videos_that_meta_json_does_not_tell_of_is_written_and_said(root, output, capsys, videos):
    (root / "valid/meta.json").write_text(json.dumps({"videos": videos}))
    evaluate(root, output)
    assert written(output) == list(NAMES[1:])
    assert "meta.json names no frames of videos, of which each fifth is written: cat" in capsys.readouterr().out


def test_videos_of_meta_json_without_masks_are_said(root, output, capsys):
    scored(root, ["00005"], dog={"objects": {"1": {"frames": ["00000"]}}})
    evaluate(root, output)
    assert "meta.json lists videos that have no masks: dog" in capsys.readouterr().out


def test_a_meta_json_that_is_no_file_is_named(root, output, capsys):
    (root / "valid/meta.json").unlink()
    (root / "valid/meta.json").mkdir()
    assert "meta.json" in fail(capsys, root, output)


def test_a_damaged_meta_json_is_named(root, output, capsys):
    (root / "valid/meta.json").write_text("{}")
    assert "meta.json is not" in fail(capsys, root, output)


def test_a_mask_without_frame_is_named(root, output, capsys):
    write_ids(root / "valid/Annotations/cat/00099.png", FIRST)
    assert "00099.png has no frame" in fail(capsys, root, output)


def test_a_colour_coded_mask_is_understood(root, output):
    rgb = np.zeros((*FIRST.shape, 3), np.uint8)
    rgb[FIRST > 0] = (10, 200, 30)
    Image.fromarray(rgb).save(root / "valid/Annotations/cat/00005.png")
    (root / "valid/Annotations/cat/00015.png").unlink()
    evaluate(root, output)
    np.testing.assert_array_equal(read_ids(output / "cat/00020.png"), FIRST > 0)


@pytest.mark.parametrize("missing", ["valid/Annotations", "all_frames/valid_all_frames/JPEGImages"])
def test_a_missing_folder_is_named(root, output, capsys, missing):
    (root / missing).rename(root / "moved")
    assert f"{missing} does not exist" in fail(capsys, root, output, "--frames", "all")


def test_compat_has_no_gate_for_each_object(root, output, capsys):
    assert "--gate object" in fail(capsys, root, output, "--compat", "--gate", "object")
