"""Made clips: textured objects that move, turn, deform, hide each other, leave and return, with exact masks.

A clip is a formula of its seed and of the frame number, so frames can be made in any order, one at a time,
and a longer clip starts with the frames of a shorter one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

from datasets.synthetic.motion import draw_camera
from datasets.synthetic.scene import ALIKE, Body, Stage, draw_cast, draw_layout, sample
from datasets.synthetic.sensor import draw_sensor
from datasets.synthetic.textures import Look, draw_look, draw_patchwork
from util.errors import InputError

SMALLEST_SIDE = 32
PIXELS_PER_OBJECT = 64
MOST_OBJECTS = 255
LAYOUT_ATTEMPTS = 80
BACKGROUND_MARGIN = 0.15
SHAPES, LAYOUT, TEXTURES, SENSOR, CAMERA, NOISE = range(6)


class SyntheticClip:
    """An endless clip of textured objects over a textured background.

    Objects have the ids 1..objects. Each is visible in its first frame; later it may be hidden or out of the frame.
    The same arguments give the same bytes with the same versions of NumPy and OpenCV.

    Args:
        seed: 0 or larger.
        height, width: of a frame, in pixels; at least 32 each.
        objects: 1..255; at least 64 pixels of the frame for each.
        speed: factor on all motion; at 1 an object moves by about 2 to 4 % of the width from frame to frame.
        first_frames: frame in which each object appears; by default 0 for all. Late objects come in over the border.
        clutter: number of unlabelled bodies, some of which look like the objects.
        leaving: probability that an object soon leaves the frame for a while.
        camera, light, blur, noise: strength of camera motion, light change, blur and sensor noise;
            0 for none, 1 for the usual amount.

    Attributes:
        bodies: objects and clutter, from the farthest to the nearest.
        textures: one for each body, (S, S, 3) uint8, fixed to the body's own coordinates.
        background: (H', W', 3) uint8, larger than a frame.

    Raises:
        InputError: an argument is out of its range, or the objects cannot be placed so that all are visible.
    """

    def __init__(
        self,
        seed: int,
        height: int,
        width: int,
        objects: int,
        *,
        speed: float = 1.0,
        first_frames: Sequence[int] = (),
        clutter: int = 3,
        leaving: float = 0.3,
        camera: float = 1.0,
        light: float = 1.0,
        blur: float = 1.0,
        noise: float = 1.0,
    ) -> None:
        _check_size(height, width, objects)
        firsts = tuple(first_frames) or (0,) * objects
        amounts = {"camera": camera, "light": light, "blur": blur, "noise": noise}
        _check_options(seed, objects, firsts, speed=speed, clutter=clutter, leaving=leaving, **amounts)
        self.height, self.width, self.objects = height, width, objects
        self._seed, self._speed = seed, speed
        self._camera = draw_camera(self._rng(CAMERA), height, width, camera)
        self._sensor = draw_sensor(self._rng(SENSOR), height, width, light, blur, noise)
        self.bodies = self._place(firsts, clutter, leaving)
        self.background, self.textures = self._paint(self._rng(TEXTURES))

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame `number`, counted from 0.

        Returns:
            rgb (H, W, 3) uint8 and ids (H, W) uint8; the ids are those of the nearest body, 0 for everything else.
        """
        time = self._speed * number
        view = self._camera.matrix(time)
        margin = (np.array(self.background.shape[1::-1]) - (self.width, self.height)) // 2
        to_canvas = np.linalg.inv(view)[:2]
        to_canvas[:, 2] += margin
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.width, self.height)
        rgb = cv2.warpAffine(self.background, to_canvas, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
        ids = self._draw(self.bodies, number, rgb)
        return self._sensor.expose(rgb, time, self._rng(NOISE, number)), ids

    def _rng(self, *stream: int) -> Generator:
        return default_rng(SeedSequence(self._seed, spawn_key=stream))

    def _draw(self, bodies: Sequence[Body], number: int, rgb: np.ndarray | None = None) -> np.ndarray:
        """Ids (H, W) of a frame; the bodies' colours are painted over `rgb` where it is given."""
        time = self._speed * number
        view = self._camera.matrix(time)
        ids = np.zeros((self.height, self.width), np.uint8)
        for index, body in enumerate(bodies):
            outline = body.outline(view, time, self.height, self.width) if number >= body.first_frame else None
            if outline is None:
                continue
            np.copyto(ids[outline.window], body.label, where=outline.inside)
            if rgb is not None:
                colours = sample(self.textures[index], outline.u, outline.v, cv2.BORDER_REFLECT_101)
                np.copyto(rgb[outline.window], colours, where=outline.inside[..., None])
        return ids

    def _place(self, first_frames: tuple[int, ...], clutter: int, leaving: float) -> list[Body]:
        """A layout in which every object is visible when it first appears; bodies shrink until there is one."""
        cast = draw_cast(self._rng(SHAPES), self.height, self.width, first_frames, clutter)
        stage = Stage(self.height, self.width, self._camera, self._speed, leaving)
        for attempt in range(LAYOUT_ATTEMPTS):
            bodies = draw_layout(self._rng(LAYOUT, attempt), cast, stage, shrink=0.95**attempt)
            if self._all_seen(bodies):
                return bodies
        raise InputError(
            f"{self.objects} objects cannot all be seen in {self.height} x {self.width} pixels; "
            "ask for fewer objects or larger frames"
        )

    def _all_seen(self, bodies: list[Body]) -> bool:
        for number in {body.first_frame for body in bodies if body.label}:
            seen = np.bincount(self._draw(bodies, number).ravel(), minlength=MOST_OBJECTS + 1)
            share = 0.05 if number else 0.35
            newcomers = [body for body in bodies if body.label and body.first_frame == number]
            if any(seen[body.label] < max(1.0, share * body.area) for body in newcomers):
                return False
        return True

    def _paint(self, rng: Generator) -> tuple[np.ndarray, list[np.ndarray]]:
        """The background (H', W', 3) and one texture for each body; some clutter has the looks of an object."""
        height, width = (int(side * (1 + 2 * BACKGROUND_MARGIN)) for side in (self.height, self.width))
        looks = [draw_look(rng) for _ in range(rng.integers(1, 5))]
        background = draw_patchwork(rng, height, width, looks, rng.uniform(0.06, 0.3) * np.sqrt(height * width))
        hues, mean = [look.hue for look in looks], background.mean(axis=(0, 1))

        def own_looks() -> list[Look]:
            return [draw_look(rng, hues, mean) for _ in range(rng.choice([1, 1, 2, 3]))]

        object_looks = [own_looks() for _ in range(self.objects)]
        textures = []
        for body in self.bodies:
            if body.label:
                looks = object_looks[body.label - 1]
            else:
                looks = object_looks[rng.integers(self.objects)] if rng.random() < ALIKE else own_looks()
            textures.append(_body_texture(rng, body, looks))
        return background, textures


def _body_texture(rng: Generator, body: Body, looks: Sequence[Look]) -> np.ndarray:
    """A texture (S, S, 3), uint8, with shading that makes the body look round."""
    size = body.shape.distance.shape[0]
    texture = draw_patchwork(rng, size, size, looks, size * rng.uniform(0.06, 0.3))
    rim = 1 - np.clip(body.shape.distance / 0.3, 0, 1)
    x = np.linspace(-1, 1, size, dtype=np.float32)
    slope, angle = rng.uniform(0, 0.3), rng.uniform(0, 2 * np.pi)
    shade = 1 + slope * (np.cos(angle) * x[None] + np.sin(angle) * x[:, None]) - rng.uniform(0, 0.5) * rim**2
    return np.clip(texture * shade[..., None], 0, 255).astype(np.uint8)


def _check_size(height: int, width: int, objects: int) -> None:
    if not 1 <= objects <= MOST_OBJECTS:
        raise InputError(f"a clip has 1 to {MOST_OBJECTS} objects, not {objects}; ids are single bytes")
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"frames of {height} x {width} are too small; use at least {SMALLEST_SIDE} pixels a side")
    if height * width < PIXELS_PER_OBJECT * objects:
        raise InputError(
            f"{objects} objects do not fit into {height} x {width} pixels; ask for fewer objects or larger frames"
        )


def _check_options(seed: int, objects: int, first_frames: Sequence[int], **amounts: float) -> None:
    if seed < 0:
        raise InputError(f"seed {seed} is negative; use 0 or larger")
    if len(first_frames) != objects or min(first_frames) < 0:
        raise InputError(f"first_frames {list(first_frames)} must hold a frame number for each of {objects} objects")
    for name, amount in amounts.items():
        if not 0 <= amount < np.inf:
            raise InputError(f"{name} {amount} is not a usable amount; use 0 or larger")


def iterate_clip(
    seed: int, frames: int, height: int, width: int, objects: int, **options: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The frames of a clip one at a time; memory does not grow with their number.

    Args:
        frames: at least 1.
        seed, height, width, objects, options: as in `SyntheticClip`.

    Returns:
        An iterator over rgb (H, W, 3) uint8 and ids (H, W) uint8.

    Raises:
        InputError: as `SyntheticClip`, or there are no frames; raised at the call.
    """
    if frames < 1:
        raise InputError(f"a clip of {frames} frames is empty; ask for at least 1 frame")
    clip = SyntheticClip(seed, height, width, objects, **options)
    return map(clip.frame, range(frames))


def make_clip(
    seed: int, frames: int, height: int, width: int, objects: int, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """A whole clip: rgb (T, H, W, 3) uint8 and ids (T, H, W) uint8; arguments and errors as in `iterate_clip`."""
    rgb, ids = zip(*iterate_clip(seed, frames, height, width, objects, **options), strict=True)
    return np.stack(rgb), np.stack(ids)
