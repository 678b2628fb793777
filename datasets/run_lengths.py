"""Masks as strings, in the run-length code of COCO that BURST, OVIS and SA-V use."""

from typing import Any

import numpy as np


def encode_mask(mask: np.ndarray) -> str:
    """The code of a mask (H, W); non-zero is object."""
    from pycocotools import mask as coco

    return coco.encode(np.asfortranarray(mask > 0, np.uint8))["counts"].decode("ascii")


def decode_mask(counts: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), bool, of a code.

    Args:
        counts: the code, or the list of run lengths that it stands for.
        size: height and width.

    Raises:
        ValueError: it is no code, or of another size.
    """
    from pycocotools import mask as coco

    height, width = size
    try:
        if isinstance(counts, list):
            counts = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
        return coco.decode({"size": [height, width], "counts": counts}).astype(bool)
    except (TypeError, KeyError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{counts!r:.40} is no code of a mask of {width}x{height}") from error
