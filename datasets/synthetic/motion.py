"""Smooth motion as formulas of time: positions, turns, scales and non-rigid ripples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator


@dataclass(frozen=True)
class Wave:
    """offset + rate * time + sum of amplitude * sin(frequency * time + phase); time in frames."""

    offset: float = 0.0
    rate: float = 0.0
    terms: tuple[tuple[float, float, float], ...] = ()

    def __call__(self, time: float) -> float:
        swing = sum(amplitude * np.sin(frequency * time + phase) for amplitude, frequency, phase in self.terms)
        return float(self.offset + self.rate * time + swing)


def draw_wave(rng: Generator, amplitude: float, periods: tuple[float, float], offset: float = 0.0) -> Wave:
    """A slow swing with a faster, smaller one upon it; `periods` in frames bounds the slow one."""
    frequency = 2 * np.pi / rng.uniform(*periods)
    slow = (amplitude, frequency, rng.uniform(0, 2 * np.pi))
    fast = (0.25 * amplitude, frequency * rng.uniform(2.1, 3.7), rng.uniform(0, 2 * np.pi))
    return Wave(offset, 0.0, (slow, fast))


def swing_through(start: float, centre: float, amplitude: float, peak_speed: float, time: float, inward: bool) -> Wave:
    """A swing about `centre` that has the value `start` at `time` and then moves towards the centre or away from it.

    Args:
        start, centre, amplitude: in pixels; the amplitude grows where the start would be out of its reach.
        peak_speed: largest speed, in pixels per frame.
        time: in frames.
        inward: towards the centre first.
    """
    amplitude = max(amplitude, 1.2 * abs(start - centre))
    frequency = peak_speed / amplitude
    phase = float(np.arcsin((start - centre) / amplitude))
    if (start > centre) == inward:
        phase = np.pi - phase
    return Wave(centre, 0.0, ((amplitude, frequency, phase - frequency * time),))


def similarity(x: float, y: float, angle: float, scale_x: float, scale_y: float) -> np.ndarray:
    """Matrix (3, 3): scale along both axes, turn by `angle` radians, then move by (x, y)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[scale_x * cosine, -scale_y * sine, x], [scale_x * sine, scale_y * cosine, y], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Pose:
    """Where a body is: canonical square -> world pixels.

    Attributes:
        x, y: position of the body's centre, in pixels of the world.
        angle: in radians.
        log_scale: natural logarithm of pixels per canonical unit.
        squash: height over width, which imitates a turn out of the picture plane.
    """

    x: Wave
    y: Wave
    angle: Wave
    log_scale: Wave
    squash: Wave

    def matrix(self, time: float) -> np.ndarray:
        """Canonical coordinates -> world pixels, (3, 3)."""
        scale = np.exp(self.log_scale(time))
        return similarity(self.x(time), self.y(time), self.angle(time), scale, scale * self.squash(time))


def draw_pose(rng: Generator, x: Wave, y: Wave, pixels_per_unit: float, liveliness: float) -> Pose:
    """A pose with random turning, scaling and squashing; `liveliness` 0 stands still, 1 is an object's usual motion."""
    turn = draw_wave(rng, liveliness * rng.uniform(0.1, 0.5), (30, 80), rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.4:
        turn = Wave(turn.offset, liveliness * rng.uniform(-0.06, 0.06), turn.terms)
    scale = draw_wave(rng, liveliness * rng.uniform(0.03, 0.22), (40, 110), float(np.log(pixels_per_unit)))
    squash_depth = liveliness * rng.uniform(0.0, 0.16)
    squash = draw_wave(rng, squash_depth, (25, 70), 1 - 1.25 * squash_depth)
    return Pose(x, y, turn, scale, squash)


@dataclass(frozen=True)
class Ripple:
    """A non-rigid deformation of the canonical square: each axis is displaced by sines of the other one.

    Attributes:
        amplitude, wavenumber, frequency, phase: (2, N) each; row 0 displaces u, row 1 displaces v.
    """

    amplitude: np.ndarray
    wavenumber: np.ndarray
    frequency: np.ndarray
    phase: np.ndarray

    @property
    def margin(self) -> float:
        """Largest displacement, in canonical units."""
        return float(self.amplitude.sum(axis=1).max())

    def __call__(self, u: np.ndarray, v: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Displaced copies of the coordinates u and v, float32 of any shape."""
        phase = (self.frequency * time + self.phase).astype(np.float32)
        terms = range(self.amplitude.shape[1])
        wavenumber, amplitude = self.wavenumber.astype(np.float32), self.amplitude.astype(np.float32)
        moved_u = u + sum(amplitude[0, i] * np.sin(wavenumber[0, i] * v + phase[0, i]) for i in terms)
        moved_v = v + sum(amplitude[1, i] * np.sin(wavenumber[1, i] * u + phase[1, i]) for i in terms)
        return moved_u, moved_v


def draw_ripple(rng: Generator, liveliness: float) -> Ripple:
    """A slow bend and a quicker, shorter wave along each axis."""
    bend, wave = rng.uniform(0.02, 0.16, 2), rng.uniform(0.0, 0.05, 2)
    return Ripple(
        amplitude=np.stack([bend, wave], axis=1),
        wavenumber=np.stack([rng.uniform(1.5, 3.5, 2), rng.uniform(4, 8, 2)], axis=1),
        frequency=liveliness * rng.choice([-1.0, 1.0], (2, 2)) * rng.uniform(0.08, 0.3, (2, 2)),
        phase=rng.uniform(0, 2 * np.pi, (2, 2)),
    )


@dataclass(frozen=True)
class Camera:
    """World pixels -> frame pixels: pan, zoom and roll about the centre of the frame."""

    centre: tuple[float, float]
    pan_x: Wave
    pan_y: Wave
    log_zoom: Wave
    roll: Wave

    def matrix(self, time: float) -> np.ndarray:
        """World pixels -> frame pixels, (3, 3)."""
        x, y = self.centre
        zoom = np.exp(self.log_zoom(time))
        view = similarity(x + self.pan_x(time), y + self.pan_y(time), self.roll(time), zoom, zoom)
        return view @ similarity(-x, -y, 0.0, 1.0, 1.0)

    def world_point(self, point: Sequence[float], time: float) -> tuple[float, float]:
        """The world position (x, y) that is seen at a frame position (x, y)."""
        x, y, _ = np.linalg.solve(self.matrix(time), (*point, 1.0))
        return float(x), float(y)


def draw_camera(rng: Generator, height: int, width: int, strength: float) -> Camera:
    """A random slow camera; `strength` 0 stands still, 1 pans by up to a tenth of the frame."""
    pan = strength * rng.uniform(0.02, 0.09) * width
    return Camera(
        centre=((width - 1) / 2, (height - 1) / 2),
        pan_x=draw_wave(rng, pan, (50, 140)),
        pan_y=draw_wave(rng, 0.6 * pan, (50, 140)),
        log_zoom=draw_wave(rng, strength * rng.uniform(0.0, 0.1), (60, 160)),
        roll=draw_wave(rng, strength * rng.uniform(0.0, 0.08), (50, 140)),
    )
