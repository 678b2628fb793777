"""Counting clicks: eval_interactive.py, the user that it simulates, and GrabCut with the same prompts."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import eval_interactive
from evaluation.interactive import (
    LEAST_AREA,
    MOST_CLICKS,
    ByGrabCut,
    ByNetwork,
    Case,
    Method,
    Picture,
    choose_shown,
    click_until_good,
    find_frames,
    find_stills,
    objects_of,
    table,
)
from model.interactive import Box, Click, ClickDecoder, ClickNetwork, Stroke
from model.layers.resnet import ResNetEncoder
from tests.helpers.pictures import boxes, write_pair, write_video
from tests.helpers.weight_files import save_click_networks
from util.errors import InputError

SIZE = (60, 80)


class Disks(Method):
    """Makes a disk around every positive click and takes one away around every negative one."""

    name = "disks"

    def begin(self, frame):
        self.size = frame.shape[:2]

    def segment(self, prompts, previous):
        rows, columns = np.indices(self.size) + 0.5
        mask = np.zeros(self.size, np.float32)
        for click in prompts:
            mask[(rows - click.y) ** 2 + (columns - click.x) ** 2 <= 8**2] = click.positive
        return mask


def frame_and_truth():
    truth = np.zeros(SIZE, bool)
    truth[20:45, 25:60] = True
    frame = np.where(truth[..., None], (220, 90, 40), (30, 110, 160)).astype(np.uint8)
    return frame, truth


def case(*ious):
    return Case("x", list(ious), [np.zeros(SIZE, bool)] * len(ious), [Click(1, 1)] * len(ious), (0.5, 0.1 * len(ious)))


def test_every_click_goes_to_the_farthest_point_of_the_largest_error_until_the_mask_is_good():
    frame, truth = frame_and_truth()
    method = Disks()
    method.begin(frame)
    found = click_until_good(method, truth)
    assert (found.clicks[0].x, found.clicks[0].y) in {(37.5, 32.5), (38.5, 32.5)} or truth[32, int(found.clicks[0].x)]
    assert all(truth[int(c.y), int(c.x)] == c.positive for c in found.clicks)
    assert len(found.ious) == len(found.clicks) == len(found.masks) <= MOST_CLICKS
    assert found.ious[-1] > found.ious[0] and all(iou < 0.9 for iou in found.ious[:-1])


def test_a_mask_that_does_not_get_good_counts_as_twenty_clicks():
    frame, truth = frame_and_truth()

    class Nothing(Disks):
        def segment(self, prompts, previous):
            return np.zeros(self.size, np.float32)

    method = Nothing()
    method.begin(frame)
    found = click_until_good(method, truth)
    assert len(found.clicks) == MOST_CLICKS and found.clicks_to(0.8) == MOST_CLICKS
    assert case(0.5, 0.81, 0.7, 0.92).clicks_to(0.8) == 2 and case(0.5, 0.81, 0.7, 0.92).clicks_to(0.9) == 4
    assert case(0.7).clicks_to(0.8) == MOST_CLICKS


def test_the_table_has_the_means():
    text = table({"a": [case(0.82, 0.91), case(0.5, 0.6)], "b": [case(0.95)]})
    words = [line.split() for line in text.splitlines()]
    assert words[0][:4] == ["objects", "NoC@80", "NoC@85", "NoC@90"]
    assert words[1] == ["a", "2", "10.50", "11.00", "11.00", "50%", "50%", "66.0", "0.50", "0.10"]
    assert words[2][:5] == ["b", "1", "1.00", "1.00", "1.00"]


def test_typical_and_bad_cases_are_no_case_twice():
    cases = [case(*[0.1] * count, 0.95) for count in range(12)]
    typical, bad = choose_shown(cases, 4)
    assert sorted(typical) == [4, 5, 6, 7] and sorted(bad) == [8, 9, 10, 11]
    assert choose_shown(cases[:1], 4) == ([0], [])


def test_grabcut_finds_what_differs_from_its_surroundings_by_any_prompt():
    frame, truth = frame_and_truth()
    method = ByGrabCut()
    method.begin(frame)
    for prompts in ([Click(40, 30)], [Box(20, 15, 66, 50)], [Stroke(((30, 30), (50, 32)), radius=3)]):
        mask = method.segment(prompts, None) > 0.5
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9, prompts
    mask = method.segment([Click(40, 30), Click(5, 5, positive=False)], truth.astype(np.float32)) > 0.5
    assert mask[30, 40] and not mask[5, 5]
    assert not method.segment([Click(40, 30, positive=False)], None).any()
    assert method.segment([Box(0, 0, 80, 60)], None).all()


def test_a_network_gets_all_prompts_and_its_own_mask(monkeypatch):
    torch.manual_seed(0)
    trunk = ResNetEncoder("resnet18").eval()
    network = ClickNetwork(trunk, ClickDecoder(channels=trunk.channels, width=40, depth=1, heads=2)).eval()
    frame, _ = frame_and_truth()
    seen = []
    whole = network.segment
    monkeypatch.setattr(network, "segment", lambda *given: seen.append(given) or whole(*given))
    method = ByNetwork(network)
    method.begin(frame)
    first = method.segment([Click(40, 30)], None)
    assert first.shape == SIZE and 0 <= first.min() <= first.max() <= 1
    method.segment([Click(40, 30), Click(3, 3, positive=False)], first)
    assert seen[0][2] is None and np.array_equal(seen[1][2][0, 0].numpy(), first)
    assert seen[1][1].count_nonzero() > seen[0][1].count_nonzero()


def test_small_objects_are_left_out_and_some_of_many_are_taken():
    ids = np.zeros((100, 100), np.uint8)
    for label in range(1, 8):
        ids[:10, 12 * label : 12 * label + label + 1] = label
    ids[50, 50] = 9
    assert LEAST_AREA * ids.size > 1
    picture = Picture("p", None, None)
    assert [name for name, _ in objects_of(picture, ids)] == [f"p:{label}" for label in range(7, 0, -1)]
    assert len(objects_of(picture, ids, 3)) == 3 and len(objects_of(picture, ids, 9)) == 7
    assert np.array_equal(objects_of(picture, ids, 1)[0][1], ids == 4)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = save_click_networks(tmp_path_factory.mktemp("models"))
    return ["--trunk", str(folder / "trunk.pth"), "--model", str(folder / "clicks.pth"), "--device", "cpu"]


def test_a_set_of_stills_gives_a_table_clicks_and_sheets(tmp_path, models, capsys):
    for name in "abc":
        write_pair(tmp_path / f"set/{name}.jpg", tmp_path / f"set/{name}.png", boxes(1, 2, shape=(60, 80)))
    (tmp_path / "list.txt").write_text("# some\nset/b\nother/x\nset/c\n")
    arguments = [*models, "--stills", str(tmp_path / "set"), "--output", str(tmp_path / "out")]
    eval_interactive.main([*arguments, "--list", str(tmp_path / "list.txt"), "--objects", "1"])
    output = capsys.readouterr().out
    assert (tmp_path / "out/table.txt").read_text() in output
    with (tmp_path / "out/clicks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["object"].partition(":")[0] for row in rows} == {"set/b", "set/c"}
    grabcut = [row for row in rows if row["method"] == "GrabCut"]
    assert len(grabcut) == 2 and all(float(row["ious"].split()[-1]) > 0.8 for row in grabcut)
    assert Image.open(tmp_path / "out/typical.png").width > 900
    eval_interactive.main([*arguments, "--no_grabcut", "--objects", "1"])
    assert "GrabCut" not in (tmp_path / "out/table.txt").read_text()


def test_frames_of_videos_and_bad_input(tmp_path, models):
    tree = tmp_path / "tree"
    for kind in ("JPEGImages", "Annotations"):
        (tree / kind).mkdir(parents=True)
    write_video(tmp_path / "v", "ball", [boxes(1)] * 5)
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / f"v/{kind}").rename(tree / kind / "480p")
    assert [picture.name for picture in find_frames(tree, [], 2)] == ["ball/00000", "ball/00002", "ball/00004"]
    frame, ids = find_frames(tree, ["ball"], 10)[0].read()
    assert frame.shape == (60, 80, 3) and set(np.unique(ids)) == {0, 1}
    with pytest.raises(InputError, match="hold no frame with a mask"):
        find_frames(tree, ["cube"], 1)
    with pytest.raises(InputError, match="no folder Annotations/480p"):
        find_frames(tmp_path, [], 1)
    write_pair(tmp_path / "set/a.jpg", tmp_path / "set/a.png", boxes(255))
    with pytest.raises(InputError, match="no picture set/z with a mask"):
        find_stills(tmp_path / "set", ["set/z"])
    with pytest.raises(InputError, match=r"names no picture of .* such as set/a"):
        find_stills(tmp_path / "set", ["other/a"])
    with pytest.raises(InputError, match="would meet"):
        eval_interactive.main([*models, "--stills", str(tmp_path / "set"), "--output", str(tmp_path / "set/out")])
    with pytest.raises(InputError, match="holds clicks"):
        eval_interactive.main([*models, "--trunk", models[3], "--stills", str(tmp_path / "set")])
    write_pair(tmp_path / "set/a.jpg", tmp_path / "set/a.png", np.pad(np.ones((2, 2), np.uint8) * 255, 60))
    with pytest.raises(InputError, match=r"no picture of .* shows an object that is large enough"):
        eval_interactive.main([*models, "--stills", str(tmp_path / "set"), "--output", str(tmp_path / "out")])
