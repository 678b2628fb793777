"""Segments a video with onnxruntime, NumPy and Pillow alone, by the graphs that scripts/export.py writes.

python examples/onnx_stream.py --graphs output/qdmn_small --frames video/ --mask first.png --output output/video
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

EPSILON = np.float32(1e-7)  # probabilities are kept this far from 0 and 1
Arrays = dict[str, np.ndarray]


class Bank:
    """Slots of memory frames: first the annotated one, then those that were admitted, then the previous frame."""

    def __init__(self, capacity: int, **options: Any) -> None:
        self.capacity, self.options, self.reference = capacity, options, np.ones(1)
        self.memory, self.buffers = Arrays(), Arrays()
        self.ranks: list[tuple[int, float, int]] = []  # of admitted frames: number, quality, slot
        self.stored = self.last = 0

    def is_due(self, frame: int) -> bool:
        return self.options["policy"] != "annotated" and frame - self.last >= self.options["mem_every"]

    def remember(self, frame: int, entry: Arrays) -> None:
        """Keep the first frame, and those that are due and good enough; others until the next one, or not at all."""
        scores, gated = entry.pop("quality", np.ones((1, 1)))[0], self.options["policy"] == "quality"
        self.reference = self.reference if frame else scores
        heard = self.reference != 0
        quality = float(scores[heard].mean() / self.reference[heard].mean()) if heard.any() else 1.0
        slot = 1 + len(self.ranks) if frame else 0
        if self.is_due(frame) and (not gated or quality > self.options["quality_threshold"]):
            self.stored, self.last = self.stored + 1, frame
            if len(self.ranks) == self.capacity:
                worth = [rank + math.exp(number - self.stored) for number, rank, _ in self.ranks]
                slot = self.ranks.pop(int(np.argmin(worth)) if gated else 0)[2]
            self.ranks.append((self.stored, quality, slot))
        elif frame and not self.options["keep_previous"]:
            return
        for name, part in entry.items():
            _, objects, positions, channels = part.shape
            room = (1, objects, (self.capacity + 2) * positions, channels)
            buffer = self.buffers.setdefault(name, np.empty(room, np.float32))
            buffer[:, :, slot * positions : (slot + 1) * positions] = part
            self.memory[name] = buffer[:, :, : (1 + max(slot, len(self.ranks))) * positions]


class Stream:
    """Segments the frames of one video in their order."""

    def __init__(self, folder: Path, options: onnxruntime.SessionOptions | None = None) -> None:
        self.info = json.loads((folder / "network.json").read_text(encoding="utf-8"))
        self.graphs = {n: onnxruntime.InferenceSession(folder / f"{n}.onnx", options) for n in self.info["graphs"]}
        self.bank, self.frame, self.previous = Bank(**self.info["memory"]), -1, np.empty(0, np.float32)

    def step(self, frame: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
        """Frame (H,W,3) uint8, with the first one its masks (K,H,W) -> probabilities (K+1,H,W), background first."""
        extra = [-side % self.info["size_multiple"] for side in frame.shape[:2]]
        margins = ((0, 0), *((e // 2, e - e // 2) for e in extra))
        image = (frame / np.float32(255) - np.float32(self.info["mean"])) / np.float32(self.info["std"])
        known = {"image": np.pad(image.transpose(2, 0, 1), margins)[None]}
        if masks is not None:
            masks = np.pad(masks.astype(np.float32), margins)
            self.previous = np.zeros((2, *masks.shape[1:]), np.float32)
        known |= {"previous": self.previous[None, 1:], "prior": self.previous[None, 1:].max(1, keepdims=True)}
        known |= self._run("encode_query", known)
        if masks is None:
            known |= self._run("read", known | self.bank.memory)
            masks = 0.5 + 0.5 * np.tanh(self._run("decode", known)["logits"][0] / 2)
        odds = np.concatenate([np.prod(1 - masks, 0, keepdims=True), masks]).clip(EPSILON, 1 - EPSILON)
        odds /= 1 - odds
        self.previous, self.frame = odds / odds.sum(0), self.frame + 1
        if self.frame == 0 or self.bank.is_due(self.frame) or self.bank.options["keep_previous"]:
            self.bank.remember(self.frame, self._run("encode_memory", known | {"masks": self.previous[None, 1:]}))
        (top, _), (left, _) = margins[1:]
        return self.previous[:, top : top + frame.shape[0], left : left + frame.shape[1]]

    def _run(self, name: str, known: Arrays) -> Arrays:
        wanted = self.info["graphs"][name]
        made = self.graphs[name].run(wanted["outputs"], {n: known[n] for n in wanted["inputs"]})
        return dict(zip(wanted["outputs"], made, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=Path, required=True, help="folder that scripts/export.py --format onnx made")
    parser.add_argument("--frames", type=Path, required=True, help="folder of pictures of one size")
    parser.add_argument("--mask", type=Path, required=True, help="PNG of object ids on the first frame; 0: background")
    parser.add_argument("--output", type=Path, required=True, help="folder that is made")
    args = parser.parse_args()
    for path, wanted in ((args.graphs / "network.json", True), (args.mask, True), (args.output, False)):
        if path.exists() != wanted:
            parser.error(f"{path} {'is not there' if wanted else 'exists; choose another output'}")
    paths = sorted(path for path in args.frames.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    mask = Image.open(args.mask)
    ids, palette = np.array(mask), mask.getpalette()
    objects = np.unique(ids[ids > 0])
    sizes = {mask.size, *(Image.open(path).size for path in paths)}
    if mask.mode not in "LP" or not len(objects) or not paths or len(sizes) > 1:
        parser.error(f"give pictures and a grey or palette mask with objects, all of one size; sizes here: {sizes}")
    stream = Stream(args.graphs)
    args.output.mkdir(parents=True)
    for path in paths:
        frame = np.array(Image.open(path).convert("RGB"))
        rows = stream.step(frame, ids == objects[:, None, None] if path == paths[0] else None).argmax(0)
        result = Image.fromarray(np.array([0, *objects], np.uint8)[rows])
        if palette:
            result.putpalette(palette)
        result.save(args.output / f"{path.stem}.png")


if __name__ == "__main__":
    main()
