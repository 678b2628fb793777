"""Sessions on still videos, with networks that do what they are told."""

from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from datasets.frame_files import FrameFolder
from interactive.session import InteractiveSession
from model.memory.read import MemoryEntry
from model.memory_network import MemoryNetwork

HEIGHT, WIDTH = 48, 64
RADIUS = 15  # of what a click gives to an object


class StillNetwork(MemoryNetwork):
    """Objects are where they were on the previous frame; `qualities` are those of the coming frames, then 0.9."""

    arch = "still"
    policy = "annotated"

    def __init__(self):
        super().__init__()
        self.options = {}
        self.quality_scorer = nn.Identity()
        self.qualities = []
        self.remembered = []

    def encode_image(self, image):
        return (image,)

    def project_query(self, features, prior):
        return features[0]

    def segment(self, query, memory, reader, masks=None, others=None):
        return 12 * masks - 6

    def encode_memory(self, image, masks, query=None, others=None, *, scored=True):
        self.remembered.append(masks.clone())
        value = F.adaptive_avg_pool2d(masks, 1).flatten(2).unsqueeze(3)
        quality = self.qualities.pop(0) if self.qualities else 0.9
        return MemoryEntry(value, value, torch.full(masks.shape[:2], quality))


class DiskClicks(nn.Module):
    """A positive click is a disk, a negative one a hole."""

    def __init__(self):
        super().__init__()
        self.encoded = 0

    def encode(self, image):
        self.encoded += 1
        return SimpleNamespace(size=tuple(image.shape[-2:]))

    def segment(self, features, prompts, previous=None):
        height, width = features.size
        logits = F.interpolate(prompts, scale_factor=4)[:, :, :height, :width]
        return (logits[:, 1:2] - 0.5) - 2 * logits[:, 5:6]


def still_frames(folder, count=12):
    """A folder with frames that hardly differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", (WIDTH, HEIGHT), (40, 90, 100 + index % 100)).save(folder / f"{index:05d}.png")
    return folder


def open_session(frames, folder, network=None, clicks=None, can_click=True, **options):
    return InteractiveSession(
        FrameFolder(frames),
        "still",
        folder,
        (network or StillNetwork()).eval(),
        (clicks or DiskClicks()) if can_click else None,
        device=torch.device("cpu"),
        **options,
    )


def saved_masks(session):
    """(N,H,W)."""
    return np.stack([session.mask(index) for index in range(len(session))])
