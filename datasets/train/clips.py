"""The sample that a training clip becomes, batches of samples, and their way to the device."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from datasets.train.augment import View
from datasets.train.render import ClipPlan, plan_clip, render_clip, render_frame, renders_apart
from util.device import trial
from util.tensors import normalise_images

Sample = dict[str, Any]


class Unrendered(NamedTuple):
    """Source frames (T,3,H,W) or one for all (1,3,H,W), uint8, and what to make of them on the device."""

    sources: Tensor
    plan: ClipPlan

    def rendered(self, device: torch.device) -> Tensor:
        """The clip (T,3,H',W'), uint8, made on a device."""
        return render_clip(self.sources.to(device, non_blocking=True), self.plan.to(device))


def pack_clip(
    frames: Sequence[np.ndarray], views: list[View], masks: Tensor, selector: Tensor, name: str, *, render: bool
) -> Sample:
    """The training sample of one clip.

    Args:
        frames: RGB (H,W,3) uint8 of one size, one for each view or one for all.
        views: T of them.
        masks: (T,K,H',W') uint8, already rendered; 255 where the object is.
        selector: (K,) float32, 1 for an object that takes part in the losses.
        name: what to call the clip in messages.
        render: make the frames here rather than on the device.

    Returns:
        frames (T,3,H',W') uint8, or `Unrendered`; masks, selector and name as given.
    """
    made: Tensor | Unrendered
    if render:
        sources = frames if len(frames) == len(views) else [frames[0]] * len(views)
        pictures = [render_frame(frame, view) for frame, view in zip(sources, views, strict=True)]
        made = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    else:
        stacked = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()
        made = Unrendered(stacked, plan_clip(views, (stacked.shape[2], stacked.shape[3])))
    return {"frames": made, "masks": masks, "selector": selector, "name": name}


def object_planes(ids: Tensor, candidates: Sequence[int], num_objects: int) -> tuple[Tensor, Tensor]:
    """Masks of randomly chosen objects.

    Args:
        ids: (T,H,W) uint8.
        candidates: ids to choose from.
        num_objects: number K of planes.

    Returns:
        masks (T,K,H,W) uint8, 255 where the object is, and selector (K,) float32, 1 for an object and for the first
        plane, which stays empty if there is no candidate.
    """
    order = torch.randperm(len(candidates))[:num_objects].tolist()
    masks = torch.zeros(len(ids), num_objects, *ids.shape[1:], dtype=torch.uint8)
    for plane, choice in enumerate(order):
        masks[:, plane] = (ids == candidates[choice]) * 255
    return masks, (torch.arange(num_objects) < max(1, len(order))).float()


def collate(samples: Sequence[Sample]) -> Sample:
    """A batch: tensors are stacked, names and unrendered frames are listed, rejected files are put together."""
    batch = default_collate([{key: sample[key] for key in ("masks", "selector")} for sample in samples])
    frames = [sample["frames"] for sample in samples]
    batch["frames"] = frames if isinstance(frames[0], Unrendered) else torch.stack(frames)
    batch["name"] = [sample["name"] for sample in samples]
    batch["rejected"] = [message for sample in samples for message in sample.get("rejected", ())]
    return batch


def to_device(batch: Sample, device: torch.device) -> dict[str, Tensor]:
    """What a training step takes.

    Args:
        batch: from `collate`.
        device: where the tensors go; unrendered frames are rendered there. A GPU that does so is on trial, see
            `util.device.Trial`.

    Returns:
        frames (B,T,3,H,W) float32, normalised with ImageNet's mean and standard deviation; masks (B,T,K,H,W) float32
        in [0, 1]; labels (B,T,H,W) int64, k for pixels of object k (1..K, a later object covers an earlier one), 0 for
        background; selector (B,K) float32.
    """
    frames = batch["frames"]
    if isinstance(frames, list):
        frames = torch.stack([_rendered(clip, device) for clip in frames])
    masks = batch["masks"].to(device, non_blocking=True).float().div_(255)
    number = torch.arange(1, masks.shape[2] + 1, device=device).view(-1, 1, 1)
    return {
        "frames": normalise_images(frames.to(device, non_blocking=True)),
        "masks": masks,
        "labels": ((masks > 0.5) * number).amax(2),
        "selector": batch["selector"].to(device, non_blocking=True),
    }


def _rendered(clip: Unrendered, device: torch.device) -> Tensor:
    """The clip (T,3,H',W'), uint8, on a device."""
    cpu = torch.device("cpu")
    if device.type == "cpu":
        return clip.rendered(cpu)
    return trial("frames made on the device").run(
        device, lambda: clip.rendered(device), lambda: clip.rendered(cpu).to(device), renders_apart
    )
