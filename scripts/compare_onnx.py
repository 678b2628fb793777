"""Runs ONNX graphs beside the core on the same frames: how far their masks differ, and how long they take.

    python scripts/export.py --model saves/qdmn_small.pth --format onnx --output output/onnx
    python scripts/compare_onnx.py --model saves/qdmn_small.pth --graphs output/onnx --frames video/ --mask first.png

Both take turns, a frame each, on one thread; the core has its fastest exact form. Each line ends with the positions
that both hold in memory.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import numpy as np
import torch
from PIL import Image

from inference.fast_form import for_inference
from inference_core import InferenceCore
from model.weights.checkpoint import load_network
from util.errors import InputError, run
from util.tensors import normalise


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint that the graphs were made of")
    parser.add_argument("--graphs", type=Path, required=True, help="folder that scripts/export.py made")
    parser.add_argument("--frames", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--mask", type=Path, required=True, help="object ids on the first frame")
    parser.add_argument("--size", type=int, default=240, help="shorter side, in pixels")
    parser.add_argument("--count", type=int, default=30, help="frames")
    args = parser.parse_args()
    paths = sorted(args.frames.glob("*.jpg"))[: args.count]
    if not paths:
        raise InputError(f"{args.frames} holds no .jpg; give the folder of a video's frames by --frames")
    with Image.open(paths[0]) as first:
        scale = args.size / min(first.size)
        size = round(first.width * scale), round(first.height * scale)
    ids = np.array(Image.open(args.mask).resize(size, Image.Resampling.NEAREST))
    masks = np.stack([ids == k for k in np.unique(ids) if k])
    compare(args.model, args.graphs, [np.array(Image.open(path).resize(size)) for path in paths], masks)


def compare(model: Path, graphs: Path, frames: list[np.ndarray], masks: np.ndarray) -> None:
    """Segment frames (H,W,3) in both ways from the masks (K,H,W) of the first, and print a line for each and all."""
    import onnxruntime

    from examples.onnx_stream import Stream

    torch.set_num_threads(1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    stream = Stream(graphs, options)
    core = InferenceCore(for_inference(load_network(model, torch.device("cpu")), torch.device("cpu")))
    times, differences, pixels = [], [], []
    for t, frame in enumerate(frames):
        start = time.perf_counter(), time.process_time()
        ours = core.step(normalise(frame), torch.from_numpy(masks).float() if t == 0 else None).numpy()
        middle = time.perf_counter(), time.process_time()
        theirs = stream.step(frame, masks if t == 0 else None)
        end = time.perf_counter(), time.process_time()
        times.append([b - a for a, b in zip([*start, *middle], [*middle, *end], strict=True)])
        differences.append(float(np.abs(ours - theirs).max()))
        pixels.append(int((ours.argmax(0) != theirs.argmax(0)).sum()))
        held = core.memory.groups[0].bank.memory.value.shape[2], stream.bank.memory["memory_value"].shape[2]
        print(f"{t:3}: largest difference {differences[-1]:.1e}, {pixels[-1]} pixels; memory {held[0]} and {held[1]}")
    wall, cpu, wall_onnx, cpu_onnx = np.median(np.array(times[1:]), 0)
    print(f"largest difference {max(differences):.1e}; {sum(pixels)} of {len(frames) * masks[0].size} pixels")
    print(
        f"median seconds a frame: core {wall:.3f} ({cpu:.3f} of the processor), graphs {wall_onnx:.3f} ({cpu_onnx:.3f})"
    )
    print(f"ratio {wall_onnx / wall:.2f} ({cpu_onnx / cpu:.2f})")


if __name__ == "__main__":
    run(main)
