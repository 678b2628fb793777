"""The baseline that every method has to beat: the first mask copied to every frame."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from util.files import atomic_path, make_output_folder
from util.images import list_images


def copy_first_masks(annotations: Path, output: Path, sequences: Sequence[str]) -> None:
    """Write the first annotation of each sequence as the result of all its frames.

    Args:
        annotations: a folder of masks for each sequence.
        output: where a folder of results for each sequence is written.
        sequences: their names.

    Raises:
        InputError: a sequence is missing or empty, `output` is not writable, or a file of the user is in the way.
    """
    for name in sequences:
        masks = list_images(annotations / name)
        folder = make_output_folder(output / name)
        for mask in masks:
            with atomic_path(folder / mask.name) as temporary:
                shutil.copyfile(masks[0], temporary)
