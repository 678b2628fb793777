"""A session on disk: one palette PNG for each frame that has a mask, and what is needed to undo.

What else is known of a frame (which objects were corrected, the prompts, the predicted quality) stands in a text chunk
of its PNG, so that a frame is saved in one step: whenever the process ends, each frame is as it was before or after.

    session.json            the video, the objects, the steps
    masks/<frame>.png       masks as they are
    history/<step>/before/  what a step replaced, and after/ what undoing it replaced; <frame>.none where nothing was
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from datasets.mask_files import voc_palette
from interactive.prompts import Prompt, from_json, to_json
from util.errors import InputError
from util.files import atomic_path, held, make_output_folder, remove_unfinished

SESSION = "session.json"
FORM = 1
NOTE = "vos-session"  # the text chunk
LONGEST_NOTE = 1 << 19  # characters; Pillow reads twice as many
MOST_STEPS = 100
MOST_OBJECTS = 254  # 255 is void


@dataclass(frozen=True)
class FrameNote:
    """What is known of a frame beside its mask.

    Attributes:
        quality: predicted IoU of each object's mask, in [0, 1]; 1 where a person made it.
        corrected: objects whose masks a person made or confirmed; they are never overwritten by propagation.
        pending: directions, `forward` and `backward`, to which the corrections have not been propagated yet.
        prompts: of each corrected object, in order.
    """

    quality: Mapping[int, float] = field(default_factory=dict)
    corrected: frozenset[int] = frozenset()
    pending: frozenset[str] = frozenset()
    prompts: Mapping[int, tuple[Prompt, ...]] = field(default_factory=dict)

    def text(self) -> str:
        """As `read` takes it. Prompts of great length are left out: the mask is what counts."""
        content = {
            "quality": {str(k): round(value, 4) for k, value in self.quality.items()},
            "corrected": sorted(self.corrected),
            "pending": sorted(self.pending),
        }
        prompts = {str(k): [to_json(prompt) for prompt in given] for k, given in self.prompts.items()}
        text = json.dumps({**content, "prompts": prompts})
        return text if len(text) <= LONGEST_NOTE else json.dumps(content)

    @classmethod
    def read(cls, text: str) -> "FrameNote":
        """The note of a text.

        Raises:
            ValueError, TypeError, AttributeError: it is none.
        """
        content = json.loads(text)
        prompts = {int(k): tuple(map(from_json, given)) for k, given in content.get("prompts", {}).items()}
        return cls(
            {int(k): float(value) for k, value in content.get("quality", {}).items()},
            frozenset(map(int, content.get("corrected", ()))),
            frozenset(map(str, content.get("pending", ()))),
            prompts,
        )


@dataclass(frozen=True)
class FrameMask:
    """A frame's mask, ids (H, W) uint8, and what is known of it."""

    ids: np.ndarray
    note: FrameNote = FrameNote()


@dataclass
class SessionObject:
    """An object; one that was removed keeps its id, so that its pixels are never taken for another's."""

    id: int
    name: str
    hidden: bool = False
    removed: bool = False


@dataclass(frozen=True)
class Step:
    """Something that can be undone: frames that it changed lie in its folder.

    Attributes:
        number: of its folder.
        kind: a word for people.
        added, removed: objects.
    """

    number: int
    kind: str
    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


class SessionFolder:
    """The folder of a session, held against other processes until `close`.

    Args:
        folder: is made where it does not exist.
        video: what tells the video from others; must be the same when the session is resumed.
        names: of the frames.
        resume: go on with the session that is there, if any.

    Attributes:
        objects: by their ids, removed ones among them.
        done, undone: steps, the latest last.

    Raises:
        InputError: the folder cannot be used, is in use, holds something else, or a session that is not to be resumed
            or is of another video.
    """

    def __init__(self, folder: Path, video: Mapping[str, Any], names: Sequence[str], *, resume: bool) -> None:
        self.folder = Path(folder)
        self._video = dict(video)
        self._names = names
        self.objects: dict[int, SessionObject] = {}
        self.done: list[Step] = []
        self.undone: list[Step] = []
        exists = (self.folder / SESSION).is_file()
        if exists and not resume:
            raise InputError(f"{folder} holds a session; pass --resume to go on with it, or another --session")
        if not exists and self.folder.is_dir() and any(not p.name.startswith(".vos") for p in self.folder.iterdir()):
            raise InputError(f"{folder} exists and is no session; choose another --session")
        make_output_folder(self.folder)
        with ExitStack() as stack:
            stack.enter_context(held(self.folder, "session"))
            if exists:
                self._read()
            self.masks.mkdir(exist_ok=True)
            remove_unfinished(self.masks)
            self._drop_unknown_steps()
            self.save()
            self._held = stack.pop_all()

    @property
    def masks(self) -> Path:
        """The folder of the masks."""
        return self.folder / "masks"

    def close(self) -> None:
        """Let other processes use the folder."""
        self._held.close()

    def path(self, index: int) -> Path:
        """Where the mask of a frame is, or would be."""
        return self.masks / f"{self._names[index]}.png"

    def read(self, index: int) -> FrameMask | None:
        """A frame's mask; None where it has none.

        Raises:
            InputError: the file is damaged.
        """
        found = self._open(index, pixels=True)
        return None if found is None else FrameMask(np.array(found[0]), found[1])

    def note(self, index: int) -> FrameNote | None:
        """What is known of a frame beside its mask, without reading the pixels; None where it has no mask.

        Raises:
            InputError: the file is damaged.
        """
        found = self._open(index, pixels=False)
        return None if found is None else found[1]

    def _open(self, index: int, *, pixels: bool) -> tuple[Image.Image, FrameNote] | None:
        path = self.path(index)
        try:
            with Image.open(path) as picture:
                note = FrameNote.read(picture.info[NOTE])
                if [picture.height, picture.width] != self._video["size"] or picture.mode != "P":
                    raise ValueError(f"{picture.width}x{picture.height} {picture.mode}")
                return picture.copy() if pixels else picture, note
        except FileNotFoundError:
            return None
        except (OSError, SyntaxError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} is no mask of this session ({error}); move it away and resume again") from error

    def write(self, index: int, mask: FrameMask) -> None:
        """Save a frame's mask as a part of the latest step.

        Raises:
            OSError: it cannot be written; the mask that was there stays.
        """
        self._keep(index, self._step_folder(self.done[-1]) / "before")
        picture = Image.fromarray(mask.ids)
        picture.putpalette(voc_palette().tobytes())
        text = PngInfo()
        text.add_text(NOTE, mask.note.text(), zip=True)
        with atomic_path(self.path(index), known=True) as temporary:
            picture.save(temporary, format="PNG", compress_level=1, pnginfo=text)

    def begin(self, kind: str, *, added: Sequence[int] = (), removed: Sequence[int] = ()) -> Step:
        """Begin a step; what was undone before can no longer be redone.

        Raises:
            OSError: the folder is full.
        """
        number = max((step.number for step in (*self.done, *self.undone)), default=0) + 1
        step = Step(number, kind, tuple(added), tuple(removed))
        dropped, kept = [*self.undone, *self.done[: -MOST_STEPS + 1]], self.done[-MOST_STEPS + 1 :]
        (self._step_folder(step) / "before").mkdir(parents=True, exist_ok=True)
        done, undone = self.done, self.undone
        self.done, self.undone = [*kept, step], []
        try:
            self._mark(step.added, removed=False)
            self._mark(step.removed, removed=True)
            self.save()
        except BaseException:
            self.done, self.undone = done, undone
            self._mark(step.removed, removed=False)
            self._mark(step.added, removed=True)
            raise
        for old in dropped:
            shutil.rmtree(self._step_folder(old), ignore_errors=True)
        return step

    @contextmanager
    def step(self, kind: str, *, added: Sequence[int] = (), removed: Sequence[int] = ()) -> Iterator[None]:
        """A step that is taken back where an error ends it."""
        step = self.begin(kind, added=added, removed=removed)
        try:
            yield
        except BaseException:
            with suppress(OSError):
                self.undo()
                self.undone.remove(step)
                self.save()
            raise

    def undo(self) -> tuple[Step, list[str]] | None:
        """Take the latest step back.

        Returns:
            The step, and the names of the frames that it had changed; None where there is nothing to undo.
        """
        if not self.done:
            return None
        step = self.done[-1]
        names = self._put_back(step, "before", save_in="after")
        self._mark(step.added, removed=True)
        self._mark(step.removed, removed=False)
        self.undone.append(self.done.pop())
        self.save()
        return step, names

    def redo(self) -> tuple[Step, list[str]] | None:
        """Do the step again that was undone last; as `undo`."""
        if not self.undone:
            return None
        step = self.undone[-1]
        names = self._put_back(step, "after")
        self._mark(step.added, removed=False)
        self._mark(step.removed, removed=True)
        self.done.append(self.undone.pop())
        self.save()
        return step, names

    def save(self) -> None:
        """Write the list of objects and steps."""
        content = {
            "form": FORM,
            "video": self._video,
            "objects": [asdict(thing) for thing in self.objects.values()],
            "done": [asdict(step) for step in self.done],
            "undone": [asdict(step) for step in self.undone],
        }
        with atomic_path(self.folder / SESSION, known=True) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")

    def _read(self) -> None:
        path = self.folder / SESSION
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = content["video"]
            objects = [SessionObject(**thing) for thing in content["objects"]]
            self.objects = {thing.id: thing for thing in objects}
            self.done, self.undone = (
                [Step(s["number"], s["kind"], tuple(s["added"]), tuple(s["removed"])) for s in content[name]]
                for name in ("done", "undone")
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path} is damaged; pass {self.masks} as --masks with another --session") from error
        if found != self._video:
            was = f"{found.get('name')} ({found.get('frames')} frames)" if isinstance(found, dict) else "something else"
            raise InputError(f"session {self.folder} was made of {was}; pass that video, or another --session")

    def _step_folder(self, step: Step) -> Path:
        return self.folder / "history" / f"{step.number:06d}"

    def _drop_unknown_steps(self) -> None:
        known = {self._step_folder(step) for step in (*self.done, *self.undone)}
        for folder in (self.folder / "history").glob("*"):
            if folder not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _mark(self, objects: Iterable[int], *, removed: bool) -> None:
        for k in objects:
            self.objects[k].removed = removed

    def _keep(self, index: int, place: Path) -> None:
        """Keep a frame's mask as it is, unless the step has kept it already."""
        path = self.path(index)
        name = self._names[index]
        kept, nothing = place / f"{name}.png", place / f"{name}.none"
        if kept.exists() or nothing.exists():
            return
        place.mkdir(exist_ok=True)
        if path.exists():
            _share(path, kept)
        else:
            nothing.touch()

    def _put_back(self, step: Step, place: str, save_in: str | None = None) -> list[str]:
        """Give all frames of a step what lies in its folder; may be done again after a crash."""
        folder = self._step_folder(step)
        names = []
        for kept in sorted(path for path in (folder / place).glob("*") if not path.name.startswith(".")):
            current = self.masks / f"{kept.stem}.png"
            if save_in is not None:
                target = folder / save_in
                target.mkdir(exist_ok=True)
                saved, nothing = target / current.name, target / f"{kept.stem}.none"
                if not saved.exists() and not nothing.exists():
                    if current.exists():
                        _share(current, saved)
                    else:
                        nothing.touch()
            if kept.suffix == ".none":
                current.unlink(missing_ok=True)
            else:
                _share(kept, current)
            names.append(kept.stem)
        return names


def _share(source: Path, target: Path) -> None:
    """Let `target` have the content of a file that is never changed in place: a link, or else a copy."""
    temporary = target.with_name(f".{target.name}.link")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        with atomic_path(target, known=True) as copy:
            shutil.copyfile(source, copy)
        return
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # both names were of one file already, which a rename leaves as they are
