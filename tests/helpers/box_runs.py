"""Videos of a bright square, trees of boxes made of them, and runs of eval_boxes.py without a network."""

import numpy as np
import torch

import eval_boxes
from datasets.boxes.boxes import read_boxes
from datasets.synthetic.boxes import BoxVideo, write_box_tree
from evaluation import cores
from tests.helpers.davis_trees import FAKE_NETWORK, FakeBankReport, FakeReport
from util.tensors import denormalise

SIZE = (48, 80)
GONE = (3, 4)
SIDE = 16
LASOT_NAMES = ("made-1", "made-2", "made-3")


def square_video(frames=7, step=8, gone=()):
    """A white square on black that moves to the right; it is not there in the frames `gone`."""
    masks = np.zeros((frames, *SIZE), bool)
    for t in range(frames):
        if t not in gone:
            masks[t, 16 : 16 + SIDE, 8 + step * t % 48 :][:, :SIDE] = True
    return BoxVideo(np.repeat(masks[..., None] * np.uint8(255), 3, axis=3), masks)


def make_trees(root):
    """`root`/lasot and `root`/got10k with three videos, in the second of which the object is gone for a while."""
    write_box_tree(root, [square_video(), square_video(6, gone=GONE), square_video(5, step=0)])
    return root


class BrightCore:
    """Finds what is bright; counts its cores, and in the one of number `stop` behaves as if the user pressed Ctrl-C."""

    made = 0
    stop = None

    def __init__(self, network, memory=None, **options):
        BrightCore.made += 1
        self.number = BrightCore.made
        self.objects, self.report, self.frame = (1,), None, -1

    def step(self, image, mask=None, objects=None):
        self.frame += 1
        if self.number == BrightCore.stop and self.frame == 2:
            raise KeyboardInterrupt
        found = mask if mask is not None else (denormalise(image)[:1] > 127).float()
        self.report = FakeReport(self.frame, (1,), (0.9,), (FakeBankReport((1,)),))
        return torch.cat([1 - found, found])


def use_bright_core(monkeypatch):
    """The script builds the core that finds what is bright; the list collects the checkpoints that are asked for."""
    loaded = []

    def load(path, device):
        loaded.append(path)
        return FAKE_NETWORK

    BrightCore.made, BrightCore.stop = 0, None
    monkeypatch.setattr(cores, "load_network", load)
    monkeypatch.setattr(eval_boxes, "InferenceCore", BrightCore)
    return loaded


def evaluate(root, output, *flags, dataset="lasot"):
    tree = root / dataset.partition("_")[0]
    fixed = ["--dataset", dataset, "--root", str(tree), "--output", str(output), "--device", "cpu"]
    eval_boxes.main([*fixed, *map(str, flags)])


def boxes_of(output, name):
    return read_boxes(output / name / f"{name}_001.txt")
