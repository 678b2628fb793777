"""Pre-train the encoder of DropSeg on videos without annotations (DropMAE).

One process:      python train_dropmae.py --id k400 --videos data/kinetics/train
Several GPUs:     torchrun --nproc_per_node=8 train_dropmae.py --id k400 --videos data/kinetics/train
As published:     python -m torch.distributed.launch --nproc_per_node=8 train_dropmae.py --id k400 --videos ...
Resume:           ... train_dropmae.py --id k400 --videos ... --resume auto
"""

import util.startup  # noqa: F401

import argparse
from pathlib import Path

from torch import Tensor

from datasets.train.clips import Sample
from datasets.train.frame_pairs import FramePairs, collate_pairs, find_videos, pairs_to_device
from datasets.train.stages import Part, StageData
from datasets.video_list import read_given_list
from model.dropmae import Completion, DropMAE
from model.weights.checkpoint import Checkpoint, fill_network, load_weights
from training.loop import TrainingLoop
from training.pretrain_arguments import SAME_ON_RESUME, describe_run, fill_schedule, parse_arguments
from training.pretrainer import Pretrainer
from training.run import announce, begin, build_loader, build_reports, find_checkpoint, run_folder
from training.run_arguments import check_same
from training.run_folder import RunFolder
from util.distributed import Process, stop
from util.errors import run
from util.tensors import denormalise

SHOWN_SAMPLES = 4


class PretrainingLoop(TrainingLoop):
    """The loop of a pre-training run."""

    def _batch(self, part: Sample) -> dict[str, Tensor]:
        return pairs_to_device(part, self.trainer.device)

    def _show(self, iteration: int, batch: dict[str, Tensor], output: Completion) -> None:
        network = self.trainer.network
        assert isinstance(network, DropMAE)
        pictures = network.pictures(batch["frames"], output)[:SHOWN_SAMPLES]
        columns = pictures.shape[1] * pictures.shape[2]
        self.logger.grid("hidden_completed_true", list(denormalise(pictures.flatten(0, 2).cpu())), columns, iteration)


def build_data(args: argparse.Namespace) -> StageData:
    """The pairs of an epoch."""
    names = None
    if args.video_list is not None:
        names = set(read_given_list(args.video_list, "video_list"))
    videos = find_videos(args.videos, names)
    pairs = FramePairs(videos, image_size=args.image_size, frame_gap=args.frame_gap)
    return StageData([Part(pairs, args.samples_per_video)])


def build_trainer(args: argparse.Namespace, process: Process, found: tuple[Path, Checkpoint] | None) -> Pretrainer:
    """The trainer of a new network, or of one that goes on where its checkpoint ends."""
    network = DropMAE(
        backbone=args.backbone,
        image_size=args.image_size,
        mask_ratio=args.mask_ratio,
        attention_dropout=args.attention_dropout,
        checkpoint_activations=args.checkpoint_activations,
        decoder_width=args.decoder_width,
        decoder_depth=args.decoder_depth,
        decoder_heads=args.decoder_heads,
    )
    if found is not None:
        fill_network(network, found[1], found[0])
    elif args.load_network:
        load_weights(network, args.load_network)
    trainer = Pretrainer(
        network.to(process.device),
        process.device,
        lr=args.lr,
        iterations=args.iterations,
        warmup=args.warmup,
        weight_decay=args.weight_decay,
        amp=args.amp,
        distributed=process.distributed,
    )
    if found is not None:
        trainer.restore(found[1], found[0])
    return trainer


def build_loop(
    args: argparse.Namespace, process: Process, trainer: Pretrainer, folder: RunFolder | None
) -> PretrainingLoop:
    """The loop with its reports."""
    logger, bad_samples = build_reports(args, process, folder, trainer.iteration)
    arguments = {**vars(args), "videos": [str(path) for path in args.videos]}
    return PretrainingLoop(trainer, process, folder, logger, bad_samples, arguments)


def main() -> None:
    """Parse, build, run."""
    args = parse_arguments()
    process = begin(args)
    data = build_data(args)
    fill_schedule(args, process.world, len(data))
    found = find_checkpoint(args, [DropMAE.arch])
    if found is not None:
        check_same(args, found[1].arguments, SAME_ON_RESUME, found[0])
    trainer = build_trainer(args, process, found)
    loader = build_loader(data, args, process, trainer.iteration, collate_pairs)
    with run_folder(args, process, found) as folder:
        announce(args, process, folder, describe_run(args, process.world, trainer.iteration))
        loop = build_loop(args, process, trainer, folder)
        loop.run(loader)
    stop(process)


if __name__ == "__main__":
    run(main)
