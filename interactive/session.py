"""From a raw video to masks of everything in it, with a person's help (the loop of MiVOS, CVPR 2021).

session = InteractiveSession(source, "clip", folder, network, clicks, device=device)
k = session.add_object("dog")
session.prompt(0, k, Click(120, 80))
for index in session.propagate("both"): ...
session.prompt(session.neediest_frame(), k, Click(300, 90, positive=False))
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datasets.frame_files import FrameSource
from datasets.test.annotated_video import read_ahead
from datasets.test.sizing import Sizing, choose_sizing
from inference_core_yv import InferenceCoreYV
from interactive.clicks import PromptSegmenter
from interactive.frames import FrameReader
from interactive.known import KnownFrames
from interactive.prompts import Paint, Polygon, Prompt
from interactive.propagation import DIRECTIONS, Visit, blend, compose, plan, share_of
from interactive.storage import MOST_OBJECTS, FrameMask, FrameNote, SessionFolder, SessionObject, Step
from model.interactive import ClickNetwork
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory_network import MemoryNetwork
from util.device import autocast
from util.errors import InputError
from util.tensors import one_hot

NEAR_FRAMES = 8  # corrected frames that a propagation remembers before it begins
MEMORY = replace(YOUTUBE_MEMORY, annotations=2 * NEAR_FRAMES)
LONGEST_NAME = 60  # of an object


class InteractiveSession:
    """Objects of a video, what a person said about them, and their masks on every frame; all of it on disk at once.

    Methods may be called from several threads; one may propagate while others look and correct. What grows with the
    video in memory are a few bytes for each frame.

    Args:
        source: the frames.
        name: of the video.
        folder: of the session, see `SessionFolder`.
        network: propagates masks; in evaluation mode.
        clicks: makes masks of prompts, with the image encoder of any network; None: masks are painted or given.
        device: where both are.
        amp: automatic mixed precision, see `util.device.AUTOCAST`.
        size: most pixels of the shorter side that the networks see.
        memory: what a propagation remembers beside the corrected frames.
        resume: go on with the session in the folder, if any.
        blends: blend the results of both sides between two corrected frames. By default the latest counts, which knows
            both of them: blended with what was there before, masks were worse (docs/interactive.md).

    Attributes:
        folder: on disk, with objects and steps.
        known: what is known of each frame.

    Raises:
        InputError: the folder cannot be used.
    """

    def __init__(
        self,
        source: FrameSource,
        name: str,
        folder: Path,
        network: MemoryNetwork,
        clicks: ClickNetwork | None,
        *,
        device: torch.device,
        amp: str = "off",
        size: int = 480,
        memory: MemoryOptions = MEMORY,
        resume: bool = False,
        blends: bool = False,
    ) -> None:
        self.source, self.name = source, name
        self._network = network
        self._device, self._amp, self._memory, self._blends = device, amp, memory, blends
        self._sizing: Sizing = choose_sizing([size])
        self._reader = FrameReader(source)
        self._lock = RLock()
        self._clicks = (
            None if clicks is None else PromptSegmenter(clicks, self._reader.read, self._sizing, device=device, amp=amp)
        )
        video = {
            "name": name,
            "frames": len(source.names),
            "size": list(source.size),
            "fingerprint": source.fingerprint(),
        }
        self.folder = SessionFolder(folder, video, source.names, resume=resume)
        self.known = KnownFrames(len(source.names), self.folder.objects)
        self._positions = {name: index for index, name in enumerate(source.names)}
        try:
            for index in range(len(self)):
                self.known.learn(index, self.folder.note(index))
        except BaseException:
            self.folder.close()
            raise

    def __len__(self) -> int:
        return len(self.source.names)

    def close(self) -> None:
        """Let other processes use the folder."""
        self._reader.close()
        self.folder.close()

    @property
    def objects(self) -> tuple[SessionObject, ...]:
        """The objects, in the order of their ids."""
        return tuple(thing for _, thing in sorted(self.folder.objects.items()) if not thing.removed)

    def frame(self, index: int) -> np.ndarray:
        """A frame, RGB (H,W,3) uint8; not to be changed.

        Raises:
            InputError: it cannot be read.
        """
        return self._reader.read(index)

    def mask(self, index: int) -> np.ndarray:
        """Ids (H,W) uint8 of a frame; zeros where it has no mask yet.

        Raises:
            InputError: the saved mask is damaged.
        """
        return self._read(index).ids

    def prompts(self, index: int) -> Mapping[int, tuple[Prompt, ...]]:
        """What was said about each object on a frame."""
        return self._read(index).note.prompts

    def waiting(self) -> list[int]:
        """Frames whose corrections have not been propagated yet in some direction."""
        with self._lock:
            return sorted(self.known.pending)

    def add_object(self, name: str = "") -> int:
        """A new object; its id.

        Raises:
            InputError: there are too many.
        """
        with self._lock:
            k = max(self.folder.objects, default=0) + 1
            if k > MOST_OBJECTS:
                raise InputError(f"a session holds at most {MOST_OBJECTS} objects, removed ones among them")
            self.folder.objects[k] = SessionObject(k, _short(name) or f"object {k}")
            self.known.add_object(k)
            try:
                self.folder.begin("add an object", added=[k])
            except BaseException:
                del self.folder.objects[k]
                raise
            return k

    def change_object(self, object_id: int, *, name: str | None = None, hidden: bool | None = None) -> None:
        """Rename, hide or show an object.

        Raises:
            ValueError: there is no such object.
        """
        with self._lock:
            thing = self._object(object_id)
            if name is not None:
                thing.name = _short(name) or thing.name
            if hidden is not None:
                thing.hidden = hidden
            self.folder.save()

    def remove_object(self, object_id: int) -> None:
        """Remove an object from all frames.

        Raises:
            ValueError: there is no such object.
        """
        with self._lock:
            self._object(object_id)
            self.folder.begin("delete an object", removed=[object_id])

    def encode(self, index: int) -> None:
        """Make what clicks on a frame need, so that the first one is answered sooner."""
        if self._clicks is not None:
            self._clicks.encode(index)

    def prompt(self, index: int, object_id: int, prompt: Prompt) -> np.ndarray:
        """Say something about an object on a frame; its mask there counts as corrected from now on.

        Returns:
            The ids (H,W) of the frame.

        Raises:
            ValueError: there is no such frame or object.
            InputError: the frame cannot be read, or there is no network for what is said.
        """
        self._object(object_id)
        self._check_frame(index)
        features = None
        if not isinstance(prompt, Paint | Polygon):
            if self._clicks is None:
                raise InputError("there is no network for clicks; paint, draw a polygon, or start with --click_model")
            features = self._clicks.encode(index)
        with self._lock:
            before = self._read(index)
            given = (*before.note.prompts.get(object_id, ()), prompt)
            mask = before.ids == object_id
            if features is not None and self._clicks is not None:
                mask = self._clicks.segment(features, given, mask)
            painted = mask.astype(np.uint8)
            for one in [prompt] if features is None else given:
                if isinstance(one, Paint | Polygon):
                    one.draw(painted)
            ids = np.where(before.ids == object_id, 0, before.ids)
            ids[painted > 0] = object_id
            note = FrameNote(
                {**before.note.quality, object_id: 1.0},
                before.note.corrected | {object_id},
                self._ahead(index),
                {**before.note.prompts, object_id: given},
            )
            self._correct(index, FrameMask(ids, note), type(prompt).__name__.lower())
            return ids

    def set_mask(self, index: int, ids: np.ndarray, kind: str = "given mask") -> None:
        """Take the mask of a frame as it is given; objects that are not known are added.

        Args:
            index: of the frame.
            ids: (H,W), 0 is the background.
            kind: of the step.

        Raises:
            ValueError: the size differs from the frame's.
            InputError: an id is too large.
        """
        self._check_frame(index)
        if ids.shape != self.source.size:
            raise ValueError(f"the mask is {ids.shape}, the frame {self.source.size}")
        found = [int(k) for k in np.unique(ids) if k]
        if found and max(found) > MOST_OBJECTS:
            raise InputError(f"the mask holds id {max(found)}; renumber its objects to 1..{MOST_OBJECTS}")
        with self._lock:
            added = [k for k in found if k not in self.folder.objects]
            for k in added:
                self.folder.objects[k] = SessionObject(k, f"object {k}")
                self.known.add_object(k)
            note = FrameNote(dict.fromkeys(found, 1.0), frozenset(found), self._ahead(index))
            self._correct(index, FrameMask(ids.astype(np.uint8), note), kind, added)

    def clear(self, index: int, object_id: int) -> None:
        """Take an object from a frame, and forget what was said about it there; the frame is free to be propagated to.

        Raises:
            ValueError: there is no such frame or object.
        """
        self._object(object_id)
        self._check_frame(index)
        with self._lock:
            before = self._read(index)
            corrected = before.note.corrected - {object_id}
            note = FrameNote(
                _without(before.note.quality, object_id),
                corrected,
                before.note.pending if corrected else frozenset(),
                _without(before.note.prompts, object_id),
            )
            ids = np.where(before.ids == object_id, 0, before.ids)
            self._correct(index, FrameMask(ids, note), "clear")

    def confirm(self, index: int) -> None:
        """Say that a frame's masks are right; absent objects are right, too. They become permanent memory.

        Raises:
            ValueError: there is no such frame, or no object.
        """
        self._check_frame(index)
        with self._lock:
            everything = frozenset(thing.id for thing in self.objects)
            if not everything:
                raise ValueError("there is no object yet")
            before = self._read(index)
            note = replace(
                before.note,
                quality=dict.fromkeys(everything, 1.0),
                corrected=everything,
                pending=self._ahead(index),
            )
            self._correct(index, FrameMask(before.ids, note), "confirm")

    def undo(self) -> Step | None:
        """Take the latest step back; None where there is none."""
        return self._move(self.folder.undo)

    def redo(self) -> Step | None:
        """Do the step again that was undone last; None where there is none."""
        return self._move(self.folder.redo)

    def neediest_frame(self) -> int | None:
        """The frame on which help is worth most by the predicted quality; None where no frame has a propagated mask."""
        return self.known.neediest({thing.id for thing in self.objects})

    def pending(self, start: int | None = None, directions: Sequence[str] = DIRECTIONS) -> list[tuple[str, Visit]]:
        """What `propagate` would visit."""
        return list(self._plan(start, directions))

    def propagate(
        self,
        directions: Sequence[str] = DIRECTIONS,
        start: int | None = None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[int]:
        """Propagate corrected masks through the video; every frame is saved before it is yielded.

        An object goes from where it was corrected to where it was corrected next. Corrected frames are permanent
        memory and are never overwritten. Between two of them the latest result counts, or with `blends` both.

        Args:
            directions: `forward`, `backward` or both, in this order.
            start: propagate the masks of this frame; None for what has not been propagated yet.
            cancelled: asked within each frame; when it says so, the propagation ends and what was saved stays.

        Yields:
            The positions of the frames visited; those where the propagation begins, too.

        Raises:
            InputError: a frame cannot be read, or probabilities are not finite.
            ValueError: the frame where it is to start has no mask.
        """
        if start is not None:
            self._check_frame(start)
            if not (self.mask(start) > 0).any():
                raise ValueError("this frame has no mask to propagate; click an object first")
        step: Step | None = None
        for direction in directions:
            visits = [visit for _, visit in self._plan(start, [direction])]
            step = yield from self._sweep(direction, visits, step, cancelled)

    def _plan(self, start: int | None, directions: Sequence[str]) -> Iterator[tuple[str, Visit]]:
        with self._lock:
            alive = frozenset(thing.id for thing in self.objects)
            corrected = {i: found & alive for i, found in self.known.corrected.items() if found & alive}
            pending = dict(self.known.pending)
        for direction in directions:
            if start is None:
                starts = {i: corrected[i] for i, due in pending.items() if direction in due and i in corrected}
            else:
                starts = {start: self._present(self._read(start))}
            for visit in plan(len(self), corrected, starts, 1 if direction == "forward" else -1):
                yield direction, visit

    def _sweep(
        self, direction: str, visits: Sequence[Visit], step: Step | None, cancelled: Callable[[], bool]
    ) -> Generator[int, None, Step | None]:
        """Propagate in one direction, as a part of a step; returns the step that it is a part of at its end."""
        last = {span.start: place for place, visit in enumerate(visits) for span in visit.spans.values()}
        last |= {visit.index: place for place, visit in enumerate(visits) if visit.begins and visit.index not in last}
        notes: dict[int, FrameNote] = {}
        core: InferenceCoreYV | None = None
        with closing(self._frames([visit.index for visit in visits])) as frames:
            for place, (visit, pixels) in enumerate(zip(visits, frames, strict=True)):
                if visit.begins or core is None:
                    core = self._remembering(visit.index, cancelled)
                known = self._read(visit.index)
                if visit.index in last:
                    notes[visit.index] = known.note
                found = None if cancelled() else self._predict(core, pixels, known, visit, cancelled)
                if found is None:
                    return step
                with self._lock:
                    step = self._current(step)
                    if visit.spans:
                        self._take(visit, found, core)
                    for start in [start for start, end in last.items() if end == place]:
                        self._settle(start, notes[start], direction)
                yield visit.index
        return step

    def _frames(self, indices: Sequence[int]) -> Generator[np.ndarray, None, None]:
        """The frames at these positions, a few of them read ahead; neighbours are read in one go."""
        first = 0
        for place in range(1, len(indices) + 1):
            if place < len(indices) and abs(indices[place] - indices[place - 1]) == 1:
                continue
            low, high = sorted((indices[first], indices[place - 1]))
            items = self.source.items(low, high + 1, reverse=indices[first] > indices[place - 1])
            yield from read_ahead(self.source.load, items)
            first = place

    def _remembering(self, index: int, cancelled: Callable[[], bool]) -> InferenceCoreYV:
        """A core that remembers the corrected frames nearest to this one, the nearest last."""
        core = InferenceCoreYV(self._network, self._memory)
        with self._lock:
            near = sorted((i for i in self.known.corrected if i != index), key=lambda i: abs(i - index))[:NEAR_FRAMES]
        for other in reversed(near):
            if cancelled():
                break
            known = self._read(other)
            objects = [k for k in sorted(known.note.corrected) if (known.ids == k).any()]
            if objects:
                with self._computing():
                    core.step(self._image(self.frame(other)), self._planes(known.ids, objects), objects)
        return core

    def _predict(
        self, core: InferenceCoreYV, pixels: np.ndarray, known: FrameMask, visit: Visit, cancelled: Callable[[], bool]
    ) -> np.ndarray | None:
        """Probabilities (K+1,H,W) of a frame, with the masks in that are given there; None where it was cancelled."""
        given = self._present(known) if visit.begins else known.note.corrected
        objects = [k for k in sorted(given) if k in core.objects or (known.ids == k).any()]
        with self._computing():
            image = self._image(pixels)
            planes = self._planes(known.ids, objects) if objects else None
            masks = core.predict(image, core.check(image, planes, objects))
            if cancelled():
                return None
            probabilities = core.commit(masks, planes, objects).float()
            found = self._sizing.restore(probabilities, self.source.size, self.source.size).cpu().numpy()
        if not np.isfinite(found.sum()):
            place = f"frame {self.source.names[visit.index]} of {self.name}"
            raise InputError(f"the probabilities in {place} are not finite; check the weights, or use --amp off")
        return found

    def _take(self, visit: Visit, found: np.ndarray, core: InferenceCoreYV) -> None:
        """Save what a propagation found on a frame, but for what has been corrected there."""
        known = self._read(visit.index)
        written = [k for k in visit.spans if k not in known.note.corrected and not self.folder.objects[k].removed]
        quality = dict.fromkeys(core.objects, float("nan"))
        if core.report is not None and core.report.quality:
            quality |= dict(zip(core.report.objects, core.report.quality, strict=True))
        shares: dict[int, float] = {}
        predicted: dict[int, float] = {}
        for k in written:
            span, other = visit.spans[k], known.note.quality.get(k)
            shares[k], predicted[k] = 1.0, quality[k]
            if self._blends and span.end is not None and other is not None:
                shares[k] = share_of(span.nearness(visit.index), quality[k], other)
                predicted[k] = shares[k] * quality[k] + (1 - shares[k]) * other
        ids = compose(known.ids, blend(found, known.ids, core.objects, shares), written, sorted(known.note.corrected))
        self._write(visit.index, FrameMask(ids, replace(known.note, quality={**known.note.quality, **predicted})))

    def _settle(self, index: int, note: FrameNote, direction: str) -> None:
        """The corrections of a frame have been propagated in a direction, unless others have come since."""
        known = self._read(index)
        said = (note.corrected, note.pending, note.prompts)
        if direction in note.pending and said == (known.note.corrected, known.note.pending, known.note.prompts):
            self._write(index, FrameMask(known.ids, replace(known.note, pending=note.pending - {direction})))

    def _current(self, step: Step | None) -> Step:
        """The step of a propagation; a new one behind what a person did in the meantime."""
        if step is not None and self.folder.done and self.folder.done[-1] == step:
            return step
        return self.folder.begin("propagation")

    def _correct(self, index: int, mask: FrameMask, kind: str, added: Sequence[int] = ()) -> None:
        """Save a mask that a person made, as a step of its own."""
        with self.folder.step(kind, added=added):
            self._write(index, mask)

    def _write(self, index: int, mask: FrameMask) -> None:
        self.folder.write(index, mask)
        self.known.learn(index, mask.note)

    def _move(self, move: Callable[[], tuple[Step, list[str]] | None]) -> Step | None:
        with self._lock:
            moved = move()
            if moved is None:
                return None
            step, names = moved
            for name in names:
                self.known.learn(self._positions[name], self.folder.note(self._positions[name]))
            return step

    def _read(self, index: int) -> FrameMask:
        """The saved mask of a frame without removed objects; an empty one where there is none."""
        self._check_frame(index)
        with self._lock:
            saved = self.folder.read(index)
            gone = [k for k, thing in self.folder.objects.items() if thing.removed]
        if saved is None:
            return FrameMask(np.zeros(self.source.size, np.uint8))
        note = saved.note
        if not gone:
            return saved
        kept = replace(
            note,
            quality={k: value for k, value in note.quality.items() if k not in gone},
            corrected=note.corrected - set(gone),
            prompts={k: given for k, given in note.prompts.items() if k not in gone},
        )
        return FrameMask(np.where(np.isin(saved.ids, gone), 0, saved.ids).astype(np.uint8), kept)

    def _ahead(self, index: int) -> frozenset[str]:
        """The directions in which there are frames beyond this one."""
        return frozenset(d for d, end in (("forward", len(self) - 1), ("backward", 0)) if index != end)

    def _present(self, mask: FrameMask) -> frozenset[int]:
        """Objects that have pixels on a frame, or were corrected there."""
        return frozenset(int(k) for k in np.unique(mask.ids) if k) | mask.note.corrected

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with torch.inference_mode(), autocast(self._device, self._amp):
            yield

    def _image(self, pixels: np.ndarray) -> Tensor:
        return self._sizing.image(pixels, self._device)

    def _planes(self, ids: np.ndarray, objects: list[int]) -> Tensor:
        return self._sizing.mask(one_hot(ids, objects), self.source.size).to(self._device)

    def _object(self, object_id: int) -> SessionObject:
        thing = self.folder.objects.get(object_id)
        if thing is None or thing.removed:
            raise ValueError(f"there is no object {object_id}")
        return thing

    def _check_frame(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise ValueError(f"there is no frame {index}; the video has {len(self)}")


def _short(name: str) -> str:
    return " ".join(name.split())[:LONGEST_NAME]


def _without(known: Mapping[int, Any], object_id: int) -> dict[int, Any]:
    return {k: value for k, value in known.items() if k != object_id}
