"""What a camera's sensor makes of a scene: changing light, blur and noise, as formulas of time."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from datasets.synthetic.motion import Wave, draw_wave

NOISE_SLACK = 64


@dataclass(frozen=True)
class Sensor:
    """Light, blur and noise of a clip.

    Attributes:
        log_gain, log_gamma, warmth: tone curve over time; a warm light lifts red and lowers blue. None: no change.
        sigma_along, sigma_across: width of the blur, in pixels, over time. None: sharp.
        direction: direction of the blur, in radians.
        noise: (H + 64, W + 64, 3) int16; each frame cuts its noise from it at another place. None: no noise.
    """

    tone: tuple[Wave, Wave, Wave] | None
    blur: tuple[Wave, Wave] | None
    direction: float
    noise: np.ndarray | None

    def expose(self, rgb: np.ndarray, time: float, rng: Generator) -> np.ndarray:
        """The picture (H, W, 3), uint8, as the sensor sees it; `rng` draws the noise of this frame."""
        if self.tone is not None:
            rgb = cv2.LUT(rgb, _tone_table(*(wave(time) for wave in self.tone)))
        if self.blur is not None:
            along, across = (abs(wave(time)) for wave in self.blur)
            kernel = _blur_kernel(along, across, self.direction)
            rgb = cv2.filter2D(rgb, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        if self.noise is not None:
            top, left = rng.integers(0, NOISE_SLACK + 1, 2)
            crop = self.noise[top : top + rgb.shape[0], left : left + rgb.shape[1]]
            rgb = cv2.add(rgb, np.ascontiguousarray(crop), dtype=cv2.CV_8U)
        return rgb


def _tone_table(log_gain: float, log_gamma: float, warmth: float) -> np.ndarray:
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(log_gamma)
    gains = np.exp(log_gain) * np.array([1 + warmth, 1.0, 1 - warmth])
    return np.clip(255 * levels * gains + 0.5, 0, 255).astype(np.uint8)[None]


def _blur_kernel(sigma_along: float, sigma_across: float, direction: float) -> np.ndarray:
    radius = max(1, int(np.ceil(2 * max(sigma_along, sigma_across))))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    along = x * np.cos(direction) + y * np.sin(direction)
    across = y * np.cos(direction) - x * np.sin(direction)
    kernel = np.exp(-0.5 * ((along / max(sigma_along, 0.2)) ** 2 + (across / max(sigma_across, 0.2)) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def draw_sensor(rng: Generator, height: int, width: int, light: float, blur: float, noise: float) -> Sensor:
    """A random sensor; each strength is 0 for none and 1 for the usual amount."""
    tone = (
        draw_wave(rng, light * rng.uniform(0.03, 0.22), (25, 90)),
        draw_wave(rng, light * rng.uniform(0.03, 0.2), (25, 90)),
        draw_wave(rng, light * rng.uniform(0.0, 0.06), (40, 120)),
    )
    pixel = blur * max(1.0, np.sqrt(height * width) / 320)
    blurs = (
        draw_wave(rng, pixel * rng.uniform(0.0, 0.5), (15, 60), pixel * rng.uniform(0.4, 0.9)),
        Wave(pixel * rng.uniform(0.35, 0.6)),
    )
    direction = float(rng.uniform(0, np.pi))
    level = noise * rng.uniform(0.5, 4.0)
    grain = rng.standard_normal((height + NOISE_SLACK, width + NOISE_SLACK, 3), np.float32) * np.float32(level)
    return Sensor(
        tone=tone if light > 0 else None,
        blur=blurs if blur > 0 else None,
        direction=direction,
        noise=np.clip(np.round(grain), -100, 100).astype(np.int16) if noise > 0 else None,
    )
