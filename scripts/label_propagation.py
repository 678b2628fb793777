"""A baseline that learns nothing of videos: masks are carried on by the likeness of ImageNet features.

    python scripts/label_propagation.py --model trunk.pth --davis data/DAVIS/2016 --output output/propagation --score

Every cell of a frame at stride 16 takes the weighted mean of the labels of the most similar cells near it, in the first
and in the last few frames (as in Space-Time Correspondence as a Contrastive Random Walk, NeurIPS 2020).
"""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.test.davis_test_dataset import DavisTestDataset
from evaluation.run import MaskResults, RunOptions, evaluate
from evaluation.segment import Segmenter
from inference_core import FrameReport, Stream
from model.layers.resnet import BACKBONES, ResNetEncoder
from model.weights.pretrained import load_imagenet_encoders
from util.device import AUTOCAST, choose_device
from util.distributed import Process
from util.errors import run
from util.files import content_hash
from util.tensors import pad_to_multiple, unpad

STRIDE = 16


class LabelPropagation(Stream):
    """A core without memory bank: keeps the first and the last frames.

    Args:
        encoder: its stride-16 features are compared.
        context: last frames that are kept beside the first.
        top_k: most similar cells that count.
        temperature: of the softmax over their cosines.
        radius: cells farther away, along either axis, do not count.
    """

    def __init__(
        self, encoder: ResNetEncoder, *, context: int = 4, top_k: int = 10, temperature: float = 0.07, radius: int = 6
    ) -> None:
        self.encoder = encoder
        self.top_k, self.temperature, self.radius = top_k, temperature, radius
        self._first: tuple[Tensor, Tensor] | None = None
        self._last: deque[tuple[Tensor, Tensor]] = deque(maxlen=context)
        self._frame = -1
        self._objects: tuple[int, ...] = ()

    @property
    def objects(self) -> tuple[int, ...]:
        """See `Stream`."""
        return self._objects

    def step(self, image: Tensor, mask: Tensor | None = None, objects: Sequence[int] | None = None) -> Tensor:
        """Image (3,H,W) and, on the first frame, masks (K,H,W) -> probabilities (K+1,H,W), background first."""
        self._frame += 1
        if mask is not None:
            self._objects = tuple(objects or range(1, len(mask) + 1))
        self.report = FrameReport(self._frame, self.objects)
        padded, padding = pad_to_multiple(image[None])
        feature = F.normalize(self.encoder(padded)[-1][0], dim=0)
        if mask is not None:
            labels = torch.cat([1 - mask.amax(0, keepdim=True), mask])
            self._first = (feature, F.avg_pool2d(pad_to_multiple(labels)[0], STRIDE))
            return labels
        if self._first is None:
            raise ValueError("the first frame needs a mask")
        labels = self._read(feature, [self._first, *self._last])
        self._last.append((feature, labels))
        return unpad(F.interpolate(labels[None], scale_factor=STRIDE, mode="bilinear")[0], padding)

    def _read(self, feature: Tensor, memory: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Labels (K+1,h,w) of a frame with the feature (C,h,w)."""
        grid = feature.shape[1:]
        far = _distance(grid, feature.device) > self.radius
        cosines = [(feature.flatten(1).T @ past.flatten(1)).masked_fill(far, -torch.inf) for past, _ in memory]
        labels = torch.cat([past.flatten(1) for _, past in memory], 1)
        best, index = torch.cat(cosines, 1).topk(self.top_k, 1)
        weight = (best / self.temperature).softmax(1)
        return (labels[:, index] * weight).sum(2).unflatten(1, grid)


def _distance(grid: torch.Size, device: torch.device) -> Tensor:
    """Chebyshev distance (n,n) between the cells of a grid."""
    rows, columns = torch.meshgrid(*(torch.arange(side, device=device) for side in grid), indexing="ij")
    cells = torch.stack([rows.flatten(), columns.flatten()], 1)
    return (cells[:, None] - cells[None]).abs().amax(2)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="ImageNet weights; by default torchvision's, downloaded")
    parser.add_argument("--backbone", choices=BACKBONES, default="resnet50")
    parser.add_argument("--davis", type=Path, default=Path("data/DAVIS/2016"), help="DAVIS 2016 (%(default)s)")
    parser.add_argument("--videos", nargs="+", default=[], metavar="NAME", help="only these videos")
    parser.add_argument("--output", type=Path, required=True, help="folder for the masks")
    parser.add_argument("--overwrite", action="store_true", help="segment finished videos again")
    parser.add_argument("--score", action="store_true", help="compute J&F")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    parser.add_argument("--amp", choices=AUTOCAST, default="off", help="automatic mixed precision (%(default)s)")
    args = parser.parse_args(argv)
    dataset = DavisTestDataset.davis_2016(args.davis, only=args.videos)
    process = Process(rank=0, world=1, device=choose_device(args.device))

    def build() -> Segmenter:
        encoder = ResNetEncoder(args.backbone)
        load_imagenet_encoders(encoder, [args.model] if args.model else [], remedy="pass --model FILE")
        encoder = encoder.to(process.device).eval()
        return Segmenter(lambda video: LabelPropagation(encoder), process.device, args.amp)

    settings = {"--backbone": args.backbone, "--amp": args.amp}
    if args.model is not None and args.model.is_file():
        settings["--model"] = content_hash(args.model)
    options = RunOptions(args.output, overwrite=args.overwrite, score=args.score, settings=settings)
    evaluate(MaskResults(dataset), options, process, build, {})


if __name__ == "__main__":
    run(main)
