"""The arguments of train_interactive.py: what can be said, defaults, checks, what must stay on resuming."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets.train.sets import INTERACTIVE, TRAINING_SETS
from model.layers.decoder import CELL
from training.run_arguments import add_batch, add_reports, add_run, describe_batches, fault, share_batch
from util.device import AUTOCAST
from util.errors import InputError
from util.numbers import above_zero, number, positive, share, whole

SETS = [entry for entry in TRAINING_SETS if INTERACTIVE in entry.stages]
SHIPPED = Path(__file__).resolve().parents[1] / "saves/qdmn_small.pth"
WARMUP = 200
SAME_ON_RESUME = (
    *("trunk_weights", "width", "depth", "image_size", "num_objects", "composites", "samples_per_video", "samples"),
    *("rounds", "total_batch", "iterations", "warmup", "lr", "weight_decay", "ema", "amp", "seed"),
)


def click_parser() -> argparse.ArgumentParser:
    """The parser; what follows from other arguments is None unless given, see `fill_schedule`."""
    parser = argparse.ArgumentParser(
        description="Train what turns clicks, strokes and boxes into masks, on the image encoder of another network.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_run(parser.add_argument_group("run"), first_weights="network for clicks")
    add_reports(parser.add_argument_group("reports and checkpoints"), picture_interval=200)
    _add_data(parser.add_argument_group("data"))
    network = parser.add_argument_group("network")
    network.add_argument("--trunk", type=Path, default=SHIPPED, help="checkpoint whose image encoder is shared")
    network.add_argument("--width", type=whole(40, 2**12), default=160, help="channels at stride 16")
    network.add_argument("--depth", type=whole(1, 100), default=3, help="looks from every place at all places")
    _add_optimisation(parser.add_argument_group("optimisation"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    for entry in SETS:
        group.add_argument(f"--{entry.option}", type=Path, default=entry.root, help="'none' leaves it out")
        if entry.list_option:
            text = f"file with the names of the {entry.name} videos to train on; all by default"
            group.add_argument(f"--{entry.list_option}", type=Path, help=text)
    group.add_argument(
        "--held_out", type=Path, help="file with pictures of --static_root that are not learned, <set>/<name> on a line"
    )
    group.add_argument(
        "--image_size", type=whole(32, 8192), default=384, metavar="PIXELS", help="side of the training frames"
    )
    group.add_argument(
        "--num_objects", type=whole(1, 255), default=3, help="objects of a sample, one of which is drawn; 1: the whole"
    )
    group.add_argument(
        "--samples_per_video", type=whole(1, 10**6), default=4, help="frames of a video in an epoch, DAVIS 5 times"
    )
    group.add_argument(
        "--composites", type=share, default=0.3, metavar="SHARE", help="of samples with objects pasted in from others"
    )


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    add_batch(group, size=8, size_help="for each process and part")
    group.add_argument("-i", "--iterations", type=positive, default=20_000)
    group.add_argument("--rounds", type=whole(1, 100), default=4, help="prompts and predictions of an iteration")
    group.add_argument(
        "--warmup", type=whole(0), metavar="ITERATIONS", help=f"the rate rises for so long; {WARMUP}, a tenth at most"
    )
    group.add_argument("--lr", type=above_zero, default=5e-4, help="highest rate; it falls to 0 as a half cosine")
    group.add_argument("--weight_decay", type=number(0), default=0.01, help="none on biases and norms")
    group.add_argument("--ema", type=share, default=0.0, metavar="DECAY", help="save a moving average of the weights")
    group.add_argument("--amp", choices=AUTOCAST, default="off", help="mixed precision")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run; `fill_schedule` completes them."""
    parser = click_parser()
    args = parser.parse_args(arguments)
    faults = {
        f"--image_size must be a multiple of {CELL}": args.image_size % CELL > 0,
        "--width must be a multiple of 40": args.width % 40 > 0,
        "--ema must be less than 1": args.ema == 1,
        "--composites must be less than 1": args.composites == 1,
    }
    if message := fault(args, faults):
        parser.error(message)
    return args


def fill_schedule(args: argparse.Namespace, world: int, samples: int) -> None:
    """Set samples, batch and warm-up, as far as they follow from each other.

    Args:
        args: of the run; changed.
        world: number of processes.
        samples: of an epoch.

    Raises:
        InputError: the batch cannot be shared evenly, or is larger than the data.
    """
    share_batch(args, world)
    args.samples = samples
    if samples < args.total_batch:
        raise InputError(f"the data hold {samples} samples, too few for a batch of {args.total_batch}; lower -b")
    args.warmup = min(WARMUP, args.iterations // 10) if args.warmup is None else min(args.warmup, args.iterations)


def describe_run(args: argparse.Namespace, world: int, start: int) -> str:
    """What is about to be trained, in two lines."""
    batches = describe_batches(args, args.samples, world, start)
    rate = f"rate up to {args.lr:g}, rising for {args.warmup}"
    return f"{args.samples} samples of {args.rounds} rounds, {batches}, {rate}"
