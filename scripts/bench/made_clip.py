"""A made clip, and how far the masks of two runs over it agree."""

import numpy as np
import torch

from datasets.synthetic.clips import make_clip
from inference_core import InferenceCore
from util.tensors import normalise, one_hot

CLIP_SIZE, CLIP_FRAMES = (240, 432), 16


def segment_clip(network: torch.nn.Module, objects: int, device: torch.device, options: dict) -> np.ndarray:
    """Ids (T,H,W) of a made clip."""
    rgb, ids = make_clip(0, CLIP_FRAMES, *CLIP_SIZE, objects)
    core = InferenceCore(network, **options)
    first = one_hot(ids[0], list(range(1, objects + 1))).to(device)
    steps = (core.step(normalise(image).to(device), first if t == 0 else None) for t, image in enumerate(rgb))
    return np.stack([step.argmax(0).byte().cpu().numpy() for step in steps])


def disagreement(ours: np.ndarray, expected: np.ndarray) -> float:
    """Share of the object pixels of either that differ."""
    pixels = (ours > 0) | (expected > 0)
    return float((ours != expected)[pixels].mean())
