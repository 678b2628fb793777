"""Writes results of BURST as the JSON that its own evaluation takes (exemplar-guided task, HOTA).

    python scripts/burst_json.py --json data/BURST/annotations/val/all_classes.json \\
        --results output/burst --output output/burst.json

The file is the one of the set with the masks replaced; an object that a frame lacks has no entry there, as that
evaluation asks.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np

from datasets.mask_files import read_ids
from datasets.run_lengths import encode_mask
from scripts.masks_of_json import LARGEST, WRONG
from util.errors import InputError, run
from util.files import atomic_path, make_output_folder
from util.progress import Progress
from util.text_files import read_json


def coded_frames(sequence: Mapping[str, Any], results: Path) -> list[dict[str, dict[str, str]]]:
    """The masks of the annotated frames of a video, by object.

    Raises:
        InputError: a result is missing or cannot be read.
    """
    frames = []
    for path in sequence["annotated_image_paths"]:
        mask = results / f"{sequence['dataset']}_-_{sequence['seq_name']}" / f"{Path(path).stem}.png"
        if not mask.is_file():
            raise InputError(f"BURST: result {mask} is missing; run eval_vos.py --set burst on the whole part first")
        ids = read_ids(mask, checked=False)
        frames.append({str(k): {"rle": encode_mask(ids == k)} for k in np.unique(ids).tolist() if k})
    return frames


def main(argv: Sequence[str] | None = None) -> None:
    """Read, replace, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file of the set, of the part that was segmented")
    parser.add_argument("--results", type=Path, required=True, help="folder with a folder of results for each video")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    if not args.json.is_file():
        raise InputError(f"{args.json} does not exist; check --json")
    content = read_json(args.json, LARGEST)
    try:
        with Progress(len(content["sequences"])) as progress:
            for sequence in content["sequences"]:
                sequence["segmentations"] = coded_frames(sequence, args.results)
                progress.advance(sequence["seq_name"])
    except WRONG as error:
        raise InputError(f"{args.json} is no file of BURST ({error!r:.200}); fetch it again") from error
    make_output_folder(args.output.absolute().parent)
    with atomic_path(args.output) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    print(f"wrote {len(content['sequences'])} videos to {args.output}")


if __name__ == "__main__":
    run(main)
