"""Command line of train.py."""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class StageDefaults(NamedTuple):
    """Published values of a stage (QDMN, ECCV 2022)."""

    batch_size: int
    iterations: int
    steps: tuple[int, ...]


STAGES = {
    0: StageDefaults(14, 160_000, (250_000,)),
    1: StageDefaults(8, 250_000, (450_000,)),
    2: StageDefaults(8, 150_000, (70_000,)),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train QDMN: python train.py, torchrun train.py, or python -m torch.distributed.launch train.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    run = parser.add_argument_group("run")
    run.add_argument("--id", default="NULL", help="name of the run; NULL neither logs nor saves")
    run.add_argument(
        "--stage", type=int, choices=STAGES, default=0, help="0 static pictures, 1 BL30K, 2 DAVIS + YouTube"
    )
    run.add_argument("--load_network", type=Path, help="start from the weights of this checkpoint")
    run.add_argument("--load_model", type=Path, help="resume from this training checkpoint")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    run.add_argument("--num_workers", type=int, default=min(8, os.cpu_count() or 1), help="loaders of each process")
    run.add_argument("--seed", type=int, default=14159265)
    run.add_argument("--save_interval", type=int, default=50_000, help="iterations between saved weights")
    run.add_argument("--log_interval", type=int, default=100, help="iterations between logged scalars")
    run.add_argument("--picture_interval", type=int, default=800, help="iterations between logged pictures")
    run.add_argument("--benchmark", action="store_true", help="let cuDNN look for the fastest algorithms")
    run.add_argument("--debug", action="store_true", help="log scalars and pictures on every iteration")
    run.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by torch.distributed.launch")

    data = parser.add_argument_group("data")
    data.add_argument("--static_root", type=Path, default=Path("data/static"))
    data.add_argument("--bl_root", type=Path, default=Path("data/BL30K"))
    data.add_argument(
        "--yv_root", type=Path, default=Path("data/YouTube"), help="'none' trains stage 2 without YouTube"
    )
    data.add_argument("--davis_root", type=Path, default=Path("data/DAVIS"), help="'none' trains stage 2 without DAVIS")
    data.add_argument(
        "--yv_list", type=Path, help="file with the names of the YouTube videos to train on; all by default"
    )
    data.add_argument("--image_size", type=int, default=384, help="side of the training crops, in pixels")
    data.add_argument("--num_objects", type=int, default=2, help="most objects of a clip in stages 1 and 2")
    data.add_argument("--max_skip", type=int, help="upper limit on the published frame skips, for fast or short clips")
    data.add_argument("--soft_masks", action="store_true", help="stage 0 with soft masks, as published")
    data.add_argument("--repeat_frames", action="store_true", help="clips may repeat a frame, as published")

    network = parser.add_argument_group("network")
    network.add_argument("--backbone", choices=("resnet18", "resnet50"), default="resnet50")
    network.add_argument("--backbone_weights", type=Path, help="ImageNet weights; by default torchvision's, downloaded")
    network.add_argument(
        "--no_pretrained_backbone", action="store_true", help="start from nothing, learn batch-norm statistics"
    )
    network.add_argument("--score_activation", choices=("sigmoid", "relu"), default="sigmoid", help="relu as published")

    objective = parser.add_argument_group("optimisation")
    objective.add_argument("-b", "--batch_size", type=int, help="for each process; by stage 14, 8, 8")
    objective.add_argument("-i", "--iterations", type=int, help="by stage 160000, 250000, 150000")
    objective.add_argument(
        "--steps", type=int, nargs="*", help="iterations at which the rate falls; by stage 250000, 450000, 70000"
    )
    objective.add_argument("--lr", type=float, default=2e-5)
    objective.add_argument("--gamma", type=float, default=0.1, help="factor of the rate at each step")
    objective.add_argument("--amp", choices=("off", "bf16", "fp16"), default="off", help="mixed precision")
    objective.add_argument(
        "--quality_target",
        choices=("object", "both"),
        default="object",
        help="both: means over two objects, as published",
    )
    return parser


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Arguments of a run, with the defaults of its stage filled in."""
    parser = _parser()
    args = parser.parse_args(arguments)
    for name, value in STAGES[args.stage]._asdict().items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    for name in ("batch_size", "num_objects", "iterations", "save_interval", "log_interval", "picture_interval"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.max_skip is not None and args.max_skip < 1:
        parser.error("--max_skip must be at least 1")
    if args.num_workers < 0:
        parser.error("--num_workers must not be negative")
    if not 0 < args.lr < math.inf:
        parser.error("--lr must be a positive number")
    if "/" in args.id or "\\" in args.id:
        parser.error("--id is a name, not a path")
    if args.no_pretrained_backbone and args.stage == 0 and args.batch_size == 1:
        parser.error("--no_pretrained_backbone learns batch-norm statistics, which needs -b of at least 2")
    if args.image_size % 16 or args.image_size < 32:
        parser.error("--image_size must be a multiple of 16, at least 32")
    if args.load_network and args.load_model:
        parser.error("--load_network starts a run and --load_model resumes one; give one of them")
    if args.debug:
        args.log_interval = args.picture_interval = 1
    return args
