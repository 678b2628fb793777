"""Clips with objects that come at different times, and what the streaming tests do with them."""

import torch

from model.qdmn import QDMN
from tests.helpers.deterministic import clip_tensors, fill

HEIGHT, WIDTH = 64, 96


def small_network(kind=QDMN):
    return fill(kind(backbone="resnet18"))


def clip(frames, objects=2, height=HEIGHT, width=WIDTH):
    """Frames (T,3,H,W) and masks (T,K,H,W) that do not overlap: two moving objects and up to three corners."""
    rgb, moving = clip_tensors(frames, height, width)
    corners = torch.zeros(3, height, width)
    corners[0, -height // 6 :, : width // 3] = 1
    corners[1, : height // 6, -width // 3 :] = 1
    corners[2, : height // 6, : width // 3] = 1
    moving = moving * (1 - corners.amax(0))
    return rgb, torch.cat([moving, corners.expand(frames, -1, -1, -1)], 1)[:, :objects]


def run(core, frames, given):
    """Probabilities and reports of all frames; `given` holds the mask and, if need be, the ids of a frame."""
    probabilities, reports = [], []
    for t, image in enumerate(frames):
        probabilities.append(core.step(image, *given.get(t, ())))
        reports.append(core.report)
    return probabilities, reports


def banks(report):
    """What happened to the memory of each object."""
    return {k: bank for bank in report.banks for k in bank.objects}


def assert_distributions(probabilities, sizes):
    """They sum to one, one row for the background and each of so many objects."""
    assert [len(p) for p in probabilities] == [1 + size for size in sizes]
    for p in probabilities:
        assert (p >= 0).all()
        torch.testing.assert_close(p.sum(0), torch.ones(p.shape[1:]))


def assert_same(ours, theirs, atol=0.0):
    """Two streams of probabilities are the same."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=atol, rtol=0)


class Scripted(QDMN):
    """A network whose qualities are given: `script` holds those of all objects for each coming frame."""

    script = ()

    def encode_memory(self, image, masks, query=None, others=None, **options):
        scores, *self.script = self.script
        entry = super().encode_memory(image, masks, query, others, **options)
        return entry._replace(quality=torch.tensor([scores], dtype=torch.float32))
