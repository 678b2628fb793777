"""Track objects by boxes: those of LaSOT, GOT-10k and other test sets, or one in a video of your own.

    python eval_boxes.py --model droptrack.pth --dataset lasot --root data/lasot --output output/lasot --score
    python eval_boxes.py --model droptrack.pth --input clip.mp4 --box 120,64,80,140 --overlay mp4
    python eval_boxes.py --dataset got10k_test --root data/got10k --zip
    torchrun --nproc_per_node=2 eval_boxes.py --dataset got10k_val --first_mask grabcut --score
    python eval_boxes.py --dataset lasot --masks drawn/ --write_masks --overlay mp4

A box tracker (DropTrack, OSTrack) finds the next box by the last one. With a network for masks, the first box becomes a
mask, the video is segmented, and each mask becomes a box.

Results are <output>/<video>/<video>_001.txt with a box x,y,width,height for each frame, and <video>_time.txt with the
seconds. Finished videos are skipped. --score and --zip are those of boxes: scripts/analyse_boxes.py compares several
results, scripts/pack_boxes.py writes the layouts of other toolkits.
"""

import util.startup  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from datasets.boxes.boxes import Box, Cut, grabcut
from datasets.boxes.dataset import BoxDataset
from datasets.boxes.trees import BOX_SETS, BoxTree, open_tree, open_video
from datasets.test.sizing import FULL_SIZE, choose_sizing
from evaluation.arguments import SHIPPED_CLICKS, add_list_arguments, evaluation_parser
from evaluation.boxes.first_mask import NetworkCut
from evaluation.boxes.run import BoxResults
from evaluation.boxes.tracker import BoxTracker, TrackingWorker
from evaluation.cores import run_evaluation, run_worker, set_arithmetic
from evaluation.result_folder import beside
from inference_core import InferenceCore
from model.droptrack import DropTrack
from model.weights.checkpoint import Checkpoint, read_weights, restore_tracker
from util.device import choose_device
from util.errors import InputError, run
from util.numbers import number

# What has no meaning for a tracker, which remembers nothing but its template and gives no masks.
FOR_MASKS = (
    *("use_km", "no_top", "top_k", "memory", "keep_previous", "mem_every", "mem_capacity", "mem_frames"),
    *("mem_annotated", "quality_threshold", "gate", "size", "flip", "scales", "weigh_by_size", "correct_rate"),
    *("correct_steps", "write_corrected", "decode_roi", "frame_batch", "compile", "max_memory_gb", "report"),
    *("contact_sheet", "quality_csv", "boxes", "soft", "first_mask", "masks", "click_model", "write_masks"),
    *("fused_read", "look_ahead"),
)


def box_argument(text: str) -> Box:
    """Four numbers x,y,width,height."""
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is no box; write x,y,width,height in pixels") from error
    return x, y, width, height


def build_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = evaluation_parser(__doc__)
    parser.set_defaults(size=[480])
    videos = parser.add_mutually_exclusive_group(required=True)
    videos.add_argument("--dataset", choices=BOX_SETS, help="what to track")
    videos.add_argument("--input", type=Path, metavar="PATH", help="folder of pictures or video file, with --box")
    parser.add_argument("--root", type=Path, help="of the dataset (data/lasot, data/got10k, ...)")
    parser.add_argument("--box", type=box_argument, metavar="X,Y,W,H", help="first box of --input, in pixels")
    add_list_arguments(parser)
    tracker = parser.add_argument_group("box tracker")
    tracker.add_argument(
        "--keep_rate",
        type=number(0, 1, above=True),
        metavar="R",
        help="share of search tokens that each eliminating block keeps; 1 for all (the network's own)",
    )
    first = parser.add_argument_group("first mask, of networks for masks").add_mutually_exclusive_group()
    first.add_argument(
        "--first_mask",
        choices=("rectangle", "grabcut", "network"),
        default="rectangle",
        help="fill the box, or cut the object out, with --click_model for network (%(default)s)",
    )
    first.add_argument("--masks", type=Path, metavar="FOLDER", help="drawn masks of the first frames, <video>.png")
    parser.add_argument(
        "--click_model",
        type=Path,
        metavar="FILE",
        help="of --first_mask network, trained for the image encoder of --model (saves/interactive_small.pth)",
    )
    parser.add_argument("--write_masks", action="store_true", help="also <output>-masks/<video>/<frame>.png")
    return parser


def open_videos(args: argparse.Namespace) -> BoxTree:
    """The videos that the command line asks for.

    Raises:
        InputError: they are missing, or options do not fit.
    """
    if (args.box is None) != (args.input is None):
        raise InputError("--box is the first box of --input, and both are needed; a dataset has its own boxes")
    if args.input is not None:
        if args.root or args.list or args.videos:
            raise InputError("--root, --list and --videos choose from a dataset; leave them out with --input")
        if args.score:
            raise InputError("a video of your own has no true boxes; leave out --score")
        return open_video(args.input, args.box)
    tree = open_tree(args.dataset, args.root or BOX_SETS[args.dataset], args.list, args.videos)
    if args.score and not tree.has_truth:
        raise InputError(f"{args.dataset} has no true boxes; use --zip without --score and send it to the server")
    return tree


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = build_parser()
    args = parser.parse_args(argv)
    tree = open_videos(args)
    args.output = args.output or Path("output") / tree.kind
    checkpoint = tracker_weights(args.model)
    if checkpoint is not None:
        track(args, tree, checkpoint, parser)
        return
    if args.keep_rate is not None:
        raise InputError(f"{args.model} holds a network for masks, which eliminates nothing; leave out --keep_rate")
    sizing = choose_sizing(args.size, compat=args.compat)
    dataset = BoxDataset(tree, choose_cut(args), args.masks, sizing=sizing)
    masks = beside(args.output, "-masks") if args.write_masks else None
    run_evaluation(args, BoxResults(dataset, masks, compat=args.compat), InferenceCore, tree.kind)


def choose_cut(args: argparse.Namespace) -> Cut | None:
    """What finds the object in its box; None to take the whole box.

    Raises:
        InputError: the network for clicks cannot be used.
    """
    if args.first_mask == "network":
        model = args.click_model = args.click_model or SHIPPED_CLICKS
        return NetworkCut(model, args.model, choose_device(args.device), args.amp)
    if args.click_model is not None:
        raise InputError("--click_model does nothing without --first_mask network; give both or none")
    return grabcut if args.first_mask == "grabcut" else None


def tracker_weights(path: Path) -> Checkpoint | None:
    """The content of a file that holds a tracker; None for another, or none."""
    checkpoint = read_weights(path) if path.is_file() else None
    return checkpoint if checkpoint is not None and checkpoint.arch == DropTrack.arch else None


def track(args: argparse.Namespace, tree: BoxTree, checkpoint: Checkpoint, parser: argparse.ArgumentParser) -> None:
    """Track by a box tracker.

    Raises:
        InputError: an option is given that has no meaning for it, or see `run_worker`.
    """
    meaningless = [name for name in FOR_MASKS if getattr(args, name) != parser.get_default(name)]
    if meaningless:
        names = ", ".join(f"--{name}" for name in meaningless)
        raise InputError(f"{args.model} is a box tracker, which has no use for {names}; leave that out")
    dataset = BoxDataset(tree, sizing=FULL_SIZE)

    def build(device: torch.device) -> TrackingWorker:
        set_arithmetic(args)
        network = restore_tracker(checkpoint, args.model).to(device).eval()
        return TrackingWorker(BoxTracker(network, device, amp=args.amp, keep_rate=args.keep_rate), dataset.boxes)

    run_worker(args, BoxResults(dataset, compat=args.compat), build, tree.kind)


if __name__ == "__main__":
    run(main)
