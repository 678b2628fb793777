"""Train what turns clicks, strokes and boxes into masks, on the image encoder of a network that is trained already.

One process:      python train_interactive.py --id clicks --static_root data/static --davis_root data/DAVIS
Without YouTube:  ... train_interactive.py --id clicks --yv_root none
Several GPUs:     torchrun --nproc_per_node=2 train_interactive.py --id clicks
Resume:           ... train_interactive.py --id clicks ... --resume auto
"""

import util.startup  # noqa: F401

import argparse
from pathlib import Path

import torch
from torch import Tensor

from datasets.train.sets import INTERACTIVE
from datasets.train.stages import ClipOptions, StageData, stage_data
from datasets.video_list import read_picture_list
from model.interactive import ClickDecoder, ClickNetwork, fingerprint
from model.layers.resnet import ResNetEncoder
from model.memory_network import AffinityNetwork
from model.weights.checkpoint import Checkpoint, fill_network, load_network, load_weights
from training.click_arguments import SAME_ON_RESUME, SETS, describe_run, fill_schedule, parse_arguments
from training.click_trainer import ClickTrainer, Rounds
from training.loop import TrainingLoop
from training.run import announce, begin, build_loader, build_reports, find_checkpoint, run_folder
from training.run_arguments import check_same
from util.distributed import Process, stop
from util.errors import InputError, run


class ClickLoop(TrainingLoop):
    """The loop of a run on clicks."""

    def _show(self, iteration: int, batch: dict[str, Tensor], output: Rounds) -> None:
        """Log each frame with its object, then with the masks of the rounds."""
        repeats = (-1, 1 + output.masks.shape[1], -1, -1, -1)
        truth = output.truth.unsqueeze(1).expand(*repeats)
        self.logger.pictures(iteration, batch["frames"].expand(*repeats), truth, output.masks, None)


def build_data(args: argparse.Namespace) -> StageData:
    """Pictures, frames of annotated videos, and composites of both."""
    options = ClipOptions(
        image_size=(args.image_size, args.image_size),
        clip_length=1,
        num_objects=args.num_objects,
        max_skip=1,
        samples_per_video=args.samples_per_video,
        left_out=set() if args.held_out is None else set(read_picture_list(args.held_out, "held_out")),
    )
    return stage_data(
        INTERACTIVE,
        {entry.option: getattr(args, entry.option) for entry in SETS},
        options,
        lists={entry.list_option: getattr(args, entry.list_option) for entry in SETS if entry.list_option},
        composites=args.composites,
    )


def load_trunk(path: Path) -> ResNetEncoder:
    """The image encoder of a network.

    Raises:
        InputError: it has none that can be shared.
    """
    network = load_network(path, torch.device("cpu"))
    if not isinstance(network, AffinityNetwork) or not isinstance(network.query_encoder, ResNetEncoder):
        raise InputError(f"--trunk {path} holds {network.arch}, whose image encoder is no ResNet; give another network")
    return network.query_encoder.requires_grad_(False)


def build_trainer(
    args: argparse.Namespace, process: Process, trunk: ResNetEncoder, found: tuple[Path, Checkpoint] | None
) -> ClickTrainer:
    """The trainer of a new decoder, or of one that goes on where its checkpoint ends."""
    decoder = ClickDecoder(channels=trunk.channels, width=args.width, depth=args.depth, trunk=args.trunk_weights)
    if found is not None:
        fill_network(decoder, found[1], found[0])
    elif args.load_network:
        load_weights(decoder, args.load_network)
    trainer = ClickTrainer(
        ClickNetwork(trunk, decoder).to(process.device).to(memory_format=torch.channels_last),
        process.device,
        lr=args.lr,
        iterations=args.iterations,
        warmup=args.warmup,
        weight_decay=args.weight_decay,
        rounds=args.rounds,
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
    trunk = load_trunk(args.trunk)
    args.trunk_weights = fingerprint(trunk)
    data = build_data(args)
    fill_schedule(args, process.world, len(data))
    found = find_checkpoint(args, [ClickDecoder.arch])
    if found is not None:
        check_same(args, found[1].arguments, SAME_ON_RESUME, found[0])
    trainer = build_trainer(args, process, trunk, found)
    loader = build_loader(data, args, process, trainer.iteration)
    with run_folder(args, process, found) as folder:
        announce(args, process, folder, describe_run(args, process.world, trainer.iteration))
        logger, bad_samples = build_reports(args, process, folder, trainer.iteration)
        ClickLoop(trainer, process, folder, logger, bad_samples, vars(args)).run(loader)
    stop(process)


if __name__ == "__main__":
    run(main)
