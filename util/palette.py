"""The DAVIS palette, which is the PASCAL VOC colour map."""

import numpy as np


def voc_palette() -> np.ndarray:
    """Colours of the object ids 0..255, shape (256, 3), uint8.

    The bits of an id are dealt out to red, green and blue in turn, most significant colour bit first.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours
