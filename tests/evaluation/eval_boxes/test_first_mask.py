"""eval_boxes.py --first_mask network: the first mask of a box by a network for clicks."""

import numpy as np
import pytest
import torch

from datasets.mask_files import read_ids
from evaluation.boxes import first_mask
from evaluation.boxes.first_mask import NetworkCut
from tests.helpers.box_runs import evaluate
from tests.helpers.weight_files import save_click_networks
from util.errors import InputError


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return save_click_networks(tmp_path_factory.mktemp("models"))


class GenerousClicks:
    """A network for clicks that finds all of the box, and some of what is above and left of it."""

    def __init__(self, network, amp):
        self.size = None

    def begin(self, frame):
        self.size = frame.shape[:2]

    def segment(self, prompts, previous):
        (box,) = prompts
        found = np.zeros(self.size, np.float32)
        found[max(0, round(box.y0) - 20) : round(box.y1), max(0, round(box.x0) - 20) : round(box.x1)] = 1
        return found


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 12), (0, 9)), ((20, 36), (30, 60)), ((50, 60), (70, 80)), ((0, 60), (0, 80))]
)
def test_the_box_is_found_where_it_lies_also_at_the_border(models, monkeypatch, rows, columns):
    monkeypatch.setattr(first_mask, "ByNetwork", GenerousClicks)
    cut = NetworkCut(models / "clicks.pth", models / "trunk.pth", torch.device("cpu"))
    rectangle = np.zeros((60, 80), bool)
    rectangle[slice(*rows), slice(*columns)] = True
    found = cut(np.zeros((60, 80, 3), np.uint8), rectangle)
    assert (found & rectangle).sum() >= 0.9 * rectangle.sum()
    assert (found & ~rectangle).any() == (rows[0] > 0)


def test_it_stays_in_its_box_from_the_command_line(models, trees, output):
    flags = ("--model", models / "trunk.pth", "--click_model", models / "clicks.pth", "--first_mask", "network")
    evaluate(trees, output, *flags, "--write_masks", "--videos", "made-1")
    mask = read_ids(output.with_name("run-masks") / "made-1/00000001.png") > 0
    assert 0 < mask.sum() == mask[16:32, 8:24].sum()


def test_what_does_not_fit_is_refused(models, trees, output):
    with pytest.raises(InputError, match="--click_model does nothing without --first_mask network"):
        evaluate(trees, output, "--click_model", models / "clicks.pth")
    flags = ("--model", models / "trunk.pth", "--first_mask", "network")
    with pytest.raises(InputError, match=r"trunk.pth holds qdmn_small, not what turns clicks into masks"):
        evaluate(trees, output, *flags, "--click_model", models / "trunk.pth")
    assert not output.exists()
