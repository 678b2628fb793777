"""Tracking an object by a box tracker, frame by frame and over videos (OSTrack, ECCV 2022; DropTrack in DropMAE)."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch

from datasets.boxes.boxes import Box, Size
from datasets.boxes.crops import crop_around
from datasets.test.annotated_video import AnnotatedVideo, read_ahead
from evaluation.segment import MakeWriters, Speed, VideoWorker
from evaluation.writers import Result
from inference.fast_form import for_inference
from model.droptrack import DropTrack, hann_window
from util.device import AUTOCAST, autocast, synchronise
from util.errors import InputError
from util.files import atomic_folder
from util.progress import Progress
from util.tensors import normalise

TEMPLATE_FACTOR, SEARCH_FACTOR = 2.0, 5.0  # sides of the crops by the square root of the box's area
MARGIN = 10.0  # pixels of the frame in which the box stays


class BoxTracker:
    """Follows one object: its template is that of the first frame, and it is searched for around its last box.

    Args:
        network: in evaluation mode; is brought into its fast form and cannot be trained afterwards.
        device: where it works.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        keep_rate: see `DropTrack`; None for the network's own.

    Attributes:
        box: of the object in the last frame, x, y, width, height in pixels; not rounded.
    """

    box: Box

    def __init__(
        self, network: DropTrack, device: torch.device, *, amp: str = "off", keep_rate: float | None = None
    ) -> None:
        self.network = for_inference(network, device, amp=AUTOCAST[amp])
        self.device = device
        self._amp = amp
        self._keep_rate = keep_rate
        side = network.search_size // network.size_multiple
        self._window = hann_window(side).to(device)

    def start(self, frame: np.ndarray, box: Box) -> None:
        """Begin with an object of a frame.

        Args:
            frame: RGB (H, W, 3), uint8.
            box: of the object in it; at least a part of it lies in the frame.

        Raises:
            ValueError: the box has no size.
        """
        self._template = self._crop(frame, box, TEMPLATE_FACTOR, self.network.template_size)[0]
        self.box = box

    @torch.inference_mode()
    def step(self, frame: np.ndarray) -> Box:
        """Find the object in the next frame.

        Args:
            frame: RGB (H, W, 3), uint8.

        Raises:
            FloatingPointError: what the network gives is not finite.
        """
        search, side = self._crop(frame, self.box, SEARCH_FACTOR, self.network.search_size)
        with autocast(self.device, self._amp):
            maps = self.network(self._template, search, keep_rate=self._keep_rate).maps
        found = maps.boxes(self._window)[0].tolist()
        if not np.isfinite(found).all():
            raise FloatingPointError("the box is not finite")
        self.box = place_box(found, self.box, side, frame.shape[:2])
        return self.box

    def _crop(self, frame: np.ndarray, box: Box, factor: float, size: int) -> tuple[torch.Tensor, float]:
        """The normalised crop (1,3,size,size) around a box, and its side in pixels of the frame."""
        crop = crop_around(box, factor, size)
        if crop is None:
            raise ValueError(f"the box {box} has no size")
        return normalise(crop.cut(frame))[None].to(self.device), crop.side


def place_box(found: list[float], last: Box, side: float, size: Size) -> Box:
    """The box in the frame of one that was found in a search region.

    Args:
        found: centre x, y, width, height in shares of the search region.
        last: the box around which the region was cut.
        side: of the region, in pixels of the frame.
        size: height and width of the frame, in which the box is kept: at least `MARGIN` pixels of it, and as large.
    """
    height, width = size
    spans = []
    for axis, limit in ((0, width), (1, height)):
        margin = min(MARGIN, limit)
        length = found[axis + 2] * side
        start = last[axis] + 0.5 * last[axis + 2] + (found[axis] - 0.5) * side - 0.5 * length
        low = min(max(0.0, start), limit - margin)
        high = min(max(margin, start + length), float(limit))
        spans.append((low, max(margin, high - low)))
    (x, box_width), (y, box_height) = spans
    return x, y, box_width, box_height


class TrackingWorker(VideoWorker):
    """Tracks the objects of videos.

    Args:
        tracker: is begun anew for each video.
        first_boxes: by the name of the video.
    """

    def __init__(self, tracker: BoxTracker, first_boxes: Mapping[str, Box]) -> None:
        self.device = tracker.device
        self._tracker = tracker
        self._first_boxes = first_boxes

    def run(
        self,
        video: AnnotatedVideo,
        folder: Path,
        write_mask: Callable[[Path, np.ndarray], None],
        make_writers: MakeWriters,
        progress: Progress,
        request: dict[str, str] | None = None,
    ) -> Speed:
        """Track through a video; its folder appears when all files of the writers are on disk.

        Raises:
            InputError: a frame cannot be read, or what the network gives is not finite.
            OSError: a result cannot be written.
        """
        speed, tracker = Speed(), self._tracker
        nothing = np.zeros(video.source.size, np.uint8)
        items = video.source.items(0, len(video.source.names))
        with atomic_folder(folder, request) as partial, ExitStack() as stack:
            writers = [stack.enter_context(writer) for writer in make_writers(partial)]
            frames = stack.enter_context(closing(read_ahead(video.source.load, items)))
            for index, pixels in enumerate(frames):
                name = video.source.names[index]
                begin = time.perf_counter()
                try:
                    if index == 0:
                        tracker.start(pixels, self._first_boxes[video.name])
                    else:
                        tracker.step(pixels)
                except FloatingPointError as error:
                    place = f"frame {name} of {video.name}"
                    raise InputError(
                        f"the box in {place} is not finite; check the weights, or use --amp off"
                    ) from error
                synchronise(self.device)
                seconds = time.perf_counter() - begin
                speed += Speed(1, seconds)
                progress.advance(video.name)
                result = Result(index, name, pixels, nothing, seconds=seconds, box=tracker.box)
                for writer in writers:
                    writer.add(result)
        return speed
