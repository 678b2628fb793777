"""A box tracker's loop gives the published boxes, and its command writes, resumes, scores and refuses."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import eval_boxes
from datasets.boxes.boxes import read_boxes
from evaluation.boxes import tracker as tracker_module
from evaluation.boxes.results import LAYOUTS, TrackResult
from evaluation.boxes.tracker import BoxTracker, place_box
from model.droptrack import DropTrack
from model.weights.checkpoint import Checkpoint, save_checkpoint
from tests.helpers.box_runs import SIZE, evaluate, make_trees
from tests.helpers.deterministic import FIXTURES, fixture, make_clip
from tests.helpers.droptrack_networks import small_tracker
from tests.helpers.failures import failure_line
from tests.helpers.result_files import files_below
from util.text_files import read_json

CPU = torch.device("cpu")
PIXELS = 1e-3


@pytest.fixture(scope="module")
def expected():
    return fixture("droptrack_small")


@pytest.fixture(scope="module")
def frames():
    rgb, _ = make_clip(10, 180, 320)
    return np.clip(np.round(128 + 48 * rgb.astype(np.float64)), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def tracker():
    return BoxTracker(small_tracker(), CPU)


def test_the_frames_are_those_of_the_fixture(frames, expected):
    assert [zlib.crc32(frame.tobytes()) for frame in frames] == expected["frame_crc"].tolist()


def test_a_whole_run_equals_the_published_one(tracker, frames, expected, monkeypatch):
    crops = []
    normalise = tracker_module.normalise
    monkeypatch.setattr(tracker_module, "normalise", lambda crop: crops.append(crop) or normalise(crop))
    tracker.start(frames[0], tuple(expected["box"]))
    boxes = [tracker.box, *(tracker.step(frame) for frame in frames[1:])]
    np.testing.assert_allclose(boxes, expected["run_boxes"], atol=PIXELS)
    assert [zlib.crc32(crop.tobytes()) for crop in crops] == expected["run_crop_crc"].tolist()


def test_each_frame_equals_the_published_one_from_the_published_box(tracker, frames, expected):
    tracker.start(frames[0], tuple(expected["box"]))
    for t in range(1, 10):
        tracker.box = tuple(expected["run_boxes"][t - 1].tolist())
        np.testing.assert_allclose(tracker.step(frames[t]), expected["run_boxes"][t], atol=PIXELS)


def test_result_files_equal_the_published_ones():
    stored = read_json(FIXTURES / "droptrack_results_files.json")
    result = TrackResult(Path("made-1.txt"), np.array(stored["boxes"]), np.array(stored["times"]))
    written = {}
    for layout in ("ostrack", "ostrack_got10k"):
        for path, text in LAYOUTS[layout].texts("made-1", result, "ostrack", "cfg"):
            written[path.removeprefix("test/tracking_results/")] = text
    assert written == stored["files"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.5, 0.5, 0.2, 0.2), (40, 40, 20, 20)),
        ((0.5, 0.5, 0.01, 0.01), (49.5, 49.5, 10, 10)),
        ((9.0, 0.5, 0.2, 0.2), (90, 40, 10, 20)),
        ((-9.0, 0.5, 0.2, 0.2), (0, 40, 10, 20)),
        ((0.5, 0.5, 5.0, 0.2), (0, 40, 100, 20)),
    ],
)
def test_boxes_stay_in_the_frame(found, expected):
    assert place_box(list(found), (45, 45, 10, 10), 100, (100, 100)) == pytest.approx(expected)


def test_a_box_without_size_begins_nothing(tracker, frames):
    with pytest.raises(ValueError, match="no size"):
        tracker.start(frames[0], (5, 5, 0, 4))


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A file with a tiny tracker that knows nothing."""
    torch.manual_seed(0)
    network = DropTrack(backbone="vit_ti16", template_size=32, search_size=64, head_channels=16)
    path = tmp_path_factory.mktemp("model") / "droptrack.pth"
    save_checkpoint(path, Checkpoint(network.arch, network.options, network.state_dict()))
    return path


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return make_trees(tmp_path_factory.mktemp("trees"))


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out"


def boxes_of(output, name):
    return read_boxes(output / name / f"{name}_001.txt")


def test_a_run_writes_boxes_times_scores_and_pictures(model, trees, output, capsys):
    evaluate(trees, output, "--model", model, "--score", "--overlay", "gif")
    assert "made-1" in (output.with_name("out-scores") / "boxes-lasot-videos.csv").read_text()
    assert "AUC" in capsys.readouterr().out
    truth = read_boxes(trees / "lasot/made/made-1/groundtruth.txt")
    boxes = boxes_of(output, "made-1")
    assert len(boxes) == len(truth) and boxes[0].tolist() == truth[0].tolist()
    assert (boxes[:, 2:] >= 10).all() and (boxes[:, :2] + boxes[:, 2:] <= SIZE[::-1]).all()
    assert files_below(output.with_name("out-overlay")) == ["made-1.gif", "made-2.gif", "made-3.gif"]


def test_finished_videos_are_skipped_and_results_of_another_tracker_are_not_taken(model, trees, output, capsys):
    evaluate(trees, output, "--model", model)
    capsys.readouterr()
    evaluate(trees, output, "--model", model)
    assert "3 finished videos skipped" in capsys.readouterr().out
    line = failure_line(capsys, lambda: evaluate(trees, output, "--model", model, "--keep_rate", 1))
    assert "made with other --keep_rate" in line


def test_a_video_of_your_own(model, trees, output):
    folder = trees / "lasot/made/made-3/img"
    words = ["--model", model, "--input", folder, "--box", "8,16,16,16", "--output", output, "--device", "cpu"]
    eval_boxes.main([*map(str, words)])
    assert boxes_of(output, "img")[0].tolist() == [8, 16, 16, 16]
    assert len(boxes_of(output, "img")) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--box", "300,16,16,16"), "lies outside"),
        (("--box", "8,16,0,16"), "no size"),
        (("--box", "nan,16,16,16"), "no size"),
        ((), "both are needed"),
        (("--box", "8,16,16,16", "--score"), "no true boxes"),
        (("--box", "8,16,16,16", "--report", "--memory", "latest"), "no use for --memory, --report"),
        (("--box", "8,16,16,16", "--first_mask", "grabcut"), "no use for --first_mask"),
        (("--box", "8,16,16,16", "--fused_read", "--look_ahead"), "no use for --fused_read, --look_ahead"),
        (("--box", "8,16,16,16", "--scales", "1", "0.5", "--weigh_by_size"), "no use for --scales, --weigh_by_size"),
        (("--box", "8,16,16,16", "--root", "x"), "leave them out with --input"),
    ],
)
def test_bad_words_are_one_line(model, trees, output, capsys, words, message):
    folder = trees / "lasot/made/made-3/img"
    words = ["--model", model, "--input", folder, "--output", output, "--device", "cpu", *words]
    assert message in failure_line(capsys, lambda: eval_boxes.main([*map(str, words)]))
    assert not output.exists()


def test_every_option_has_a_meaning_for_a_tracker_or_is_refused():
    options = {action.dest for action in eval_boxes.build_parser()._actions} - set(eval_boxes.FOR_MASKS)
    videos = {"dataset", "input", "root", "box", "list", "videos"}
    results = {"output", "overwrite", "overlay", "score", "zip", "compat"}
    work = {"help", "model", "keep_rate", "device", "local_rank", "amp", "tf32", "benchmark"}
    assert options == videos | results | work


def test_a_network_for_masks_eliminates_nothing(trees, output, capsys):
    line = failure_line(capsys, lambda: evaluate(trees, output, "--keep_rate", 0.5))
    assert "holds a network for masks" in line


def test_a_truncated_frame_is_named_and_the_other_videos_stay(model, tmp_path, output, capsys):
    trees = make_trees(tmp_path / "data")
    frame = trees / "lasot/made/made-2/img/00000003.jpg"
    frame.write_bytes(frame.read_bytes()[:200])
    assert "00000003.jpg cannot be read" in failure_line(capsys, lambda: evaluate(trees, output, "--model", model))
    assert (output / "made-1/made-1_001.txt").is_file() and not (output / "made-2").exists()


def test_boxes_that_are_not_finite_are_no_result(trees, tmp_path, output, capsys):
    torch.manual_seed(0)
    network = DropTrack(backbone="vit_ti16", template_size=32, search_size=64, head_channels=16)
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.LayerNorm)):
        torch.nn.init.constant_(norm.weight, 3e38)  # what follows takes infinite numbers from one another
    save_checkpoint(tmp_path / "bad.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    line = failure_line(capsys, lambda: evaluate(trees, output, "--model", tmp_path / "bad.pth"))
    assert "is not finite" in line
