"""Quantises the convolutions of ONNX graphs to int8, statically, with onnxruntime.

    python scripts/export.py --model saves/qdmn_small.pth --format onnx --output output/onnx
    python scripts/quantise_onnx.py --graphs output/onnx --frames a/ b/ --masks a.png b.png --output output/int8

The ranges of activations are those of the first frames of the videos, segmented from the masks of their first frames;
take none that is reported on. The memory is read in float32. docs/export.md says what it costs and gains.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np
from PIL import Image

from util.errors import InputError, run
from util.files import make_output_folder, new_folder, require_apart
from util.numbers import positive

QUANTISED = ("encode_query", "encode_memory", "decode")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=Path, required=True, help="folder that scripts/export.py --format onnx made")
    parser.add_argument("--frames", type=Path, nargs="+", required=True, help="folders of pictures, one for each video")
    parser.add_argument("--masks", type=Path, nargs="+", required=True, help="object ids on their first frames")
    parser.add_argument("--count", type=positive, default=5, help="frames of each video")
    parser.add_argument("--float", nargs="*", default=[], choices=QUANTISED, help="graphs that stay in float32")
    parser.add_argument("--output", type=Path, required=True, help="folder that is made")
    args = parser.parse_args()
    if len(args.frames) != len(args.masks):
        raise InputError(f"{len(args.frames)} videos and {len(args.masks)} masks; give a mask of each first frame")
    if not (args.graphs / "encode_query.onnx").is_file():
        raise InputError(f"{args.graphs} holds no encode_query.onnx; make it by scripts/export.py --format onnx")
    require_apart([args.output], [args.graphs, *args.frames, *args.masks])
    inputs = observe(args.graphs, args.frames, args.masks, args.count)
    make_output_folder(args.output.absolute().parent)
    with new_folder(args.output) as folder:
        for path in sorted(args.graphs.iterdir()):
            if path.stem in inputs and path.stem not in args.float:
                quantise(path, inputs[path.stem], folder / path.name)
            elif path.suffix in (".onnx", ".json"):
                (folder / path.name).write_bytes(path.read_bytes())
    for path in sorted(args.output.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def observe(graphs: Path, videos: list[Path], masks: list[Path], count: int) -> dict[str, list[dict[str, np.ndarray]]]:
    """What goes into each graph that is quantised while the first frames of videos are segmented."""
    from examples.onnx_stream import Arrays, Stream

    inputs: dict[str, list[Arrays]] = {name: [] for name in QUANTISED}
    taken = {
        name: graph["inputs"] for name, graph in json.loads((graphs / "network.json").read_text())["graphs"].items()
    }

    class Observed(Stream):
        def _run(self, name: str, known: Arrays) -> Arrays:
            if name in inputs:
                inputs[name].append({key: known[key] for key in taken[name]})
            return super()._run(name, known)

    for video, mask in zip(videos, masks, strict=True):
        stream = Observed(graphs)
        paths = sorted(video.glob("*.jpg"))[:count]
        ids = np.array(Image.open(mask))
        if not paths or ids.ndim != 2 or not ids.any():
            raise InputError(
                f"{video} holds no .jpg, or {mask} is no mask of object ids; give frames and a mask of them"
            )
        for path in paths:
            first = np.stack([ids == k for k in np.unique(ids) if k]) if path == paths[0] else None
            stream.step(np.array(Image.open(path).convert("RGB")), first)
    return inputs


def quantise(path: Path, inputs: list[dict[str, np.ndarray]], output: Path) -> None:
    """Write a graph whose convolutions have int8 weights, a scale for each channel, and int8 activations."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rest, None)

    quantize_static(
        path, output, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=["Conv"], per_channel=True
    )


if __name__ == "__main__":
    run(main)
