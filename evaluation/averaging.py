"""Test-time averaging: a frame is segmented in several sizes and mirrored, and the masks are averaged."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inference.prefetch import Recent
from inference_core import InferenceCore, Stream, check_mask
from inference_core_yv import InferenceCoreYV
from util.tensors import unpad

USUAL_EXTENT = 128.0  # pixels, a third of the crops that networks learn from: square root of a usual object's area
PREFERENCE = 2.0  # a view in which the object is twice too large or too small counts by 2 to this power less


@dataclass(frozen=True)
class View:
    """A way to look at a frame: scaled, and mirrored or not."""

    scale: float = 1.0
    flip: bool = False

    def image(self, image: Tensor) -> Tensor:
        """(3,H,W) -> (3,h,w)."""
        size = self.size(image)
        if size != image.shape[-2:]:
            image = F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
        return image.flip(-1) if self.flip else image

    def mask(self, mask: Tensor) -> Tensor:
        """(K,H,W) in [0, 1] -> (K,h,w)."""
        if not len(mask):
            return mask.new_zeros(0, *self.size(mask))
        return self.image(mask.float()).clamp(0, 1)

    def back(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        """Undo `mask`: (K,h,w) -> (K,H,W)."""
        mask = mask.flip(-1) if self.flip else mask
        if not len(mask):
            return mask.new_zeros(0, *size)
        if mask.shape[-2:] == tuple(size):
            return mask
        return F.interpolate(mask[None], tuple(size), mode="bilinear", align_corners=False)[0]

    def size(self, picture: Tensor) -> tuple[int, int]:
        """Height and width of the view of a picture."""
        height, width = (max(16, round(side * self.scale)) for side in picture.shape[-2:])
        return height, width


class AveragingCore(Stream):
    """Streams a video through one core for each view; all remember the average of their masks.

    Args:
        new_core: makes a fresh core.
        views: see `View`. The result has the size of the first one.
        by_size: an object counts most in the views in which, by its area on the previous frame, it is about as large
            as the objects that networks learn from; else all views count alike.

    Raises:
        ValueError: there is no view.
    """

    def __init__(self, new_core: Callable[[], InferenceCore], views: Sequence[View], *, by_size: bool = False) -> None:
        if not views:
            raise ValueError("averaging needs at least one view")
        self._members = [(view, new_core()) for view in views]
        self._by_size = by_size
        self._extents: dict[int, Tensor] = {}
        self._prefetched: Recent[list[Tensor]] = Recent()

    @property
    def objects(self) -> tuple[int, ...]:
        """See `InferenceCore`."""
        return self._members[0][1].objects

    @property
    def cores(self) -> list[InferenceCore]:
        """Those of the views, in their order."""
        return [core for _, core in self._members]

    def prefetch(self, image: Tensor) -> None:
        """See `Stream`."""
        images = [view.image(image) for view, _ in self._members]
        self._prefetched.add(image, images)
        for (_, core), seen in zip(self._members, images, strict=True):
            core.prefetch(seen)

    @torch.inference_mode()
    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """Segment the next frame, see `InferenceCore.step`; probabilities have the size of the first view."""
        if mask is not None:
            check_mask(mask, image)
        masks = [None if mask is None else view.mask(mask) for view, _ in self._members]
        images = self._images(image)
        for (_, core), seen, given in zip(self._members, images, masks, strict=True):
            ids = core.check(seen, given, objects)
        mean = self._mean(torch.stack(list(self._predictions(images, ids, image.shape[-2:]))))
        results = [
            core.commit(F.pad(view.mask(mean)[None], core.padding), given, ids)
            for (view, core), given in zip(self._members, masks, strict=True)
        ]
        self.report = self._members[0][1].report
        if self._by_size:
            self._measure(results[0])
        return results[0]

    def remove(self, objects: Sequence[int]) -> None:
        """See `InferenceCoreYV.remove`."""
        for _, core in self._members:
            if not isinstance(core, InferenceCoreYV):
                raise TypeError("only objects of an InferenceCoreYV can be removed")
            core.remove(objects)

    def _mean(self, predictions: Tensor) -> Tensor:
        """Masks (V,K,H,W) of all views, which are overwritten -> (K,H,W)."""
        if not self._by_size or not self.objects:
            return predictions.mean(0)
        extents = torch.stack([self._extents[k] for k in self.objects])
        octaves = torch.stack([(view.scale * extents / USUAL_EXTENT).log2().abs() for view, _ in self._members])
        weights = (-PREFERENCE * octaves).exp2()
        return predictions.mul_((weights / weights.sum(0))[..., None, None]).sum(0)

    def _measure(self, probabilities: Tensor) -> None:
        """How large the objects of a result (K+1,H,W) are; one that is not seen keeps the extent that it had."""
        areas = (probabilities[1:] > 0.5).sum((1, 2))
        extents = areas.sqrt() / self._members[0][0].scale
        self._extents = {
            k: torch.where(area > 0, extent, self._extents.get(k, USUAL_EXTENT))
            for k, area, extent in zip(self.objects, areas, extents, strict=True)
        }

    def _images(self, image: Tensor) -> list[Tensor]:
        """What each view sees of an image; if it was encoded before, what the cores were given then."""
        return self._prefetched.find(image) or [view.image(image) for view, _ in self._members]

    def _predictions(self, images: Sequence[Tensor], ids: Sequence[int], size: Sequence[int]) -> Iterator[Tensor]:
        """Each view's masks (K,H,W) in the size of the frame."""
        for (view, core), image in zip(self._members, images, strict=True):
            padded = core.predict(image, ids)
            yield view.back(unpad(padded[0], core.padding), size)
