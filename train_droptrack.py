"""Train a box tracker, DropTrack (with DropMAE, CVPR 2023).

One process:      python train_droptrack.py --id got --config vitb_384_mae_ce_32x4_got10k_ep100 --backbone_weights F.pth
Several GPUs:     torchrun --nproc_per_node=4 train_droptrack.py --id all --backbone_weights F.pth
Elsewhere:        ... --datasets LASOT=/disk/lasot COCO17=/disk/coco DAVIS_2017=/disk/DAVIS --ratio 2 1 1
Resume:           ... train_droptrack.py --id all --backbone_weights F.pth --resume auto
"""

import util.startup  # noqa: F401

import argparse
from pathlib import Path

from datasets.boxes.pairs import BoxPairs, View, collate_box_pairs
from datasets.boxes.tracks import TRACK_SETS, open_tracks
from datasets.video_list import read_given_list
from model.droptrack import DropTrack
from model.weights.checkpoint import Checkpoint, fill_network
from model.weights.pretrained import load_tracker_start
from training.box_arguments import (
    check_resumable,
    describe_run,
    fill_schedule,
    parse_arguments,
    recorded_arguments,
)
from training.box_loop import BoxLoop, build_validation
from training.box_trainer import BoxTrainer
from training.run import announce, begin, build_loader, build_reports, find_checkpoint, run_folder
from util.distributed import Process, stop
from util.errors import InputError, run


def build_pairs(args: argparse.Namespace, *, learning: bool) -> BoxPairs | None:
    """The pairs of training or of validation; None where nothing is validated on."""
    prefix = "" if learning else "val_"
    named = getattr(args, f"{prefix}datasets")
    if not named:
        return None
    files = {entry.name: entry.root for entry in getattr(args, f"{prefix}lists")}
    sets = []
    for name, told in named:
        names = set(read_given_list(files[name], f"{prefix}lists")) if name in files else None
        root = args.data / TRACK_SETS[name][0] if told is None else told
        sets.append(open_tracks(name, root, names, args.least_side))
    views = {
        view: View(*(getattr(args, f"{view}_{value}") for value in View.__dataclass_fields__))
        for view in ("template", "search")
    }
    return BoxPairs(
        sets,
        getattr(args, f"{prefix}ratio"),
        args.samples_per_epoch if learning else args.val_samples,
        max_gap=args.max_gap,
        least_frames=args.least_frames,
        least_visible=args.least_visible,
        learning=learning,
        **views,
    )


def build_network(args: argparse.Namespace, found: tuple[Path, Checkpoint] | None) -> DropTrack:
    """A new network with its first weights, or that of a checkpoint."""
    try:
        network = DropTrack(
            backbone=args.backbone,
            template_size=args.template_size,
            search_size=args.search_size,
            elimination_blocks=args.elimination_blocks,
            keep_rates=args.keep_rates,
            ranking=args.ranking,
            drop_path=args.drop_path,
            head_channels=args.head_channels,
        )
    except ValueError as error:
        raise InputError(f"{error}; check the options of the network") from error
    start_file = args.load_network or args.backbone_weights
    if found is not None:
        fill_network(network, found[1], found[0])
    elif start_file is not None:
        report = load_tracker_start(network, start_file)
        print(f"{start_file}: {report or 'all of a tracker'}", flush=True)
    elif not args.no_pretrained_backbone:
        raise InputError(
            "a new run begins with --backbone_weights FILE, --load_network FILE, or from nothing by "
            "--no_pretrained_backbone; give one of them"
        )
    return network


def build_trainer(args: argparse.Namespace, process: Process, found: tuple[Path, Checkpoint] | None) -> BoxTrainer:
    """The trainer of a new network, or of one that goes on where its checkpoint ends."""
    trainer = BoxTrainer(
        build_network(args, found).to(process.device),
        process.device,
        steps_per_epoch=args.steps_per_epoch,
        lr=args.lr,
        backbone_multiplier=args.backbone_multiplier,
        weight_decay=args.weight_decay,
        lr_drop_epochs=args.lr_drop_epochs,
        gamma=args.gamma,
        warmup=args.warmup,
        keep_start=args.keep_start,
        keep_warmup=args.keep_warmup,
        grad_clip=args.grad_clip,
        giou_weight=args.giou_weight,
        l1_weight=args.l1_weight,
        amp=args.amp,
        distributed=process.distributed,
        ema=args.ema,
    )
    if found is not None:
        trainer.restore(found[1], found[0])
    return trainer


def main() -> None:
    """Parse, build, run."""
    args = parse_arguments()
    process = begin(args)
    fill_schedule(args, process.world)
    data, held_out = build_pairs(args, learning=True), build_pairs(args, learning=False)
    assert data is not None, "something is learned from"
    found = find_checkpoint(args, [DropTrack.arch])
    if found is not None:
        check_resumable(args, found[1].arguments, found[0])
    trainer = build_trainer(args, process, found)
    loader = build_loader(data, args, process, trainer.iteration, collate_box_pairs)
    with run_folder(args, process, found) as folder:
        announce(args, process, folder, describe_run(args, process.world, trainer.iteration))
        logger, bad_samples = build_reports(args, process, folder, trainer.iteration)
        validate = build_validation(held_out, args, process, trainer)
        best_score = found[1].best_score if found else -1.0
        arguments = recorded_arguments(args)
        BoxLoop(trainer, process, folder, logger, bad_samples, arguments, validate, best_score).run(loader)
    stop(process)


if __name__ == "__main__":
    run(main)
