"""Bodies of a synthetic scene: their outlines in a frame, and layouts that place and set them in motion."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from datasets.synthetic.motion import Camera, Pose, Ripple, Wave, draw_pose, draw_ripple, swing_through
from datasets.synthetic.shapes import FAR_OUTSIDE, Shape, draw_kind, draw_shape

LARGEST_SHARE = 0.20
SMALLEST_SHARE = 0.04
ALIKE = 0.5


@dataclass(frozen=True)
class Outline:
    """The pixels of a body in a frame, before anything in front of it hides them.

    Attributes:
        window: rows and columns of the frame that enclose the body.
        inside: (h, w) bool within the window, true on the body.
        u, v: (h, w) float32, canonical coordinates of these pixels, in [-1, 1] on the body.
    """

    window: tuple[slice, slice]
    inside: np.ndarray
    u: np.ndarray
    v: np.ndarray


@dataclass(frozen=True)
class Body:
    """A moving, deforming shape: an object, or with label 0 clutter.

    Attributes:
        label: object id, 0..255.
        first_frame: the body is absent from earlier frames.
        area: its usual area, in pixels.
    """

    label: int
    first_frame: int
    area: float
    shape: Shape
    pose: Pose
    ripple: Ripple

    def outline(self, view: np.ndarray, time: float, height: int, width: int) -> Outline | None:
        """Where the body is seen through the camera matrix `view`; None when it is out of the frame."""
        matrix = view @ self.pose.matrix(time)
        extent = 1 + self.ripple.margin
        corners = matrix @ np.array([[-extent, extent, extent, -extent], [-extent, -extent, extent, extent], [1.0] * 4])
        left, top = (max(0, int(np.floor(low))) for low in corners[:2].min(axis=1))
        right = min(width, int(np.ceil(corners[0].max())) + 1)
        bottom = min(height, int(np.ceil(corners[1].max())) + 1)
        if left >= right or top >= bottom:
            return None
        back = np.linalg.inv(matrix).astype(np.float32)
        x, y = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)[:, None]
        u, v = (row[0] * x + (row[1] * y + row[2]) for row in back[:2])
        u, v = self.ripple(u, v, time)
        distance = sample(self.shape.distance, u, v, cv2.BORDER_CONSTANT, FAR_OUTSIDE)
        return Outline((slice(top, bottom), slice(left, right)), distance > 0, u, v)


def sample(picture: np.ndarray, u: np.ndarray, v: np.ndarray, border: int, value: float = 0.0) -> np.ndarray:
    """A picture (S, S) or (S, S, 3) that covers the canonical square, read bilinearly at (u, v)."""
    size = np.float32(picture.shape[0])
    half, shift = size / 2, (size - 1) / 2
    return cv2.remap(picture, u * half + shift, v * half + shift, cv2.INTER_LINEAR, None, border, value)


@dataclass(frozen=True)
class Cast:
    """The shapes of a scene before they are placed: first the objects, then the clutter.

    Attributes:
        shapes: one for each body.
        first_frames: of the objects, one for each.
    """

    shapes: list[Shape]
    first_frames: tuple[int, ...]

    @property
    def objects(self) -> int:
        """Number of labelled objects."""
        return len(self.first_frames)


def draw_cast(rng: Generator, height: int, width: int, first_frames: tuple[int, ...], clutter: int) -> Cast:
    """Random shapes, sampled as finely as their largest size in the frame needs."""
    _, largest = _area_range(len(first_frames))
    size = int(np.clip(2.4 * np.sqrt(largest * height * width), 32, 512))
    kinds = [draw_kind(rng) for _ in first_frames]
    kinds += [str(rng.choice(kinds)) if rng.random() < ALIKE else draw_kind(rng) for _ in range(clutter)]
    return Cast([draw_shape(rng, kind, size) for kind in kinds], first_frames)


def _area_range(objects: int) -> tuple[float, float]:
    """Smallest and largest share of the frame that an object covers; many objects are smaller ones."""
    return min(SMALLEST_SHARE, 0.25 / objects), min(LARGEST_SHARE, 0.6 / objects)


@dataclass(frozen=True)
class Stage:
    """What a layout needs to know of the clip: its frame, camera and pace.

    Attributes:
        speed: time units per frame.
        leaving: probability that an object leaves the frame and returns.
    """

    height: int
    width: int
    camera: Camera
    speed: float
    leaving: float


def draw_layout(rng: Generator, cast: Cast, stage: Stage, shrink: float) -> list[Body]:
    """Place the cast in the frame and give it motion; returns the bodies from the farthest to the nearest.

    Args:
        shrink: factor on the bodies' areas, in (0, 1]; small values leave more room.
    """
    smallest, largest = _area_range(cast.objects)
    frame_area = stage.height * stage.width
    bodies: list[Body] = []
    taken: list[tuple[float, float]] = []
    for number, shape in enumerate(cast.shapes):
        is_object = number < cast.objects
        share = rng.uniform(smallest, largest) if is_object else rng.uniform(0.05, 0.35) * largest
        area = shrink * share * frame_area
        pixels_per_unit = float(np.sqrt(area / shape.area))
        first_frame = cast.first_frames[number] if is_object else 0
        start = _start(rng, stage, taken, first_frame > 0, shape.reach * pixels_per_unit)
        liveliness = 1.0 if is_object else float(rng.choice([0.0, 0.5, 1.0]))
        x, y = _path(rng, stage, start, first_frame, shape.reach * pixels_per_unit, liveliness, is_object)
        pose = draw_pose(rng, x, y, pixels_per_unit, liveliness)
        label = number + 1 if is_object else 0
        bodies.append(Body(label, first_frame, area, shape, pose, draw_ripple(rng, liveliness)))
    return [bodies[i] for i in rng.permutation(len(bodies))]


def _start(
    rng: Generator, stage: Stage, taken: list[tuple[float, float]], late: bool, reach: float
) -> tuple[float, float]:
    """Frame position (x, y) of a body when it is first seen: free room, or the frame's border when it comes late."""
    size = np.array([stage.width, stage.height])
    if late:
        point = rng.random(2) * 0.8 * size + 0.1 * size
        axis = int(rng.integers(2))
        inset = rng.uniform(-0.35, 0.15) * reach
        point[axis] = inset if rng.random() < 0.5 else size[axis] - 1 - inset
        return float(point[0]), float(point[1])
    margin = np.minimum(0.8 * reach, 0.35 * size)
    candidates = margin + rng.random((12, 2)) * (size - 2 * margin)
    if taken:
        gaps = np.linalg.norm(candidates[:, None] - np.array(taken)[None], axis=2).min(axis=1)
        candidates = candidates[np.argsort(-gaps)]
    taken.append((float(candidates[0, 0]), float(candidates[0, 1])))
    return taken[-1]


def _path(
    rng: Generator,
    stage: Stage,
    start: Sequence[float],
    first_frame: int,
    reach: float,
    liveliness: float,
    is_object: bool,
) -> tuple[Wave, Wave]:
    """World positions x and y over time, which pass the frame position `start` at the first frame."""
    time = stage.speed * first_frame
    origin = stage.camera.world_point(start, time)
    if liveliness == 0:
        return Wave(origin[0]), Wave(origin[1])
    sizes = (stage.width, stage.height)
    leaves = is_object and first_frame == 0 and rng.random() < stage.leaving
    exit_axis = int(rng.random() < 0.6) if leaves else -1
    waves = []
    for axis, size in enumerate(sizes):
        if axis == exit_axis:
            amplitude = 1.12 * (0.5 * size + reach) + 0.05 * stage.width
            peak_speed = rng.uniform(0.045, 0.06) * stage.width
            waves.append(swing_through(origin[axis], 0.5 * size, amplitude, peak_speed, time, inward=False))
            continue
        amplitude = rng.uniform(0.22, 0.42) * size
        peak_speed = liveliness * rng.uniform((0.024, 0.016)[axis], (0.042, 0.028)[axis]) * stage.width
        inward = first_frame > 0 or rng.random() < 0.5
        centre = rng.uniform(0.4, 0.6) * size
        waves.append(swing_through(origin[axis], centre, amplitude, peak_speed, time, inward))
    return waves[0], waves[1]
