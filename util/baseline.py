"""The baseline that every method has to beat: the first mask copied to every frame."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from util.files import make_output_folder
from util.images import list_images


def copy_first_masks(annotations: Path, output: Path, sequences: Sequence[str]) -> None:
    """Write the first annotation of each sequence as the result of all its frames.

    Args:
        annotations: a folder of masks for each sequence.
        output: where a folder of results for each sequence is written.
        sequences: their names.

    Raises:
        InputError: a sequence is missing or empty, or `output` is not writable.
    """
    for name in sequences:
        masks = list_images(annotations / name)
        folder = make_output_folder(output / name)
        for mask in masks:
            shutil.copyfile(masks[0], folder / mask.name)
