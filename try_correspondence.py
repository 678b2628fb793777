"""Show where points or objects of one frame lie in another, by the keys of a network alone.

    python try_correspondence.py
    python try_correspondence.py --source a.jpg --target b.jpg --point 120,200 --point 300,80 --output picture.png
    python try_correspondence.py --source a.jpg --target b.jpg --mask a.png --output picture.png --mask_output b.png
    python try_correspondence.py --model mask_propagation.pth --source a.jpg --target b.jpg

Without --point and --mask a window shows both frames: a click in the source, on the left, heats the target up where the
network finds the same thing. Points are pixels X,Y of the source file. Any checkpoint will do, ours or published, but
those of DropSeg, which compares no keys. Without --source and --target the frames are two of the clip in examples/real;
where no window can be shown, a picture of some of its points goes to output/correspondence.png, or to --output.
"""

import util.startup  # noqa: F401

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from datasets.frame_files import read_frame
from datasets.mask_files import read_ids, write_ids
from evaluation.arguments import SHIPPED
from evaluation.report.correspondence import Picture, PicturePair, choose_point, why_no_window
from evaluation.report.pictures import MARGIN, write_picture
from inference.correspondence import Point
from model.memory_network import AffinityNetwork
from model.weights.checkpoint import load_network
from util.device import choose_device
from util.errors import InputError, run
from util.files import make_output_folder, require_apart, require_ours
from util.numbers import pixels, positive

CLIP = Path(__file__).resolve().parent / "examples/real/libby.mp4"
CLIP_FRAMES = (0, 16)  # source and target
CLIP_POINTS = ((530, 247), (692, 200))  # of the source: the dog's head, flowers
CLIP_OUTPUT = Path("output/correspondence.png")


def read_picture(path: Path, short_side: int | None) -> Picture:
    """A frame file, whose shorter side is cut down to `short_side` pixels."""
    return Picture.reduced(path, path.name, read_frame(path), short_side)


def read_clip_picture(number: int, short_side: int | None) -> Picture:
    """The same of a frame of the clip."""
    from datasets.test.video_file import VideoFile  # libraries for video take long to load

    pixels = next(iter(VideoFile(CLIP).items(number, number + 1)))
    return Picture.reduced(CLIP, f"{CLIP.name}, frame {number}", pixels, short_side)


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


def load_keys(path: Path, device: torch.device) -> AffinityNetwork:
    """The network of a checkpoint.

    Raises:
        InputError: it cannot be loaded, or compares no keys.
    """
    network = load_network(path, device)
    if not isinstance(network, AffinityNetwork):
        raise InputError(f"{path} holds a network that compares no keys (DropSeg); give a checkpoint of another one")
    return network


def show_points(pair: PicturePair, points: Sequence[Point], output: Path) -> None:
    """Write the picture of points (x, y) of the source file, and print where they are."""
    chosen = [pair.source.shrink(point) for point in points]
    shares = pair.correspondence.carry_points(chosen)
    write_picture(output, pair.draw_points(chosen, shares))
    found = map(pair.target.enlarge, pair.correspondence.find_points(shares))
    for (x, y), (there_x, there_y) in zip(points, found, strict=True):
        print(f"{x},{y} -> {there_x},{there_y}")


def show_mask(pair: PicturePair, mask: Path, output: Path, mask_output: Path | None) -> None:
    """Write the picture of a mask file and its transfer, and where wanted the ids in the target."""
    ids = read_mask(mask, pair.source)
    carried = pair.carry_ids(ids)
    write_picture(output, pair.draw_ids(ids, carried))
    if mask_output is not None:
        write_ids(mask_output, carried)


def show_window(pair: PicturePair, output: Path | None) -> None:
    """Open the window; afterwards write its last picture where wanted."""

    def draw(point: Point | None) -> np.ndarray:
        if point is None:
            return pair.draw_points([])
        return pair.draw_points([point], pair.correspondence.carry_points([point]))

    point = choose_point(draw, (MARGIN, MARGIN), (pair.source.rgb.shape[0], pair.source.rgb.shape[1]))
    if output is not None:
        write_picture(output, draw(point))


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
    parser.add_argument("--source", type=Path, help="frame with the points or the mask (one of the clip)")
    parser.add_argument("--target", type=Path, help="frame in which they are looked for (one of the clip)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--point", type=parse_point, action="append", metavar="X,Y", help="may be given several times")
    what.add_argument("--mask", type=Path, help="PNG with the object ids of the source")
    parser.add_argument("--output", type=Path, help="picture of both frames, a PNG; of the window its last")
    parser.add_argument("--mask_output", type=Path, help="object ids in the target, a PNG of its size; needs --mask")
    parser.add_argument("--size", type=pixels, metavar="PX", help="most pixels of the frames' shorter side")
    parser.add_argument("--top_k", type=positive, help="most similar source cells that count; all by default")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    args = parser.parse_args(argv)
    if (args.source is None) != (args.target is None):
        parser.error("--source and --target need each other")
    if (args.point or args.mask) and args.output is None:
        parser.error("--point and --mask need --output")
    if args.mask_output is not None and args.mask is None:
        parser.error("--mask_output needs --mask")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, build, run."""
    args = parse_arguments(argv)
    reason = None if args.point or args.mask else why_no_window()
    if reason and args.source is not None:
        raise InputError(f"{reason}; choose points by --point X,Y or objects by --mask FILE")
    if reason:
        args.point, args.output = CLIP_POINTS, args.output or CLIP_OUTPUT
    if args.source is None:
        source, target = (read_clip_picture(number, args.size) for number in CLIP_FRAMES)
    else:
        source, target = (read_picture(path, args.size) for path in (args.source, args.target))
    outputs = [path for path in (args.output, args.mask_output) if path is not None]
    require_apart(outputs, filter(None, (source.path, target.path, args.mask, args.model)))
    for path in outputs:
        if path.suffix.lower() != ".png":
            raise InputError(f"{path} would be a PNG; give it a name that ends in .png")
        require_ours(make_output_folder(path.absolute().parent) / path.name)
    device = choose_device(args.device)
    pair = PicturePair(load_keys(args.model, device), source, target, device, args.top_k)
    if args.point:
        show_points(pair, args.point, args.output)
    elif args.mask:
        show_mask(pair, args.mask, args.output, args.mask_output)
    else:
        show_window(pair, args.output)
    if reason:
        print(f"{reason}; the picture is in {args.output}")


if __name__ == "__main__":
    run(main)
