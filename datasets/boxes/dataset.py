"""Trees of boxes as videos to be segmented or tracked: the first mask is made of the given box."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from datasets.boxes.boxes import Box, Cut, cut_out, fill_box, read_object
from datasets.boxes.trees import BoxTree
from datasets.test.annotated_video import AnnotatedVideo, VideoSet
from datasets.test.sizing import FULL_SIZE, Sizing
from util.errors import InputError

MOST_BEYOND = 0.1  # of the frame's width or height

logger = logging.getLogger(__name__)


class BoxDataset(VideoSet):
    """The videos of a tree of boxes; everything short of the later frames is checked on construction.

    Args:
        tree: the dataset on disk.
        cut: finds the object in the box, for the first mask; None to take the whole box.
        masks: folder with <video>.png, the first masks instead; None for none.
        sizing: in which size the network sees the frames.

    Attributes:
        tree: the dataset on disk.
        boxes: the given box of each video, by its name.

    Raises:
        InputError: frames, a box or a mask are missing or cannot be used.
    """

    def __init__(
        self,
        tree: BoxTree,
        cut: Cut | None = None,
        masks: Path | None = None,
        *,
        sizing: Sizing = FULL_SIZE,
    ) -> None:
        self.split = tree.kind
        self.inputs: Sequence[Path] = (tree.root,) if masks is None else (tree.root, masks)
        self.truth = tree.root
        self.tree = tree
        self._cut, self._masks = cut, masks
        if masks is not None and not masks.is_dir():
            raise InputError(f"folder {masks} does not exist; check --masks")
        self.boxes: dict[str, Box] = {}
        self.videos = [self._open(name, sizing) for name in tree.names]

    def _open(self, name: str, sizing: Sizing) -> AnnotatedVideo:
        source = self.tree.source(name)
        path = self.tree.truth(name)
        box = self.boxes[name] = self.tree.first_box(name, len(source.names))
        _note_reach(path, box, source.size)
        working = sizing.working(source.size)
        read: Callable[[Path], np.ndarray] = partial(fill_box, box=box, size=source.size, working=working)
        if self._masks is not None:
            path, read = self._masks / f"{name}.png", partial(read_object, size=source.size)
        read(path)
        if self._masks is None and self._cut is not None:
            read = partial(cut_out, box=box, size=source.size, working=working, source=source, cut=self._cut)
        return AnnotatedVideo(
            name,
            source,
            {0: path if path.is_file() and path != source.origin else ()},
            read,
            objects=(1,),
            first_seen={1: 0},
            output_size=source.size,
            sizing=sizing,
            wanted=frozenset(),
        )


def _note_reach(path: Path, box: Box, size: tuple[int, int]) -> None:
    """Say that a box reaches far beyond its frame (H, W), as one of two corners would."""
    x, y, width, height = box
    if x + width > (1 + MOST_BEYOND) * size[1] or y + height > (1 + MOST_BEYOND) * size[0]:
        frame = f"its frame of {size[1]}x{size[0]}"
        logger.warning("the first box of %s reaches beyond %s; is it x, y, width, height: %s?", path, frame, box)
