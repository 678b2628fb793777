"""The command line of train.py: what can be said, the published values of each stage, what must stay on resuming."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets.train.sets import MEGA, TRAINING_SETS
from model import NETWORKS
from training.run_arguments import add_batch, add_reports, add_run, check_same, describe_batches, fault, share_batch
from util.errors import InputError
from util.numbers import above_zero, number, positive, share, whole

FAMILIES = ("mivos", "stm_cycle")
MIN_SIDE, MOST_SIDE = 32, 8192
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet50_v1", "resnet101", "vit_b16", "vit_s16", "vit_ti16")
SAME_ON_RESUME = (
    *("stage", "arch", "quality_head", "train_only", "backbone", "freeze", "no_pretrained_backbone"),
    *("drop_path", "score_activation", "image_size", "clip_length", "num_objects", "max_skip"),
    *("soft_masks", "repeat_frames", "samples", "total_batch", "samples_per_video", "skip_growth"),
    *("skip_start", "clip_draw", "augmentation", "iterations", "steps", "lr", "gamma", "amp"),
    *("quality_target", "seed", "objective", "loss", "weight_decay", "optimizer", "momentum", "several_objects"),
    *("composites", "composite_stills", "ema", "zoom"),
)
# What runs did before they recorded it.
UNRECORDED = {
    "optimizer": "adam",
    "clip_draw": "mivos",
    "augmentation": "mivos",
    "skip_growth": 0,
    "samples_per_video": 1,
    "composites": 0.0,
    "composite_stills": False,
    "ema": 0.0,
    "zoom": 1.0,
}


class StageDefaults(NamedTuple):
    """Published values of one stage of one network.

    Attributes:
        batch_size: of a process.
        iterations: of the stage.
        steps: iterations at which the rate falls.
        lr, weight_decay: of the optimiser.
        objective, loss: what is learned.
        image_size: height and width of training frames, in pixels.
        num_objects: most objects of a clip of a video, or of a picture whose mask holds several ids.
        skip_growth: epochs after which the frame skips grow, 0 where they follow a list.
        clip_draw, augmentation: those of MiVOS, of STM-Cycle or, the first alone, of DropSeg.
        clip_length: frames of a clip.
        backbone: of the network.
    """

    batch_size: int
    iterations: int
    steps: tuple[int, ...]
    lr: float
    weight_decay: float = 1e-7
    objective: str = "forward"
    loss: str = "bootstrapped"
    image_size: tuple[int, int] = (384, 384)
    num_objects: int = 2
    skip_growth: int = 0
    clip_draw: str = "mivos"
    augmentation: str = "mivos"
    clip_length: int = 3
    backbone: str = "resnet50"


QDMN = {
    0: StageDefaults(14, 160_000, (250_000,), 2e-5),
    1: StageDefaults(8, 250_000, (450_000,), 2e-5),
    2: StageDefaults(8, 150_000, (70_000,), 2e-5),
}
MASK_PROPAGATION = {
    0: StageDefaults(7, 300_000, (250_000,), 1e-5),
    1: StageDefaults(4, 500_000, (450_000,), 1e-5),
    2: StageDefaults(4, 150_000, (125_000,), 1e-5),
}
STCN = {
    0: StageDefaults(8, 300_000, (150_000,), 1e-5),
    1: StageDefaults(4, 500_000, (400_000,), 1e-5),
    2: StageDefaults(4, 300_000, (250_000,), 1e-5),
    3: StageDefaults(4, 150_000, (125_000,), 1e-5),
}
STM_CYCLE = {
    stage: StageDefaults(
        *(4, iterations, (), 1e-5, 5e-4, "cycle", "both"),
        image_size=(240, 427),
        num_objects=5,
        skip_growth=5,
        clip_draw="stm_cycle",
        augmentation="stm_cycle",
    )
    for stage, iterations in ((0, 100_000), (2, 226_000))
}
DROPSEG_STAGES = {
    0: StageDefaults(4, 300_000, (150_000,), 1e-5),
    1: StageDefaults(4, 500_000, (400_000,), 1e-5),
    2: StageDefaults(4, 300_000, (250_000,), 1e-5),
    3: StageDefaults(4, 210_000, (125_000,), 2e-5),
}
DROPSEG = {
    stage: values._replace(clip_draw="dropseg", clip_length=2, backbone="vit_b16")
    for stage, values in DROPSEG_STAGES.items()
}
# QDMN (ECCV 2022), Mask-Propagation (CVPR 2021), STCN (NeurIPS 2021), STM-Cycle (NeurIPS 2020: 240 epochs),
# DropSeg (with DropMAE, CVPR 2023); other networks as QDMN
PUBLISHED = {
    "qdmn": QDMN,
    "mask_propagation": MASK_PROPAGATION,
    "stcn": STCN,
    "stm_cycle": STM_CYCLE,
    "dropseg": DROPSEG,
}
# The stage of today's sets has the length and the falls of "mega" of Cutie (CVPR 2024), and else the values of stage 2.
STAGES = {
    arch: {**stages, MEGA: stages[2]._replace(iterations=175_000, steps=(140_000, 160_000))}
    for arch, stages in PUBLISHED.items()
}


def training_parser() -> argparse.ArgumentParser:
    """The parser; what a stage has a published value for is None unless given, see `StageDefaults`."""
    parser = argparse.ArgumentParser(
        description="Train a network: python train.py, torchrun train.py, python -m torch.distributed.launch train.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_run(parser.add_argument_group("run"))
    _add_reports(parser.add_argument_group("reports and checkpoints"))
    _add_data(parser.add_argument_group("data"))
    _add_network(parser.add_argument_group("network"))
    _add_optimisation(parser.add_argument_group("optimisation"))
    return parser


def _add_run(group: argparse._ArgumentGroup) -> None:
    add_run(group, first_weights="checkpoint")
    group.add_argument(
        "--stage",
        type=int,
        choices=(0, 1, 2, 3, MEGA),
        default=0,
        help=f"0 pictures, 1 BL30K, 2 DAVIS + YouTube, 3 of STCN and DropSeg: 2, with other values, {MEGA} these with "
        "MOSE, OVIS and BURST",
    )
    group.add_argument("--benchmark", action="store_true", help="let cuDNN look for the fastest algorithms")
    group.add_argument("--compile", action="store_true", help="let torch.compile fuse the network's operations")


def _add_reports(group: argparse._ArgumentGroup) -> None:
    add_reports(group, picture_interval=800)
    group.add_argument("--debug", action="store_true", help="log scalars and pictures on every iteration")
    group.add_argument("--val_root", type=Path, help="DAVIS 2017 tree whose val videos are scored now and then")
    group.add_argument("--val_interval", type=positive, default=5000, help="iterations between validations")


def _add_data(group: argparse._ArgumentGroup) -> None:
    by_stage = sorted(TRAINING_SETS, key=lambda entry: -entry.stages[0])
    for training_set in by_stage[::-1]:
        group.add_argument(
            f"--{training_set.option}",
            type=Path,
            default=None if training_set.asked_in else training_set.root,
            help=training_set.help or None,
        )
    group.add_argument(
        "--yv_list", type=Path, help="file with the names of the YouTube videos to train on; all by default"
    )
    group.add_argument(
        "--image_size",
        type=whole(MIN_SIDE, MOST_SIDE),
        nargs="+",
        metavar="PIXELS",
        help="side of the training frames, or height and width; by default 384, STM-Cycle 240 427",
    )
    group.add_argument("--clip_length", type=whole(2, 1000), help="frames of a training clip; by default 3, DropSeg 2")
    group.add_argument(
        "--num_objects",
        type=whole(1, 255),
        help="most objects of a clip of a video, or of a picture whose mask holds several ids; by default 2, STM-Cycle "
        "5; 1 makes all of a picture's mask one object",
    )
    group.add_argument(
        "--samples_per_video", type=whole(1, 10**6), default=1, help="clips of each video in an epoch, DAVIS 5 times"
    )
    group.add_argument(
        "--max_skip", type=positive, help="upper limit on the published frame skips, for fast or short clips"
    )
    group.add_argument(
        "--skip_growth",
        type=whole(0),
        metavar="EPOCHS",
        help="every so many epochs the frame skips of stage 2 grow by 5 (DAVIS) and 1 (YouTube, each counts for 5 "
        "frames); 0: they follow the lists of MiVOS or QDMN; by default 0, STM-Cycle 5",
    )
    group.add_argument(
        "--davis_list", type=Path, help="file with the names of the DAVIS train videos to train on; all by default"
    )
    group.add_argument(
        "--skip_start",
        type=positive,
        nargs=2,
        default=(5, 3),
        metavar=("DAVIS", "YOUTUBE"),
        help="skips that --skip_growth begins with, in annotated frames",
    )
    group.add_argument("--soft_masks", action="store_true", help="stage 0 with soft masks, as published")
    group.add_argument(
        "--clip_draw",
        choices=(*FAMILIES, "dropseg"),
        help="how the frames of a clip are drawn: mivos, in either direction; stm_cycle, always forward; dropseg, as "
        "this in either direction; by default that of the network",
    )
    group.add_argument(
        "--repeat_frames", action="store_true", help="clips of --clip_draw mivos may repeat a frame, as published"
    )
    group.add_argument(
        "--augmentation",
        choices=FAMILIES,
        help="of videos: crops, each frame turned anew, or whole frames, all turned alike (the default of STM-Cycle)",
    )
    group.add_argument(
        "--zoom",
        type=number(1, 8),
        default=1.0,
        metavar="FACTOR",
        help="the camera nears or leaves the scene by up to this factor in a clip (default 1, not at all)",
    )
    group.add_argument(
        "--composites",
        type=share,
        default=0.0,
        metavar="SHARE",
        help="share of the samples with objects pasted in that are cut out of other samples",
    )
    group.add_argument(
        "--composite_stills",
        action="store_true",
        help="with --composites, in the stages of videos: cut out of the pictures of --static_root too",
    )
    group.add_argument(
        "--data_backend", choices=("cpu", "gpu"), default="cpu", help="where frames are augmented: loaders or --device"
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--arch", choices=NETWORKS, default="qdmn", help="qdmn_small: one image encoder, narrow heads")
    group.add_argument("--quality_head", action="store_true", help="add QDMN's quality scorer to a network without one")
    group.add_argument("--train_only", choices=("quality_head",), help="everything else keeps its weights")
    group.add_argument(
        "--backbone",
        choices=BACKBONES,
        help="resnet50 by default, vit_b16 for DropSeg; v1: stride on the 1x1 convolutions, for weights trained so",
    )
    group.add_argument(
        "--backbone_weights",
        type=Path,
        nargs="+",
        default=[],
        help="ImageNet weights, for each kind of encoder one file; by default torchvision's, downloaded; for DropSeg "
        "a file of DropMAE or MAE, which must be given",
    )
    group.add_argument(
        "--no_pretrained_backbone", action="store_true", help="start from nothing, learn batch-norm statistics"
    )
    group.add_argument(
        "--freeze",
        choices=("layer1", "layer2", "layer3"),
        help="the image encoder keeps its weights up to this stage; by default all learn",
    )
    group.add_argument("--drop_path", type=share, default=0.1, help="stochastic depth of DropSeg's last block")
    group.add_argument(
        "--checkpoint_activations", action="store_true", help="DropSeg: less memory, each block computed twice"
    )
    group.add_argument("--score_activation", choices=("sigmoid", "relu"), default="sigmoid", help="relu as published")


def _add_optimisation(group: argparse._ArgumentGroup) -> None:
    add_batch(group, size=None, size_help="for each process and part; published by default")
    group.add_argument("-i", "--iterations", type=positive, help="published by default")
    group.add_argument(
        "--steps", type=whole(0), nargs="*", help="iterations at which the rate falls; published by default"
    )
    group.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    group.add_argument("--momentum", type=share, default=0.9, help="of --optimizer sgd")
    group.add_argument("--lr", type=above_zero, help="published by default: 2e-5 for QDMN, else 1e-5")
    group.add_argument("--weight_decay", type=number(0), help="published by default: 1e-7, STM-Cycle 5e-4")
    group.add_argument("--gamma", type=above_zero, default=0.1, help="factor of the rate at each step")
    group.add_argument(
        "--ema",
        type=share,
        default=0.0,
        metavar="DECAY",
        help="save and validate a moving average of the weights, 0.999 for one over about 1,000 iterations; 0: none",
    )
    group.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision")
    group.add_argument(
        "--objective",
        choices=("forward", "cycle"),
        help="cycle: every later frame also reconstructs the first one (by default for STM-Cycle)",
    )
    group.add_argument(
        "--loss",
        choices=("bootstrapped", "ce", "iou", "both"),
        help="ce, iou or both as in STM-Cycle (its default is both), else bootstrapped",
    )
    group.add_argument(
        "--published_gate", action="store_true", help="cycle only from frames that show the last object, as published"
    )
    group.add_argument(
        "--quality_target",
        choices=("object", "both"),
        default="object",
        help="both: means over two objects, as published",
    )


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run, with the defaults of its stage filled in."""
    parser = training_parser()
    args = parser.parse_args(arguments)
    stages = STAGES.get(args.arch, STAGES["qdmn"])
    if args.stage not in stages:
        parser.error(f"--stage {args.stage} is none of {args.arch}; it has {', '.join(map(str, stages))}")
    for name, value in stages[args.stage]._asdict().items():
        if getattr(args, name) is None:
            setattr(args, name, list(value) if name == "steps" else value)
    for entry in TRAINING_SETS:
        setattr(args, entry.option, getattr(args, entry.option) or entry.root_in(args.stage))
    args.several_objects = args.stage > 0
    if message := _fault(args):
        parser.error(message)
    args.image_size = (args.image_size[0], args.image_size[-1])
    args.skip_start = tuple(args.skip_start)
    if args.debug:
        args.log_interval = args.picture_interval = 1
    return args


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments; empty if nothing is."""
    faults = {
        "--val_root needs an --id, under which the results are saved": args.val_root is not None and args.id == "NULL",
        "--image_size is one number, or height and width": len(args.image_size) > 2,
        "--skip_growth is for stage 2; stage 1 has a list of skips": args.skip_growth > 0 and args.stage == 1,
        "--repeat_frames belongs to --clip_draw mivos": args.repeat_frames and args.clip_draw != "mivos",
        "--drop_path must be less than 1": args.drop_path == 1,
        "--momentum must be less than 1": args.momentum == 1,
        "--zoom is for pictures and videos of --augmentation mivos": bool(
            args.zoom > 1 and args.augmentation == "stm_cycle" and args.stage
        ),
        "--ema must be less than 1": args.ema == 1,
        "--composites must be less than 1": args.composites == 1,
        "--composite_stills belongs to --composites in the stages of videos": bool(
            args.composite_stills and not (args.composites and args.stage)
        ),
        "--train_only quality_head needs a trained network; give it by --load_network": bool(
            args.train_only and not (args.load_network or args.load_model or args.resume)
        ),
    }
    return fault(args, faults)


def fill_batch(args: argparse.Namespace, world: int) -> None:
    """Set `total_batch` from `batch_size`, which is that of one process and part, or the other way round.

    Raises:
        InputError: the total cannot be shared evenly, or batch-norm would learn from single objects.
    """
    share_batch(args, world)
    if args.no_pretrained_backbone and args.stage == 0 and args.batch_size == 1:
        raise InputError("--no_pretrained_backbone learns batch-norm statistics, which needs -b of at least 2")


def check_resumable(args: argparse.Namespace, recorded: Mapping[str, Any], path: Path) -> None:
    """See `check_same`; what a checkpoint that is older than an option does not record is as it was then."""
    recorded = {**UNRECORDED, **recorded}
    if isinstance(side := recorded.get("image_size"), int):
        recorded["image_size"] = (side, side)
    recorded.setdefault("several_objects", recorded.get("stage", 0) > 0)
    check_same(args, recorded, [name for name in SAME_ON_RESUME if name in recorded], path)


def describe_run(args: argparse.Namespace, world: int, start: int) -> str:
    """What is about to be trained, in two lines."""
    falls = [step for step in args.steps if step < args.iterations]
    batches = describe_batches(args, args.samples, world, start)
    course = f"times {args.gamma:g} at {', '.join(map(str, falls))}" if falls else "constant"
    return f"stage {args.stage}: {args.samples} samples, {batches}, rate {args.lr:g}, {course}"
