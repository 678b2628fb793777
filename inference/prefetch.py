"""Encoding the images of coming frames while a GPU still works on the masks of the present one."""

from collections import deque
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from model.memory_network import MemoryNetwork
from util.device import trial
from util.tensors import pad_to_multiple

TOLERANCE = 0.01  # between two runs of one encoder on one image, which cuDNN may do by different algorithms

Item = TypeVar("Item")


class Recent(Generic[Item]):
    """What has been made of the last two images: the present frame's and the coming one's."""

    def __init__(self) -> None:
        self._made: deque[tuple[Tensor, Item]] = deque(maxlen=2)

    def add(self, image: Tensor, item: Item) -> None:
        """Keep what was made of an image, in place of the oldest."""
        self._made.append((image, item))

    def find(self, image: Tensor) -> Item | None:
        """What was made of this very tensor; None if nothing is kept of it."""
        return next((item for known, item in self._made if known is image), None)


class Made(NamedTuple):
    """Features of an image, and the event behind which a CUDA device has made them."""

    features: tuple[Tensor, ...]
    ready: torch.cuda.Event | None


class FeaturePrefetch:
    """Image features of coming frames, which do not depend on the masks before them.

    On a CUDA device they are made in a stream of their own, beside what has been asked of the device, and are on trial,
    see `util.device.Trial`.

    Args:
        network: a network of the STM family.
    """

    def __init__(self, network: MemoryNetwork) -> None:
        self._network = network
        self._recent: Recent[Made] = Recent()
        self._stream: torch.cuda.Stream | None = None
        self._trial = trial("images encoded ahead in a stream of their own")

    @torch.inference_mode()
    def prefetch(self, image: Tensor) -> None:
        """Encode an image (3,H,W) that `take` may be asked for; the last two are kept."""
        if image.device.type != "cuda":
            self._recent.add(image, Made(self._encode(image), None))
            return
        if self._trial.believed is False:
            return
        self._stream = self._stream or torch.cuda.Stream(image.device)
        self._stream.wait_stream(torch.cuda.current_stream(image.device))
        # Weights that autocast has cast in one stream must not be used in another: no cache here.
        amp = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
        uncached = torch.autocast("cuda", dtype=amp[0], enabled=amp[1], cache_enabled=False)
        with uncached, torch.cuda.stream(self._stream):
            features = self._encode(image)
        image.record_stream(self._stream)
        self._recent.add(image, Made(features, self._stream.record_event()))

    def take(self, image: Tensor) -> tuple[Tensor, ...] | None:
        """What was made of this very tensor; None if nothing is kept of it."""
        made = self._recent.find(image)
        if made is None:
            return None
        if made.ready is None:
            return made.features
        stream = torch.cuda.current_stream(image.device)
        stream.wait_event(made.ready)
        for feature in made.features:
            feature.record_stream(stream)
        return self._trial.run(image.device, lambda: made.features, lambda: self._encode(image), features_apart)

    def _encode(self, image: Tensor) -> tuple[Tensor, ...]:
        return self._network.encode_image(pad_to_multiple(image.unsqueeze(0), self._network.size_multiple)[0])


def features_apart(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> str:
    """In what features differ from others by more than rounding; "" if they do not."""
    for number, (ours, theirs) in enumerate(zip(found, expected, strict=True), 1):
        worst = ((ours.float() - theirs.float()).abs().amax() / theirs.float().abs().amax()).item()
        if not worst < TOLERANCE:
            return f"map {number} differs by {worst:.1%} of its largest value"
    return ""
