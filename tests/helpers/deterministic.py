"""Weights and inputs that depend on nothing but names and shapes; the reference numbers were made with them."""

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from model.weights.published import from_published, to_published
from tests.helpers.parity import as_asked

FIXTURES = Path(__file__).parents[1] / "fixtures"


def fixture(name: str) -> dict[str, np.ndarray]:
    with np.load(FIXTURES / f"{name}.npz") as arrays:
        return dict(arrays)


def deterministic_array(key: str, shape: tuple[int, ...], is_float: bool) -> np.ndarray:
    """Value of the published state-dict entry `key`."""
    if not is_float:
        return np.zeros(shape, np.int64)
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode()))).standard_normal(shape)
    if len(shape) >= 2:
        noise = noise * np.sqrt(2.0 / np.prod(shape[1:]))
        noise = noise - noise.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        if key in ("mask_rgb_encoder.conv1.weight", "value_encoder.conv1.weight"):
            noise[:, 3:] *= 5.0
        factors = {"skip_conv1.weight": 0.4, "skip_conv.weight": 0.4, "score.fc2.weight": 0.35}
        return (noise * next((f for end, f in factors.items() if key.endswith(end)), 1.0)).astype(np.float32)
    if key.endswith("weight"):
        last = key.endswith("bn3.weight") or (key.startswith("value_encoder.layer") and key.endswith("bn2.weight"))
        return ((1 + 0.1 * noise) * (0.5 if last else 1.0)).astype(np.float32)
    if key.endswith("running_var"):
        return (1 + 0.1 * np.abs(noise)).astype(np.float32)
    return (0.1 * noise + (1.0 if key == "score.fc2.bias" else 0.0)).astype(np.float32)


def published_state(network: nn.Module) -> dict[str, Tensor]:
    """The deterministic state dict of a network under its published names."""
    return {
        key: torch.from_numpy(np.asarray(deterministic_array(key, tuple(v.shape), v.is_floating_point()))).to(v.dtype)
        for key, v in to_published(network.arch, network.state_dict()).items()
    }


def fill(network: nn.Module) -> nn.Module:
    """Fill a network with the deterministic weights and put it into evaluation mode."""
    network.load_state_dict(from_published(network.arch, published_state(network)))
    return as_asked(network.eval())


def make_clip(frames: int, height: int, width: int, phase: float = -0.75) -> tuple[np.ndarray, np.ndarray]:
    """RGB (T,3,H,W) float32 and labels (T,H,W) uint8 in {0,1,2}: a rectangle and an ellipse that move."""
    t = np.arange(frames, dtype=np.float64).reshape(frames, 1, 1) + phase
    v = (np.arange(height, dtype=np.float64).reshape(1, height, 1) + 0.5) / height
    u = (np.arange(width, dtype=np.float64).reshape(1, 1, width) + 0.5) / width
    rectangle = (np.abs(v - (0.35 + 0.015 * t)) < 0.22) & (np.abs(u - (0.28 + 0.012 * t)) < 0.17)
    ellipse = ((v - (0.60 - 0.012 * t)) / 0.28) ** 2 + ((u - (0.72 - 0.010 * t)) / 0.18) ** 2 < 1
    label = np.where(rectangle, 1, np.where(ellipse, 2, 0)).astype(np.uint8)
    wave = 2 * np.pi
    background = [
        np.sin(wave * (u + 0.3 * v + 0.03 * t)),
        np.cos(wave * (v - 0.5 * u - 0.02 * t)),
        1.6 * (u - v) + 0.02 * t,
    ]
    first = [1.6 + 0.5 * np.sin(40 * (u - 0.012 * t)), -1.2 + 0.5 * np.cos(40 * (v - 0.015 * t)), -1.5 + 0 * t]
    second = [-1.6 + 0 * t, 1.4 + 0.6 * np.sin(50 * (u + v + 0.002 * t)), 1.7 - 0.5 * np.cos(45 * (u + 0.010 * t))]
    flat = 0 * u * v
    rgb = np.stack(
        [
            np.where(label == 1, one + flat, np.where(label == 2, two + flat, back + flat))
            for back, one, two in zip(background, first, second, strict=True)
        ],
        1,
    )
    return (np.round(rgb * 64) / 64).astype(np.float32), label


def clip_tensors(frames: int, height: int, width: int, phase: float = -0.75) -> tuple[Tensor, Tensor]:
    """The clip as RGB (T,3,H,W) and masks of both objects (T,2,H,W), float32."""
    rgb, label = make_clip(frames, height, width, phase)
    return torch.from_numpy(rgb), torch.from_numpy(np.stack([label == 1, label == 2], 1).astype(np.float32))
