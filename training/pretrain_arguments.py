"""The arguments of train_dropmae.py: what can be said, defaults, checks, and what must stay the same on resuming."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.run_arguments import add_batch, add_reports, add_run, describe_batches, fault, share_batch
from util.device import AUTOCAST
from util.errors import InputError
from util.numbers import above_zero, number, positive, share, whole

# As published (DropMAE, CVPR 2023): 64 samples on each of 64 GPUs, 1600 epochs of Kinetics-400
EPOCHS, WARMUP_EPOCHS, BATCH = 1600, 40.0, 64
RATE, RATE_BATCH = 1.5e-4, 256
SAME_ON_RESUME = (
    *("backbone", "image_size", "decoder_width", "decoder_depth", "decoder_heads", "mask_ratio"),
    *("attention_dropout", "frame_gap", "samples", "total_batch", "iterations", "warmup", "lr"),
    *("weight_decay", "amp", "seed"),
)


def pretraining_parser() -> argparse.ArgumentParser:
    """The parser; what depends on the data or on the batch is None unless given, see `fill_schedule`."""
    parser = argparse.ArgumentParser(
        description="Pre-train the encoder of DropSeg on videos without annotations (DropMAE, CVPR 2023).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_run(parser.add_argument_group("run"), first_weights="DropMAE, published or ours")
    add_reports(parser.add_argument_group("reports and checkpoints"), picture_interval=1000)
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--videos", type=Path, nargs="+", required=True, metavar="DIR", help="every folder of frames below is a video"
    )
    group.add_argument("--video_list", type=Path, help="file with the names of the videos to use; all by default")
    group.add_argument("--samples_per_video", type=whole(1, 10**6), default=1, help="pairs of each video in an epoch")
    group.add_argument("--image_size", type=whole(16, 8192), default=224, metavar="PIXELS", help="side of the frames")
    group.add_argument("--frame_gap", type=whole(2), default=50, help="the frames of a pair lie less than this apart")


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--backbone", choices=("vit_b16", "vit_s16", "vit_ti16"), default="vit_b16")
    group.add_argument("--decoder_width", type=whole(4, 2**16), default=512)
    group.add_argument("--decoder_depth", type=whole(1, 1000), default=8)
    group.add_argument("--decoder_heads", type=whole(1, 1024), default=16)
    group.add_argument("--mask_ratio", type=share, default=0.75, help="share of the patches that is hidden")
    group.add_argument(
        "--attention_dropout", type=share, default=0.1, help="share of looks within a frame that the decoder loses"
    )
    group.add_argument(
        "--checkpoint_activations", action="store_true", help="less memory, more time: compute blocks twice"
    )


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    add_batch(group, size=BATCH, size_help="for each process and part")
    length = group.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=whole(1, 10**6), default=EPOCHS)
    length.add_argument("-i", "--iterations", type=positive, help="replaces --epochs")
    group.add_argument(
        "--warmup",
        type=number(0, 10**6),
        metavar="EPOCHS",
        help=f"the rate rises for so long; by default {WARMUP_EPOCHS:g}, at most a tenth of the run",
    )
    group.add_argument("--lr", type=above_zero, help=f"highest rate; by default {RATE:g} x total batch / {RATE_BATCH}")
    group.add_argument("--weight_decay", type=number(0), default=0.05, help="none on biases and norms")
    group.add_argument("--amp", choices=AUTOCAST, default="off", help="mixed precision")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run; `fill_schedule` completes them."""
    parser = pretraining_parser()
    args = parser.parse_args(arguments)
    if message := _fault(args):
        parser.error(message)
    return args


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments; empty if nothing is."""
    faults = {
        "--image_size must be a multiple of 16": args.image_size % 16 > 0,
        "--mask_ratio must be more than 0 and less than 1": args.mask_ratio in (0, 1),
        "--attention_dropout must be less than 1": args.attention_dropout == 1,
        "--decoder_width must be a multiple of 4 and of --decoder_heads": args.decoder_width % 4 > 0
        or args.decoder_width % args.decoder_heads > 0,
    }
    return fault(args, faults)


def fill_schedule(args: argparse.Namespace, world: int, samples: int) -> None:
    """Set samples, batch, iterations, warm-up (in iterations) and rate, as far as they follow from each other.

    Args:
        args: of the run; changed.
        world: number of processes.
        samples: of an epoch.

    Raises:
        InputError: the batch cannot be shared evenly, or is larger than the data.
    """
    share_batch(args, world)
    if samples < args.total_batch:
        raise InputError(
            f"an epoch has {samples} pairs, too few for a batch of {args.total_batch}; lower -b or raise "
            "--samples_per_video"
        )
    args.samples = samples
    steps = samples // args.total_batch
    if args.iterations is None:
        args.iterations = args.epochs * steps
    warmup = min(WARMUP_EPOCHS * steps, args.iterations / 10) if args.warmup is None else args.warmup * steps
    args.warmup = min(round(warmup), args.iterations)
    args.lr = RATE * args.total_batch / RATE_BATCH if args.lr is None else args.lr


def describe_run(args: argparse.Namespace, world: int, start: int) -> str:
    """What is about to be trained, in two lines."""
    batches = describe_batches(args, args.samples, world, start)
    return f"{args.samples} pairs of frames, {batches}, rate up to {args.lr:g}, rising for {args.warmup}"
