"""Small trees of annotations and results, for the tests of scoring."""

import numpy as np

from datasets.mask_files import write_ids
from evaluation.scoring import annotated_sequences, score_results

SHAPE = (48, 64)
FRAMES = 6


def clip(objects, frames=FRAMES, shift=0):
    """Label maps of squares that move to the right, shape (frames, H, W); object k sits in the k-th row of squares."""
    labels = np.zeros((frames, *SHAPE), np.uint8)
    for row, label in enumerate(objects):
        for frame in range(frames):
            left = 4 + 2 * frame + shift
            labels[frame, 2 + 12 * row : 12 + 12 * row, left : left + 14] = label
    return labels


def save(folder, labels, write=write_ids, names=None):
    folder.mkdir(parents=True)
    for index, frame in enumerate(labels):
        write(folder / f"{names[index] if names else f'{index:05d}'}.png", frame)


def build_trees(folder, annotations, results, name="cat", **options):
    """Annotations and results of one sequence; the two trees in the order of `score`."""
    save(folder / "annotations" / name, annotations, **options)
    save(folder / "results" / name, results, **options)
    return folder / "results", folder / "annotations"


def score(trees, **options):
    return score_results(*trees, annotated_sequences(trees[1]), workers=1, **options)
