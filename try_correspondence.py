"""Show where points or objects of one frame lie in another, by the keys of a network alone.

    python try_correspondence.py --source a.jpg --target b.jpg --point 120,200 --point 300,80 --output picture.png
    python try_correspondence.py --source a.jpg --target b.jpg --mask a.png --output picture.png --mask_output b.png
    python try_correspondence.py --model mask_propagation.pth --source a.jpg --target b.jpg

Without --point and --mask a window shows both frames: a click in the source, on the left, heats the target up where the
network finds the same thing. Points are pixels X,Y of the source file. Any checkpoint will do, ours or published.
"""

import util.startup  # noqa: F401

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.frame_files import read_frame
from datasets.mask_files import read_ids, write_ids
from datasets.test.sizing import Limit
from evaluation.arguments import SHIPPED
from evaluation.report.contact_sheet import MARGIN, contact_sheet, write_contact_sheet
from evaluation.report.correspondence_window import choose_point, require_display
from evaluation.report.heat_map import (
    STRIDE,
    Point,
    cells_of_points,
    mark_points,
    overlay_heat,
    strongest_point,
    to_pixels,
)
from inference.correspondence import transfer
from model.memory_network import MemoryNetwork
from model.weights.checkpoint import load_network
from util.device import choose_device
from util.errors import InputError, run
from util.files import make_output_folder, require_apart, require_ours
from util.numbers import pixels, positive
from util.tensors import normalise, one_hot, pad_to_multiple


@dataclass(frozen=True)
class Picture:
    """A frame file.

    Attributes:
        path: of the file.
        size: height and width of the file, in pixels.
        rgb: as the network sees it, (H, W, 3), uint8.
    """

    path: Path
    size: tuple[int, int]
    rgb: np.ndarray

    @classmethod
    def read(cls, path: Path, short_side: int | None) -> "Picture":
        """Read a frame; its shorter side is cut down to `short_side` pixels."""
        rgb = read_frame(path)
        height, width = Limit((short_side,) if short_side else ()).working(rgb.shape[:2])
        return cls(path, rgb.shape[:2], cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))

    def shrink(self, point: Point) -> Point:
        """A point (x, y) of the file in `rgb`.

        Raises:
            InputError: the point lies outside.
        """
        x, y = point
        height, width = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"point {x},{y} is outside {self.path}; give 0,0 to {width - 1},{height - 1}")
        return x * self.rgb.shape[1] // width, y * self.rgb.shape[0] // height

    def enlarge(self, point: Point) -> Point:
        """A point (x, y) of `rgb` in the file."""
        return point[0] * self.size[1] // self.rgb.shape[1], point[1] * self.size[0] // self.rgb.shape[0]


class Correspondences:
    """Carries points and objects of a source frame over to a target frame.

    Args:
        network: in evaluation mode.
        source, target: of one size.
        device: of the network.
        top_k: see `transfer`.

    Raises:
        InputError: the frames differ in size.
    """

    def __init__(
        self, network: MemoryNetwork, source: Picture, target: Picture, device: torch.device, top_k: int | None = None
    ) -> None:
        sizes = [f"{p.rgb.shape[1]}x{p.rgb.shape[0]}" for p in (source, target)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{target.path} is {sizes[1]} and {source.path} {sizes[0]}; crop or scale one to the other's size"
            )
        self.source, self.target = source, target
        self._network, self._device, self._top_k = network, device, top_k
        self._images = [pad_to_multiple(normalise(p.rgb)[None].to(device))[0] for p in (source, target)]
        self._size = source.rgb.shape[:2]
        self._padding = pad_to_multiple(torch.empty(self._size))[1]

    def carry_points(self, points: Sequence[Point]) -> Tensor:
        """Shares (P,h,w) that the cells of the target owe to the cells of points (x, y) in the source's `rgb`."""
        return self._carry(cells_of_points(points, self._size, self._padding))

    def find(self, shares: Tensor) -> list[Point]:
        """The strongest place (x, y) in the target's `rgb` for each map of `carry_points`."""
        return [strongest_point(cells, self._size, self._padding) for cells in shares]

    def point_sheet(self, points: Sequence[Point], shares: Tensor | None = None) -> np.ndarray:
        """Both frames: crosses on the points of the source, and what `carry_points` made of them as heat."""
        target = self.target.rgb
        if shares is not None:
            target = overlay_heat(target, to_pixels(shares, self._padding).numpy())
        return self._sheet([mark_points(self.source.rgb, points), target], [np.zeros(self._size, np.uint8)] * 2)

    def carry_ids(self, ids: np.ndarray) -> np.ndarray:
        """Object ids (H, W), uint8, of the source file -> ids (H', W'), uint8, of the target file."""
        labels = [0, *np.unique(ids[ids > 0]).tolist()]
        resized = cv2.resize(ids, self._size[::-1], interpolation=cv2.INTER_NEAREST)
        shares = F.avg_pool2d(pad_to_multiple(one_hot(resized, labels[1:]))[0], STRIDE)
        shares = self._carry(torch.cat([1 - shares.sum(0, keepdim=True), shares]))
        pixels = to_pixels(shares, self._padding)
        pixels = F.interpolate(pixels[None], self.target.size, mode="bilinear", align_corners=False)[0]
        return np.array(labels, np.uint8)[pixels.argmax(0).numpy()]

    def mask_sheet(self, source_ids: np.ndarray, target_ids: np.ndarray) -> np.ndarray:
        """Both frames with the objects of ids (H, W), uint8, outlined and faintly filled."""
        return self._sheet([self.source.rgb, self.target.rgb], [source_ids, target_ids])

    def _sheet(self, frames: Sequence[np.ndarray], ids: Sequence[np.ndarray]) -> np.ndarray:
        captions = [f"source: {self.source.path.name}", f"target: {self.target.path.name}"]
        return contact_sheet(frames, ids, captions, columns=2, width=self._size[1])

    def _carry(self, cells: Tensor) -> Tensor:
        """Maps (C,h,w) of the source's cells -> of the target's, on the CPU."""
        return transfer(self._network, *self._images, cells[None].to(self._device), top_k=self._top_k)[0].cpu()


def read_mask(path: Path, source: Picture) -> np.ndarray:
    """The ids (H, W), uint8, of a mask of the source.

    Raises:
        InputError: the mask cannot be read, has another size, or holds no object.
    """
    ids = read_ids(path)
    if ids.shape != source.size:
        sizes = [f"{width}x{height}" for height, width in (ids.shape, source.size)]
        raise InputError(f"mask {path} is {sizes[0]} but {source.path} {sizes[1]}; export the mask in the frame's size")
    if not ids.any():
        raise InputError(f"mask {path} holds no object; give one with ids above 0")
    return ids


def show_points(pair: Correspondences, points: Sequence[Point], output: Path) -> None:
    """Write the picture of points (x, y) of the source file, and print where they are."""
    chosen = [pair.source.shrink(point) for point in points]
    shares = pair.carry_points(chosen)
    write_contact_sheet(output, pair.point_sheet(chosen, shares))
    for (x, y), (there_x, there_y) in zip(points, map(pair.target.enlarge, pair.find(shares)), strict=True):
        print(f"{x},{y} -> {there_x},{there_y}")


def show_mask(pair: Correspondences, mask: Path, output: Path, mask_output: Path | None) -> None:
    """Write the picture of a mask file and its transfer, and where wanted the ids in the target."""
    ids = read_mask(mask, pair.source)
    carried = pair.carry_ids(ids)
    write_contact_sheet(output, pair.mask_sheet(ids, carried))
    if mask_output is not None:
        write_ids(mask_output, carried)


def show_window(pair: Correspondences, output: Path | None) -> None:
    """Open the window; afterwards write its last picture where wanted."""

    def draw(point: Point | None) -> np.ndarray:
        return pair.point_sheet([]) if point is None else pair.point_sheet([point], pair.carry_points([point]))

    point = choose_point(draw, (MARGIN, MARGIN), pair.source.rgb.shape[:2])
    if output is not None:
        write_contact_sheet(output, draw(point))


def parse_point(text: str) -> Point:
    """X,Y in pixels."""
    if not re.fullmatch(r"-?\d+,-?\d+", text):
        raise argparse.ArgumentTypeError(f"{text} is not a point; write X,Y in pixels, such as 120,200")
    x, y = map(int, text.split(","))
    return x, y


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="checkpoint (the one that ships)")
    parser.add_argument("--source", type=Path, required=True, help="frame with the points or the mask")
    parser.add_argument("--target", type=Path, required=True, help="frame in which they are looked for")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--point", type=parse_point, action="append", metavar="X,Y", help="may be given several times")
    what.add_argument("--mask", type=Path, help="PNG with the object ids of the source")
    parser.add_argument("--output", type=Path, help="picture of both frames, a PNG; of the window its last")
    parser.add_argument("--mask_output", type=Path, help="object ids in the target, a PNG of its size; needs --mask")
    parser.add_argument("--size", type=pixels, metavar="PX", help="most pixels of the frames' shorter side")
    parser.add_argument("--top_k", type=positive, help="most similar source cells that count; all by default")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    args = parser.parse_args(argv)
    if (args.point or args.mask) and args.output is None:
        parser.error("--point and --mask need --output")
    if args.mask_output is not None and args.mask is None:
        parser.error("--mask_output needs --mask")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, build, run."""
    args = parse_arguments(argv)
    if not (args.point or args.mask):
        require_display()
    source, target = (Picture.read(path, args.size) for path in (args.source, args.target))
    outputs = [path for path in (args.output, args.mask_output) if path is not None]
    require_apart(outputs, filter(None, (args.source, args.target, args.mask, args.model)))
    for path in outputs:
        if path.suffix.lower() != ".png":
            raise InputError(f"{path} would be a PNG; give it a name that ends in .png")
        require_ours(make_output_folder(path.absolute().parent) / path.name)
    device = choose_device(args.device)
    pair = Correspondences(load_network(args.model, device), source, target, device, args.top_k)
    if args.point:
        show_points(pair, args.point, args.output)
    elif args.mask:
        show_mask(pair, args.mask, args.output, args.mask_output)
    else:
        show_window(pair, args.output)


if __name__ == "__main__":
    run(main)
