"""Videos to be segmented: frames, masks of some of them, and what is wanted of each."""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from datasets.frame_files import FrameSource
from datasets.mask_files import match_size
from datasets.test.sets import DAVIS, Scoring
from datasets.test.sizing import CPU, FULL_SIZE, Sizing
from util.errors import InputError
from util.files import content_hash
from util.tensors import one_hot

MOST_LINES = 20
MOST_OBJECTS = 12

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Frame:
    """One frame of a video.

    Attributes:
        index: its position in the video.
        name: under which its result is saved.
        pixels: RGB (H, W, 3), uint8.
        image: (3, h, w) float32, normalised for the network, in the size in which it works, on its device.
        mask: (J, h, w) float32 in {0, 1}, one row for each object whose mask is given; None where none is.
        objects: ids of the rows.
    """

    index: int
    name: str
    pixels: np.ndarray
    image: Tensor
    mask: Tensor | None
    objects: tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """One way through a video: frames start..stop-1, in order or the last one first.

    Attributes:
        start, stop: the first position, and the one behind the last.
        reverse: whether it begins with the last frame.
        merge_from: from this position on, results of an earlier pass exist; only objects that it did not know are
            added to them, where it saw background. None where this pass has its frames to itself.
    """

    start: int
    stop: int
    reverse: bool = False
    merge_from: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def position(self, step: int) -> int:
        """Position in the video of the frame that comes at this step of the pass."""
        return self.stop - 1 - step if self.reverse else self.start + step


@dataclass(frozen=True)
class MaskNote:
    """What a mask holds.

    Attributes:
        video, frame: their names.
        shares: part of the frame that each object covers, in [0, 1], by its id.
        remarks: what may surprise whoever made the mask.
        colours: of the ids, (256, 3), uint8, where the mask shows objects by colours; else None.
    """

    video: str
    frame: str
    shares: Mapping[int, float]
    remarks: tuple[str, ...] = ()
    colours: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(cls, video: str, frame: str, ids: np.ndarray, remarks: Iterable[str] = ()) -> "MaskNote":
        """The note on ids (H, W); 0 is background."""
        found, counts = np.unique(ids, return_counts=True)
        shares = zip(found.tolist(), (counts / ids.size).tolist(), strict=True)
        return cls(video, frame, {k: share for k, share in shares if k}, tuple(remarks))

    def __str__(self) -> str:
        objects = [f"{self._show(k)} {_percent(share)}" for k, share in list(self.shares.items())[:MOST_OBJECTS]]
        if len(self.shares) > MOST_OBJECTS:
            objects.append(f"and {len(self.shares) - MOST_OBJECTS} more")
        text = "; ".join([", ".join(objects) or "no object", *self.remarks])
        return printable(f"mask of {self.video}, frame {self.frame}: {text}")

    def _show(self, object_id: int) -> str:
        if self.colours is None or object_id >= len(self.colours):
            return f"object {object_id}"
        return f"object {object_id} (#{bytes(self.colours[object_id]).hex()})"


@dataclass(frozen=True)
class AnnotatedVideo:
    """A video some of whose frames have masks.

    Attributes:
        name: name of the video.
        source: its frames.
        masks: for each annotated position what `read_mask` takes, usually a file.
        read_mask: gives object ids (H, W), 0 for the background.
        objects: ids of all objects, ascending.
        first_seen: position of the first mask of each object.
        output_size: height and width of the first mask, in which results are wanted.
        sizing: in which size the network sees the frames.
        wanted: names of the frames whose results are wanted; None for all.
        has_truth: whether all frames have true masks somewhere, so that results can be scored.
        direction: `forward`, from the first mask to the end; `backward`, from the frame in which the last object is
            first given to the beginning; or `both`.
        palette: colours of the ids in the results, uint8 (256, 3); None for the usual ones.
        padded: whether frames before the first mask have results too, which are empty.
        notes: what its masks hold and what may surprise in them.
    """

    name: str
    source: FrameSource
    masks: Mapping[int, Any]
    read_mask: Callable[[Any], np.ndarray]
    objects: tuple[int, ...]
    first_seen: Mapping[int, int]
    output_size: tuple[int, int]
    sizing: Sizing = FULL_SIZE
    wanted: frozenset[str] | None = None
    has_truth: bool = False
    direction: str = "forward"
    palette: np.ndarray | None = None
    padded: bool = False
    notes: tuple[MaskNote, ...] = ()

    @classmethod
    def open(
        cls,
        name: str,
        source: FrameSource,
        masks: Mapping[int, Any],
        read_mask: Callable[[Any], np.ndarray],
        *,
        remarks: Callable[[Any], Iterable[str]] = lambda mask: (),
        sizing: Sizing = FULL_SIZE,
        wanted: frozenset[str] | None = None,
        has_truth: bool = False,
        direction: str = "forward",
    ) -> "AnnotatedVideo":
        """A video whose masks are read once, to learn about its objects.

        Args:
            remarks: what is to be said of a mask that has been read.
            name, source, masks, read_mask, sizing, wanted, has_truth, direction: as the attributes.

        Raises:
            InputError: a mask cannot be used, its size differs from the frames' by more than a pixel or two, or there
                is no object in any; or no frame that is segmented is wanted.
        """
        first_seen: dict[int, int] = {}
        sizes: list[tuple[int, int]] = []
        notes = []
        for index in sorted(masks):
            ids = read_mask(masks[index])
            sizes.append(ids.shape)
            match_size(ids, source.size, masks[index])
            for k in np.unique(ids[ids > 0]).tolist():
                first_seen.setdefault(k, index)
            said = list(remarks(masks[index]))
            if ids.shape != source.size:
                said.append(f"{ids.shape[1]}x{ids.shape[0]} is resized to the frame's size")
            notes.append(MaskNote.of(name, source.names[index], ids, said))
        if not first_seen:
            named = next(iter(masks.values()), f"of {name}")
            raise InputError(f"mask {named} holds no object (0 is background); annotate one or leave the video out")
        video = cls(
            name,
            source,
            masks,
            read_mask,
            objects=tuple(sorted(first_seen)),
            first_seen=first_seen,
            output_size=sizes[0],
            sizing=sizing,
            wanted=wanted,
            has_truth=has_truth,
            direction=direction,
            notes=tuple(notes),
        )
        if video.has_end and not video.result_names:
            first = source.names[video.covered.start]
            raise InputError(
                f"none of the frames of {source.origin} whose results are wanted comes after the first mask, of frame"
                f" {first}; nothing would be written"
            )
        return video

    def __len__(self) -> int:
        """Frames that are segmented, those of several passes counted each time; 0 where that is not known."""
        return sum(map(len, self.passes)) if self.has_end else 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in which the network sees the frames."""
        return self.sizing.working(self.source.size)

    @property
    def has_end(self) -> bool:
        """Whether it is known how many frames there are, and they can be read several times."""
        return self.source.has_end

    @property
    def passes(self) -> list[Pass]:
        """The ways through the video that its direction asks for."""
        first, last = min(self.first_seen.values()), max(self.first_seen.values())
        forward, backward = Pass(first, len(self.source.names)), Pass(0, last + 1, reverse=True)
        if self.direction == "backward":
            return [backward]
        if self.direction == "both" and last > 0:
            return [forward, replace(backward, merge_from=first)]
        return [forward]

    @property
    def covered(self) -> Pass:
        """All frames that have results, in their order."""
        passes = self.passes
        return Pass(min(p.start for p in passes), max(p.stop for p in passes))

    @property
    def origin(self) -> Path | str:
        """Where the frames are from, for messages."""
        return self.source.origin

    @property
    def rate(self) -> Fraction:
        """Frames per second when the video is shown."""
        return self.source.rate

    @property
    def times(self) -> Sequence[Fraction] | None:
        """Seconds from the first frame to each, where they are not shown for equally long; else None."""
        return self.source.times

    def sources(self) -> list[Path]:
        """Where its frames are read from; of links also what they lead to."""
        linked = {path.resolve().parent for path in getattr(self.source, "paths", ()) if path.is_symlink()}
        return [*([self.origin] if isinstance(self.origin, Path) else []), *sorted(linked)]

    def fingerprint(self) -> dict[str, str]:
        """What tells this video and its masks from others: hashes of the frames' names and sizes, and of the masks."""
        masks = hashlib.sha256()
        for index in sorted(self.masks):
            given = self.masks[index]
            for path in given if isinstance(given, tuple) else (given,):
                masks.update(f"{index} {path.name} {content_hash(path)}\n".encode("utf-8", "surrogateescape"))
        return {"frames": self.source.fingerprint(), "masks": masks.hexdigest(), "--direction": self.direction}

    def wants(self, name: str) -> bool:
        """Whether the result of the frame of this name is wanted."""
        return self.wanted is None or name in self.wanted

    @property
    def result_names(self) -> list[str]:
        """File names of the results, in temporal order; none where they are not known."""
        if not self.has_end:
            return []
        names = self.source.names[self.covered.start : self.covered.stop]
        return [f"{name}.png" for name in (*self.blank_names, *names) if self.wants(name)]

    @property
    def blank_names(self) -> list[str]:
        """Names of the frames before the first mask whose results are wanted and empty."""
        early = self.source.names[: self.covered.start] if self.padded else []
        return [name for name in early if self.wants(name)]

    def frames(self, way: Pass, device: torch.device = CPU) -> Generator[Frame, None, None]:
        """Stream the frames of a pass; a few are read ahead and sent to the device, in background threads.

        Raises:
            InputError: at the frame that cannot be read or whose size differs from the first frame's.
        """
        positions = range(way.start, way.stop)[:: -1 if way.reverse else 1]
        items = self.source.items(way.start, way.stop, reverse=way.reverse)
        return read_ahead(partial(self._load, device), zip(positions, items, strict=self.has_end))

    def _load(self, device: torch.device, place: tuple[int, object]) -> Frame:
        index, item = place
        pixels = self.source.load(item)
        mask: Tensor | None = None
        objects: tuple[int, ...] = ()
        if index in self.masks:
            ids = match_size(self.read_mask(self.masks[index]), self.source.size, self.masks[index])
            objects = tuple(np.unique(ids[ids > 0]).tolist())
            mask = self.sizing.mask(one_hot(ids, list(objects)), self.source.size) if objects else None
        return Frame(index, self.source.names[index], pixels, self.sizing.image(pixels, device), mask, objects)

    def restore(self, probabilities: Tensor) -> Tensor:
        """Probabilities (K+1,h,w) in the size that the network sees -> (K+1,H,W) in the size of the results."""
        return self.sizing.restore(probabilities, self.source.size, self.output_size)


def read_ahead(
    read: Callable[[Item], Result], items: Iterable[Item], *, depth: int = 4, threads: int = 2
) -> Generator[Result, None, None]:
    """Yield `read(item)` for every item, in order, while at most `depth` results wait in memory.

    Raises:
        Whatever `read` raises, at the place of the item that caused it.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        waiting: deque[Future[Result]] = deque(pool.submit(read, item) for item in islice(remaining, depth))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(read, item) for item in islice(remaining, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


class VideoSet:
    """Videos that are segmented in one run.

    Attributes:
        videos: in the order of their list.
        split: name of the set in score tables.
        merged: all labels are one object; results are 0/255.
        inputs: folders that are never written to.
        truth: folder of the true masks, one folder for each video.
        archive_folder: folder within the archive for the server.
        scoring: which frames are scored, and what is told of them.
        object_frames: for each video and object the names of the only frames that count; None where all do.
    """

    videos: Sequence[AnnotatedVideo]
    split: str
    merged: bool = False
    inputs: Sequence[Path]
    truth: Path
    archive_folder: str = ""
    scoring: Scoring = DAVIS
    object_frames: Mapping[str, Mapping[int, Collection[str]]] | None = None

    def is_unseen(self, video: str, object_id: int) -> bool | None:
        """Whether training shows no object of the kind of this one; None where that is not known."""
        return None

    def lines_on_masks(self, videos: Sequence[AnnotatedVideo]) -> list[str]:
        """A line for each mask of these of the videos, the surprising ones first; many are cut short."""
        return note_lines([note for video in videos for note in video.notes])

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[AnnotatedVideo]:
        return iter(self.videos)


def note_lines(notes: Sequence[MaskNote], most: int = MOST_LINES) -> list[str]:
    """The notes as lines, those with remarks first; at most so many and then their number."""
    ordered = sorted(notes, key=lambda note: not note.remarks)
    more = len(ordered) - most
    return [str(note) for note in ordered[:most]] + ([f"... and {more} more masks"] if more > 0 else [])


def printable(text: str) -> str:
    """Text in which bytes of a name that are no UTF-8 are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"
