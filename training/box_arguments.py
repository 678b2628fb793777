"""The arguments of train_droptrack.py: the published configurations, what can be said, checks, and what must stay."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets.boxes.tracks import TRACK_SETS
from training.run_arguments import add_batch, add_reports, add_run, check_same, describe_batches, fault, share_batch
from util.device import AUTOCAST
from util.errors import InputError
from util.numbers import LARGEST_SIDE, STRIDE, above_zero, number, positive, share, whole


class Preset(NamedTuple):
    """In what the published configurations differ (DropTrack in DropMAE, CVPR 2023)."""

    datasets: tuple[str, ...]
    val_datasets: tuple[str, ...]
    epochs: int
    lr_drop_epochs: tuple[int, ...]
    keep_warmup: int


PRESETS = {
    "vitb_384_mae_ce_32x4_ep300": Preset(
        ("LASOT", "GOT10K_vottrain", "COCO17", "TRACKINGNET"), ("GOT10K_votval",), 300, (240,), 80
    ),
    "vitb_384_mae_ce_32x4_got10k_ep100": Preset(("GOT10K_train_full",), ("GOT10K_official_val",), 100, (80,), 50),
}
BACKBONES = ("vit_b16", "vit_s16", "vit_ti16")
RANKINGS = ("centre", "centre_square", "box", "all")
VIEWS = {"template": (192, 2.0, 0.0, 0.0), "search": (384, 5.0, 4.5, 0.5)}
SAME_ON_RESUME = (
    *("backbone", "template_size", "search_size", "elimination_blocks", "keep_rates", "ranking", "head_channels"),
    *("drop_path", "datasets", "ratio", "lists", "samples_per_epoch", "max_gap", "least_frames", "least_visible"),
    *("least_side", "template_factor", "template_centre_jitter", "template_scale_jitter", "search_factor"),
    *("search_centre_jitter", "search_scale_jitter", "total_batch", "epochs", "lr", "backbone_multiplier"),
    *("weight_decay", "lr_drop_epochs", "gamma", "warmup", "keep_start", "keep_warmup", "grad_clip", "giou_weight"),
    *("l1_weight", "amp", "ema", "seed"),
)


class NamedSet(NamedTuple):
    """A training set on the command line: its name, and its root if that is told."""

    name: str
    root: Path | None

    def __str__(self) -> str:
        return self.name if self.root is None else f"{self.name}={self.root}"


def named_set(text: str) -> NamedSet:
    """Reads NAME or NAME=ROOT."""
    name, told, root = text.partition("=")
    if name not in TRACK_SETS:
        raise argparse.ArgumentTypeError(f"{name:.40} is none of {', '.join(TRACK_SETS)}")
    if told and not root:
        raise argparse.ArgumentTypeError(f"{text} names no root")
    return NamedSet(name, Path(root) if told else None)


def tracker_parser() -> argparse.ArgumentParser:
    """The parser; what depends on --config is None unless given, see `parse_arguments`."""
    parser = argparse.ArgumentParser(
        description="Train a box tracker: DropTrack (with DropMAE, CVPR 2023), or OSTrack with two roles.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    run = parser.add_argument_group("run")
    run.add_argument("--config", choices=PRESETS, default=next(iter(PRESETS)), help="published values of all options")
    add_run(run, first_weights="tracker, of other picture sizes too")
    _add_reports(parser.add_argument_group("reports and checkpoints"))
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    return parser


def _add_reports(group: argparse._ArgumentGroup) -> None:
    add_reports(group, picture_interval=500, by_iterations=False)
    group.add_argument("--save_epoch_interval", type=positive, default=40, help="epochs between saved weights")
    group.add_argument(
        "--save_epochs", type=positive, nargs="*", default=[79, 159, 239], help="weights are saved after these too"
    )
    group.add_argument("--save_last", type=whole(0), default=11, help="and after each of so many last epochs")
    group.add_argument("--val_epoch_interval", type=positive, default=20, help="epochs between validations")


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--data", type=Path, default=Path("data"), help="folder in which the sets lie")
    for prefix, what in (("", "what is learned from"), ("val_", "what is validated on; none by an empty list")):
        group.add_argument(
            f"--{prefix}datasets",
            type=named_set,
            nargs="*" if prefix else "+",
            metavar="NAME[=ROOT]",
            help=f"{what}, of {', '.join(TRACK_SETS)}; published by default",
        )
        group.add_argument(
            f"--{prefix}ratio", type=number(0), nargs="+", help="how often each is drawn from; equally by default"
        )
        group.add_argument(
            f"--{prefix}lists",
            type=named_set,
            nargs="+",
            default=[],
            metavar="NAME=FILE",
            help="the videos, or pictures, to use of a set",
        )
    group.add_argument("--samples_per_epoch", type=positive, default=60_000, help="over all processes")
    group.add_argument("--val_samples", type=positive, default=10_000, help="of a validation, over all processes")
    group.add_argument(
        "--max_gap", type=whole(2), default=200, help="template and search frame lie less than this apart"
    )
    group.add_argument("--least_frames", type=whole(2), default=20, help="shorter videos are not used")
    group.add_argument("--least_visible", type=whole(2), default=5, help="frames in which a video must show its object")
    group.add_argument(
        "--least_side", type=number(0), default=0.0, help="pixels below which a side makes a box not visible"
    )
    for view, (size, factor, centre, scale) in VIEWS.items():
        group.add_argument(f"--{view}_size", type=whole(STRIDE, LARGEST_SIDE), default=size, help="pixels")
        group.add_argument(
            f"--{view}_factor", type=above_zero, default=factor, help="side of the crop by the root of the box's area"
        )
        group.add_argument(
            f"--{view}_centre_jitter", type=number(0), default=centre, help="twice the largest shift, in that unit"
        )
        group.add_argument(
            f"--{view}_scale_jitter", type=number(0), default=scale, help="deviation of the logarithm of its sides"
        )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--backbone", choices=BACKBONES, default="vit_b16")
    group.add_argument(
        "--backbone_weights",
        type=Path,
        help="begin with the encoder of this file of DropMAE or MAE, or with all of a tracker",
    )
    group.add_argument("--no_pretrained_backbone", action="store_true", help="start from nothing")
    group.add_argument(
        "--elimination_blocks", type=whole(0), nargs="*", default=[3, 6, 9], help="that drop search tokens, from 0"
    )
    group.add_argument("--keep_rates", type=number(0, 1, above=True), nargs="*", help="of each of them; by default 0.7")
    group.add_argument(
        "--ranking",
        choices=RANKINGS,
        default="centre",
        help="template tokens by whose attention is dropped: CTR_POINT, CTR_REC, GT_BOX, ALL of the published files",
    )
    group.add_argument("--head_channels", type=whole(16), default=256)
    group.add_argument("--drop_path", type=share, default=0.1, help="stochastic depth of the last block")


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    add_batch(group, size=32, size_help="for each process and part")
    group.add_argument("--epochs", type=positive, help="published by default")
    group.add_argument("--lr", type=above_zero, default=2.5e-4, help="of the head")
    group.add_argument("--backbone_multiplier", type=number(0), default=0.1, help="of it, for all else")
    group.add_argument("--weight_decay", type=number(0), default=1e-4)
    group.add_argument(
        "--lr_drop_epochs", type=positive, nargs="*", help="the rate falls after these epochs; published by default"
    )
    group.add_argument("--gamma", type=above_zero, default=0.1, help="factor of the rate at each of them")
    group.add_argument("--warmup", type=whole(0), default=0, help="iterations in which the rates rise")
    group.add_argument("--keep_start", type=positive, default=20, help="epoch in which tokens begin to be dropped")
    group.add_argument(
        "--keep_warmup", type=whole(0), help="epochs in which the share kept falls to that of --keep_rates"
    )
    group.add_argument("--grad_clip", type=number(0), default=0.1, help="largest norm of all gradients; 0: any")
    group.add_argument("--giou_weight", type=number(0), default=2.0)
    group.add_argument("--l1_weight", type=number(0), default=5.0)
    group.add_argument(
        "--ema", type=share, default=0.0, metavar="DECAY", help="save a moving average of the weights; 0: none"
    )
    group.add_argument("--amp", choices=AUTOCAST, default="off", help="mixed precision")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run, with the values of its configuration; `fill_schedule` completes them."""
    parser = tracker_parser()
    args = parser.parse_args(arguments)
    preset = PRESETS[args.config]
    for name, value in preset._asdict().items():
        if getattr(args, name) is None:
            sets = name in ("datasets", "val_datasets")
            setattr(args, name, [named_set(v) for v in value] if sets else _plain(value))
    if args.keep_rates is None:
        args.keep_rates = [0.7] * len(args.elimination_blocks)
    for prefix in ("", "val_"):
        if getattr(args, f"{prefix}ratio") is None:
            setattr(args, f"{prefix}ratio", [1.0] * len(getattr(args, f"{prefix}datasets")))
    if message := _fault(args):
        parser.error(message)
    return args


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments; empty if nothing is."""
    faults = {
        "--template_size and --search_size must be multiples of 16": (args.template_size | args.search_size) % 16 > 0,
        "--keep_rates needs a rate for each of --elimination_blocks": len(args.keep_rates)
        != len(args.elimination_blocks),
        "--drop_path must be less than 1": args.drop_path == 1,
        "--ema must be less than 1": args.ema == 1,
        "a run begins with --backbone_weights FILE, --load_network FILE, or from nothing by --no_pretrained_backbone: "
        "give one of them": sum(map(bool, (args.backbone_weights, args.load_network, args.no_pretrained_backbone))) != 1
        and not (args.load_model or args.resume),
    }
    for prefix in ("", "val_"):
        sets, ratio = getattr(args, f"{prefix}datasets"), getattr(args, f"{prefix}ratio")
        faults |= {
            f"--{prefix}ratio needs a number for each of --{prefix}datasets": len(sets) != len(ratio),
            f"--{prefix}ratio must be above 0 for one of them": len(sets) == len(ratio)
            and bool(sets)
            and not any(ratio),
        }
        for entry in getattr(args, f"{prefix}lists"):
            used = entry.name in {given.name for given in sets}
            faults[f"--{prefix}lists {entry} is of none of --{prefix}datasets"] = not used
            faults[f"--{prefix}lists {entry} names no file; write NAME=FILE"] = entry.root is None
    return fault(args, faults)


def fill_schedule(args: argparse.Namespace, world: int) -> None:
    """Set the batch and what is counted in iterations, as they follow from epochs.

    Args:
        args: of the run; changed.
        world: number of processes.

    Raises:
        InputError: the batch cannot be shared evenly, or is larger than an epoch.
    """
    share_batch(args, world)
    args.steps_per_epoch = args.samples_per_epoch // args.total_batch
    if not args.steps_per_epoch:
        raise InputError(
            f"--samples_per_epoch {args.samples_per_epoch} are too few for a batch of {args.total_batch}; lower -b"
        )
    args.iterations = args.epochs * args.steps_per_epoch
    args.val_interval = args.val_epoch_interval * args.steps_per_epoch


def recorded_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments as a checkpoint keeps them."""

    def plain(value: Any) -> Any:
        if isinstance(value, NamedSet | Path):
            return str(value)
        return [plain(entry) for entry in value] if isinstance(value, list) else value

    return {name: plain(value) for name, value in vars(args).items()}


def check_resumable(args: argparse.Namespace, recorded: Mapping[str, Any], path: Path) -> None:
    """See `check_same`; where the sets lie may differ."""
    now = argparse.Namespace(**recorded_arguments(args))
    before = dict(recorded)
    for values in (vars(now), before):
        for name in ("datasets", "lists"):
            values[name] = [str(entry).partition("=")[0] for entry in values.get(name) or ()]
    check_same(now, before, SAME_ON_RESUME, path)


def describe_run(args: argparse.Namespace, world: int, start: int) -> str:
    """What is about to be trained, in two lines."""
    drops = [epoch for epoch in args.lr_drop_epochs if epoch < args.epochs]
    batches = describe_batches(args, args.samples_per_epoch, world, start)
    rates = f"rates {args.lr:g} and {args.lr * args.backbone_multiplier:g}"
    course = f", times {args.gamma:g} after epoch {', '.join(map(str, drops))}" if drops else ""
    return f"{args.samples_per_epoch} pairs an epoch, {batches}, {rates}{course}"
