"""How well the predicted quality tells good masks from bad ones: rank correlation with the true IoU.

    python eval_davis.py --model saves/qdmn_small.pth --output output/val --quality_csv
    python scripts/quality_correlation.py --results output/val --annotations data/DAVIS/2017/trainval/Annotations/480p

Prints Spearman's coefficient over all objects and predicted masks, and for each video, and draws
<results>-quality/scatter.png.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.test.sets import Scoring
from evaluation.quality_table import PERMANENT, read_quality_table
from evaluation.report.page import QUALITY
from evaluation.report.plots import figure
from evaluation.result_folder import beside
from evaluation.scoring import score_results
from util.errors import InputError, run
from util.images import is_clutter

SIDE = 480  # of the picture, in pixels


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0, the mean rank where values are equal."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1
    return (last - (counts - 1) / 2)[inverse]


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation, NaN where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def collect(results: Path, annotations: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Predicted quality and true IoU of all objects and frames whose masks were predicted, by video.

    Qualities that are not numbers are left out, which is said.

    Raises:
        InputError: there is no table of qualities, or it holds none, or none of the frames and objects that are scored.
    """
    videos = sorted(path.name for path in results.iterdir() if path.is_dir() and not is_clutter(path.name))
    if not videos:
        raise InputError(f"{results} holds no folder of a segmented video; check --results")
    scores = score_results(results, annotations, videos, rule=Scoring(skip_first=False, skip_last=False))
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for video in videos:
        path = beside(results, QUALITY) / f"{video}.csv"
        rows = [row for row in read_quality_table(path) if row.stored != PERMANENT]
        known = {(row.object, row.name): row.quality for row in rows if row.quality is not None}
        if not known:
            raise InputError(f"{path} holds no qualities; the network has no scorer")
        predicted = {key: quality for key, quality in known.items() if not math.isnan(quality)}
        if len(predicted) < len(known):
            print(f"qualities in {path} that are NaN and left out: {len(known) - len(predicted)}")
        pairs = [
            (predicted[entry.object_id, name], iou)
            for entry in scores.objects
            if entry.sequence == video
            for name, iou in zip(entry.frames, entry.j_values.tolist(), strict=True)
            if (entry.object_id, name) in predicted
        ]
        if not pairs:
            raise InputError(
                f"{path} holds no quality of a frame and object of {annotations / video}; are they of one run?"
            )
        found[video] = tuple(np.array(pairs).T)
    return found


def draw(path: Path, predicted: np.ndarray, true: np.ndarray) -> None:
    """A scatter plot with the predicted quality to the right and the true IoU upwards, both from 0 to 1."""
    with figure(path, SIDE, SIDE) as drawn:
        axes = drawn.subplots()
        axes.axline((0, 0), slope=1, color="#c8c8c8", lw=1)
        axes.scatter(predicted.clip(0, 1), true, s=8, color="#c85a1e", clip_on=False)
        axes.set(xlabel="predicted quality", ylabel="true IoU", xlim=(0, 1), ylim=(0, 1), aspect="equal")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="folder of the segmented videos")
    parser.add_argument("--annotations", type=Path, required=True, help="folder of their true masks")
    args = parser.parse_args()
    if not args.results.is_dir():
        raise InputError(f"folder {args.results} does not exist; check --results")
    found = collect(args.results, args.annotations)
    for video, pair in found.items():
        print(f"{video:24} {spearman(*pair):6.3f}  ({len(pair[0])} masks)")
    predicted, true = (np.concatenate([pair[i] for pair in found.values()]) for i in (0, 1))
    print(f"{'all':24} {spearman(predicted, true):6.3f}  ({len(true)} masks)")
    picture = beside(args.results, QUALITY) / "scatter.png"
    draw(picture, predicted, true)
    print(f"drawn in {picture}")


if __name__ == "__main__":
    run(main)
