"""Clips whose objects are all given on the first frame, and what the core makes of them."""

import torch

from tests.helpers.deterministic import clip_tensors
from tests.helpers.streams import HEIGHT, WIDTH


def clip(frames, objects=2, height=HEIGHT, width=WIDTH):
    """Frames (T,3,H,W), and the masks (K,H,W) of the first one."""
    rgb, masks = clip_tensors(frames, height, width)
    third = torch.zeros(1, height, width)
    third[:, -height // 6 :, : width // 3] = 1
    return rgb, torch.cat([masks[0] * (1 - third), third])[:objects]


def stream(core, frames, first_mask, corrections=None):
    """Probabilities of all frames (T,K+1,H,W) and their reports; `corrections` are masks by frame."""
    masks = {0: first_mask, **(corrections or {})}
    probabilities, reports = [], []
    for t, image in enumerate(frames):
        probabilities.append(core.step(image, masks.get(t)))
        reports.append(core.report)
    return torch.stack(probabilities), reports
