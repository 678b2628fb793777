"""Colours in which objects are shown on the page and in overlays: bright ones, which tell apart in the dark."""

import numpy as np

COLOURS = (
    *("#ff5a52", "#3fa7ff", "#ffd23f", "#4fd67a", "#d98cff", "#ff9f45", "#35d6d0", "#ff7ab8", "#b7e34d", "#a39bff"),
)


def palette() -> np.ndarray:
    """Colours of the ids 0..255, (256, 3) uint8; they come round again."""
    rows = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS], np.uint8)
    return np.concatenate([np.zeros((1, 3), np.uint8), rows[np.arange(255) % len(rows)]])
