"""Networks for `torch.hub`: each entry gives a `VideoPredictor`, ready for frames and masks.

predictor = torch.hub.load(".", "qdmn_small", source="local")
predictor = torch.hub.load(".", "stcn", source="local", weights="stcn.pth", device="cuda")
"""

import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent
_PACKAGES = ("datasets", "inference", "model", "util")


def _refuse_namesakes() -> None:
    """Packages of other people that bear the names of ours would be imported in their place.

    Raises:
        ImportError: one has been imported already.
    """
    for name in _PACKAGES:
        found = sys.modules.get(name)
        places = [Path(place).resolve() for place in getattr(found, "__path__", [])]
        if found is not None and _ROOT / name not in places:
            raise ImportError(
                f"another package named {name!r} is imported already ({', '.join(map(str, places)) or 'a module'}); "
                "load this one first, or in a process of its own"
            )


_refuse_namesakes()

from predictor import VideoPredictor  # noqa: E402

dependencies = ["av", "cv2", "numpy", "PIL", "simplejpeg", "torch", "torchvision"]


def qdmn_small(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """The network that ships: a light QDMN.

    Args:
        weights: a checkpoint; None for the one that ships.
        options: device, amp, size and options of the memory, as for `VideoPredictor.load`.
    """
    return _load("qdmn_small", weights or _ROOT / "saves/qdmn_small.pth", options)


def qdmn(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """QDMN (ECCV 2022). Weights, published ones or your own, must be given; options are those of `qdmn_small`."""
    return _load("qdmn", weights, options)


def mask_propagation(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """MiVOS Mask-Propagation (CVPR 2021). Weights, published ones or your own, must be given."""
    return _load("mask_propagation", weights, options)


def stcn(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """STCN (NeurIPS 2021). Weights, published ones or your own, must be given."""
    return _load("stcn", weights, options)


def stm_cycle(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """STM-Cycle (NeurIPS 2020). Weights, published ones or your own, must be given."""
    return _load("stm_cycle", weights, options)


def dropseg(weights: str | Path | None = None, **options: Any) -> VideoPredictor:
    """DropSeg (DropMAE, CVPR 2023). Weights, published ones or your own, must be given."""
    return _load("dropseg", weights, options)


def _load(arch: str, weights: str | Path | None, options: dict[str, Any]) -> VideoPredictor:
    """A predictor with weights of this network.

    Raises:
        ValueError: there are no weights, or they are another network's.
    """
    if weights is None:
        raise ValueError(f"no weights of {arch} come with this project; pass weights=FILE, published ones or your own")
    predictor = VideoPredictor.load(weights, **options)
    if predictor.network.arch != arch:
        raise ValueError(f"{weights} holds {predictor.network.arch}, not {arch}")
    return predictor
