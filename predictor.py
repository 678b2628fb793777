"""The door for other people's code: frames and id masks in, id masks out.

predictor = VideoPredictor.load("saves/qdmn_small.pth")
predictor.start(frame, mask)
ids = predictor.step(frame)
for frame, ids in predictor.segment("clip.mp4", {0: mask, 40: more}): ...
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from datasets.frame_files import FrameFolder, FrameSource
from datasets.test.sizing import Size, choose_sizing
from datasets.test.video_file import VideoFile
from inference.fast_form import for_inference
from inference_core_yv import InferenceCoreYV
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory_network import MemoryNetwork
from model.weights.checkpoint import load_network
from util.device import AUTOCAST, autocast, choose_device
from util.errors import InputError
from util.tensors import from_device, most_likely, one_hot, take_rows

Frame = np.ndarray | Tensor | Image.Image
Mask = np.ndarray | Tensor | Image.Image
Masks = Mapping[int, Mask]
MEMORY_NAMES = frozenset(field.name for field in fields(MemoryOptions))
MAX_ID = 65535
ASPECT_TOLERANCE = 0.02
PILLOW_ID_MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B")


@dataclass(frozen=True)
class _MaskForm:
    """The form in which a caller gives masks and gets ids: its size, its largest id, and the way back to it."""

    size: Size
    largest: int
    wrap: Callable[[np.ndarray], Any]


class VideoPredictor:
    """Segments videos frame by frame; objects may come, be corrected and go at any time.

    A frame is RGB (H,W,3), grey (H,W) or RGBA (H,W,4), uint8 (transparency is ignored), or a PIL picture of 8 bits. A
    mask is (H,W) whole numbers, 0 for the background and each other number an object (255, too), or bool for one
    object. Both may be NumPy arrays, torch tensors on any device, or PIL pictures, which are turned upright as their
    EXIF data say. Masks may have another size than the frames, if the sides are in the same proportion; results have
    the size and the type of the first mask.

    Args:
        network: in evaluation mode and, for speed, in the form of `for_inference`; several predictors may share it.
        amp: automatic mixed precision, `off`, `bf16` or `fp16`.
        size: most pixels of the shorter side that the network sees; None for all.
        options: what the memory keeps, see `MemoryOptions` (policy, capacity, mem_every, quality_threshold, gate, ...;
            by default as published for YouTube-VOS), and how it is read, see `InferenceCoreYV`.

    Attributes:
        probabilities: of the latest frame, (K+1,H,W) float32 in the size of the mask, on the network's device: the
            background, then the K `objects`. None before the first frame.

    Raises:
        ValueError: an option is out of range, or the network is in training mode.
    """

    def __init__(self, network: MemoryNetwork, *, amp: str = "off", size: int | None = None, **options: Any) -> None:
        if amp not in AUTOCAST:
            raise ValueError(f"amp is {amp!r}; choose one of {', '.join(AUTOCAST)}")
        if size is not None and size < 1:
            raise ValueError(f"size is {size}; give the pixels of the shorter side, or None for all")
        if network.training:
            raise ValueError("the network is in training mode; call network.eval() first")
        self.network = network
        self.device = next(network.parameters()).device
        self._amp = amp
        self._size = size
        self._options = options
        kept = {name: value for name, value in options.items() if name in MEMORY_NAMES}
        self._memory = replace(YOUTUBE_MEMORY, **kept)
        self._reading = {name: value for name, value in options.items() if name not in MEMORY_NAMES}
        self._sizing = choose_sizing(None if size is None else [size])
        self.reset()

    @classmethod
    def load(
        cls,
        weights: str | Path,
        *,
        device: str | torch.device = "auto",
        amp: str = "off",
        size: int | None = None,
        **options: Any,
    ) -> "VideoPredictor":
        """A predictor with the network of a checkpoint.

        Args:
            weights: a checkpoint of this project, or published weights.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            amp, size, options: as for the class.

        Raises:
            InputError: the file holds no network that can be used, or there is no such device.
            ValueError: an option is out of range.
        """
        place = choose_device(str(device))
        network = load_network(Path(weights), place)
        if not isinstance(network, MemoryNetwork):
            raise InputError(f"{weights} holds {network.arch}, which segments no objects; choose another checkpoint")
        corrects = options.get("correct_rate") is not None
        for_inference(network, place, amp=AUTOCAST.get(amp), corrects=corrects)
        return cls(network, amp=amp, size=size, **options)

    def another(self, **options: Any) -> "VideoPredictor":
        """A predictor for another video beside this one, with the same network and options, but for those given."""
        return VideoPredictor(self.network, amp=self._amp, size=self._size, **{**self._options, **options})

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the known objects, in the order of the rows of `probabilities` behind the background."""
        return self._core.objects

    @property
    def quality(self) -> dict[int, float]:
        """The predicted quality (IoU, in [0, 1]) of each object's mask on the latest frame; empty without scorer."""
        report = self._core.report
        if report is None or not report.quality:
            return {}
        return {k: value for k, value in zip(report.objects, report.quality, strict=True) if k in self.objects}

    def reset(self) -> None:
        """Forget the video; `start` begins another."""
        self._core = InferenceCoreYV(self.network, self._memory, **self._reading)
        self._form: _MaskForm | None = None
        self._frame_size: Size | None = None
        self.probabilities: Tensor | None = None

    def start(self, frame: Frame, mask: Mask) -> Any:
        """Begin a video with the objects of its first frame.

        Returns:
            The ids of the frame, in the type and size of the mask.

        Raises:
            ValueError: frame or mask is in no form that is known, or the mask has no object. The video before, if any,
                then goes on.
        """
        ids, form = _read_mask(mask)
        if not ids.any():
            raise ValueError("the mask has no object; 0 is background, each object has a number above 0")
        pixels = _read_frame(frame)
        self._planes(ids, form, _size(pixels))
        self.reset()
        self._form = form
        return self._step(pixels, form, ids)

    def step(self, frame: Frame, mask: Mask | None = None) -> Any:
        """Segment the next frame.

        Args:
            frame: of the size of the first.
            mask: of some objects: those that are new are added, those that are known are corrected. Other objects are
                segmented as ever; where both claim a pixel, the mask has it. A mask without objects changes nothing.

        Returns:
            The ids of the frame, in the type and size of the mask of `start`.

        Raises:
            ValueError: `start` has not been called, or frame or mask do not fit; the frame does not count then.
        """
        if self._form is None:
            raise ValueError("nothing is known of the video yet; call start(frame, mask) first")
        return self._step(_read_frame(frame), self._form, None if mask is None else _read_mask(mask)[0])

    def remove(self, objects: Sequence[int]) -> None:
        """Forget objects: their pixels fall to the background from the next frame on.

        Raises:
            ValueError: an object is not known.
        """
        before = self.objects
        self._core.remove(objects)
        if self.probabilities is not None:
            kept = [row for row, k in enumerate(before, start=1) if k in self.objects]
            gone = [row for row, k in enumerate(before, start=1) if k not in self.objects]
            background = take_rows(self.probabilities, [0, *gone]).sum(0, keepdim=True)
            self.probabilities = torch.cat([background, take_rows(self.probabilities, kept)])

    def segment(self, video: str | Path | Iterable[Frame], masks: Masks) -> Iterator[tuple[np.ndarray, Any]]:
        """Segment a whole video.

        Args:
            video: a video file, a folder of pictures, or the frames.
            masks: by the position of their frames, from 0.

        Yields:
            Each frame, RGB (H,W,3) uint8, with its ids; before the first mask all is background.

        Raises:
            InputError: the video cannot be read.
            ValueError: there is no mask, a mask does not fit, or belongs to no frame.
        """
        if not masks or min(masks) < 0:
            raise ValueError("give the masks by the position of their frames, from 0: {0: mask}")
        form = _read_mask(masks[min(masks)])[1]
        for position in sorted(masks):
            _check_form(_read_mask(masks[position])[0], form)
        self.reset()
        self._form = form
        last = -1
        for last, frame in enumerate(_frames(video)):
            pixels = _read_frame(frame)
            yield pixels, self._step(pixels, form, _read_mask(masks[last])[0] if last in masks else None)
        if max(masks) > last:
            raise ValueError(f"there is a mask for frame {max(masks)}, but the video ends with frame {last}")

    def _step(self, pixels: np.ndarray, form: _MaskForm, ids: np.ndarray | None) -> Any:
        size = _size(pixels)
        if self._frame_size is not None and self._frame_size != size:
            height, width = self._frame_size
            raise ValueError(f"the frame is {size[1]}x{size[0]}, the first one was {width}x{height}")
        objects, planes = (None, None) if ids is None else self._planes(ids, form, size)
        image = self._sizing.image(pixels, self.device)
        with torch.inference_mode():
            with autocast(self.device, self._amp):
                found = self._core.step(image, planes, objects).float()
            found = self._sizing.restore(found, size, form.size)
            total, labels = from_device(found.sum()), from_device(most_likely(found))
            if not bool(total().isfinite()):
                raise ValueError("the probabilities are not finite; look at the weights, or choose amp='off'")
        self._frame_size = size
        self.probabilities = found
        return form.wrap(np.array((0, *self.objects))[labels().numpy()])

    def _planes(self, ids: np.ndarray, form: _MaskForm, size: Size) -> tuple[tuple[int, ...] | None, Tensor | None]:
        """The objects of a mask and their planes (J,h,w) in the size that the network sees; None without objects."""
        _check_form(ids, form)
        _check_proportion(ids, size)
        objects = tuple(np.unique(ids[ids > 0]).tolist())
        if not objects:
            return None, None
        resized = one_hot(ids, list(objects))
        if ids.shape != size:
            resized = torch.nn.functional.interpolate(resized[None], size, mode="nearest")[0]
        planes = self._sizing.mask(resized, size)
        lost = [k for k, plane in zip(objects, planes, strict=True) if not plane.any()]
        if lost:
            raise ValueError(f"object {lost[0]} is too small to be seen in the size that the network sees; raise size")
        return objects, planes.to(self.device)


def _size(pixels: np.ndarray) -> Size:
    return pixels.shape[0], pixels.shape[1]


def _check_form(ids: np.ndarray, form: _MaskForm) -> None:
    """A mask must have the size of the first one, and ids that its type can hold."""
    if ids.shape != form.size:
        (height, width), (first_height, first_width) = ids.shape, form.size
        raise ValueError(f"the mask is {width}x{height}, the first one was {first_width}x{first_height}")
    if ids.max() > form.largest:
        raise ValueError(f"object {ids.max()} does not fit the type of the first mask; use a wider one there")


def _check_proportion(ids: np.ndarray, size: Size) -> None:
    (height, width), (frame_height, frame_width) = ids.shape, size
    if abs(width * frame_height / (height * frame_width) - 1) > ASPECT_TOLERANCE:
        raise ValueError(
            f"the mask is {width}x{height} but its frame {frame_width}x{frame_height}, in another proportion"
        )


def _frames(video: str | Path | Iterable[Frame]) -> Iterator[Frame]:
    if not isinstance(video, str | Path):
        yield from video
        return
    path = Path(video)
    source: FrameSource = FrameFolder(path) if path.is_dir() else VideoFile(path)
    for item in source.items(0, len(source.names)):
        yield source.load(item)


def _read_frame(frame: Frame) -> np.ndarray:
    """A frame as RGB (H,W,3), uint8."""
    if isinstance(frame, Image.Image):
        if frame.mode.startswith(("I", "F")):
            raise ValueError(
                f"the frame is a picture of mode {frame.mode}, of more than 8 bits; convert it to RGB first"
            )
        return np.array(ImageOps.exif_transpose(frame).convert("RGB"))
    given = frame.detach().cpu() if isinstance(frame, Tensor) else np.asarray(frame)
    if given.dtype not in (np.uint8, torch.uint8):
        raise ValueError(f"the frame holds {given.dtype}; give RGB values 0..255 as uint8")
    pixels = np.asarray(given)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise ValueError(f"the frame has shape {pixels.shape}; give (height, width, 3), or (height, width) for grey")
    return np.ascontiguousarray(pixels[..., :3]) if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _read_mask(mask: Mask) -> tuple[np.ndarray, _MaskForm]:
    """A mask as ids (H,W), int64, and the form in which it came."""
    if isinstance(mask, Image.Image):
        return _read_picture(ImageOps.exif_transpose(mask))
    if isinstance(mask, Tensor) and (mask.is_floating_point() or mask.is_complex()):
        raise _no_ids(mask.dtype)
    given = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
    if given.dtype != np.bool_ and not np.issubdtype(given.dtype, np.integer):
        raise _no_ids(given.dtype)
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(f"the mask has shape {given.shape}; give one number for each pixel, (height, width)")
    largest = 1 if given.dtype == np.bool_ else min(MAX_ID, int(np.iinfo(given.dtype).max))
    if isinstance(mask, Tensor):
        kind, device = mask.dtype, mask.device

        def to_tensor(ids: np.ndarray) -> Tensor:
            return torch.from_numpy(ids).to(device=device, dtype=kind)

        return _checked(given), _MaskForm(_size(given), largest, to_tensor)
    dtype = given.dtype
    return _checked(given), _MaskForm(_size(given), largest, lambda ids: ids.astype(dtype))


def _no_ids(dtype: np.dtype | torch.dtype) -> ValueError:
    return ValueError(f"the mask holds {dtype}; give object ids as whole numbers, or bool for one object")


def _read_picture(mask: Image.Image) -> tuple[np.ndarray, _MaskForm]:
    if mask.mode not in PILLOW_ID_MODES:
        raise ValueError(f"the mask is a picture of mode {mask.mode}; give one of object ids: P, L, I or 1")
    mode, palette = mask.mode, mask.getpalette("RGB") if mask.mode == "P" else None
    largest = {"1": 1, "L": 255, "P": 255}.get(mode, MAX_ID)

    def to_picture(ids: np.ndarray) -> Image.Image:
        if largest == MAX_ID:
            return Image.fromarray(ids.astype(np.int32 if mode == "I" else np.uint16))
        picture = Image.fromarray(ids.astype(np.bool_ if mode == "1" else np.uint8))
        if palette is not None:
            picture.putpalette(palette)
        return picture

    given = np.array(mask)
    return _checked(given), _MaskForm(_size(given), largest, to_picture)


def _checked(ids: np.ndarray) -> np.ndarray:
    wide = ids.astype(np.int64)
    if wide.min() < 0 or wide.max() > MAX_ID:
        raise ValueError(f"the mask holds ids from {wide.min()} to {wide.max()}; they must lie in 0..{MAX_ID}")
    return wide
