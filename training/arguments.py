"""What can be said on the command line of train.py."""

import argparse
from pathlib import Path

from training.run_arguments import add_batch, add_reports, add_run
from training.stage_defaults import STAGES
from util.numbers import above_zero, number, positive, share, whole

FAMILIES = ("mivos", "stm_cycle")
MIN_SIDE, MOST_SIDE = 32, 8192
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet50_v1", "resnet101", "vit_b16", "vit_s16", "vit_ti16")


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
        choices=range(4),
        default=0,
        help="0 pictures, 1 BL30K, 2 DAVIS + YouTube, 3 of STCN and DropSeg: 2, with other values",
    )
    group.add_argument("--benchmark", action="store_true", help="let cuDNN look for the fastest algorithms")
    group.add_argument("--compile", action="store_true", help="let torch.compile fuse the network's operations")


def _add_reports(group: argparse._ArgumentGroup) -> None:
    add_reports(group, picture_interval=800)
    group.add_argument("--debug", action="store_true", help="log scalars and pictures on every iteration")
    group.add_argument("--val_root", type=Path, help="DAVIS 2017 tree whose val videos are scored now and then")
    group.add_argument("--val_interval", type=positive, default=5000, help="iterations between validations")


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--static_root", type=Path, default=Path("data/static"))
    group.add_argument("--bl_root", type=Path, default=Path("data/BL30K"))
    group.add_argument(
        "--yv_root", type=Path, default=Path("data/YouTube"), help="'none' trains stage 2 without YouTube"
    )
    group.add_argument(
        "--davis_root", type=Path, default=Path("data/DAVIS"), help="'none' trains stage 2 without DAVIS"
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
        "--num_objects", type=whole(1, 255), help="most objects of a clip of a video; by default 2, STM-Cycle 5"
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
        "--data_backend", choices=("cpu", "gpu"), default="cpu", help="where frames are augmented: loaders or --device"
    )


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--arch", choices=STAGES, default="qdmn", help="qdmn_small: one image encoder, narrow heads")
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
