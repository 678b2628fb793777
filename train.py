"""Train QDMN.

One process:      python train.py --id s0 --stage 0
Several GPUs:     torchrun --nproc_per_node=2 train.py --id s0 --stage 0
As published:     python -m torch.distributed.launch --master_port 12345 --nproc_per_node=2 train.py --id s0 --stage 0
Next stage:       ... train.py --id s02 --stage 2 --load_network saves/<run>/<run>_160000.pth
Resume:           ... train.py --id s0 --stage 0 --load_model saves/<run>/<run>_checkpoint.pth
"""

import argparse
import math
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from datasets.stages import EpochStart, stage_data
from model import build_network
from model.checkpoint import Checkpoint, build_from, load_checkpoint, load_weights, save_checkpoint
from model.pretrained import load_imagenet_encoders
from model.trainer import Trainer
from util.distributed import Process, start, stop
from util.errors import InputError, run
from util.hyper_parameters import parse_arguments
from util.logger import TrainingLogger
from util.run_folder import RunFolder


def build(args: argparse.Namespace, process: Process) -> Trainer:
    """The trainer, with a new network, one that starts from given weights, or one that resumes."""
    checkpoint = load_checkpoint(args.load_model) if args.load_model else None
    if checkpoint is not None:
        if checkpoint.arguments["stage"] != args.stage:
            raise InputError(
                f"{args.load_model} is a run of stage {checkpoint.arguments['stage']}, not {args.stage}; "
                "resume it with its own --stage, or pass it by --load_network to start the next one"
            )
        network = build_from(checkpoint, args.load_model)
        network.load_state_dict(checkpoint.network)
    else:
        network = build_network(
            "qdmn", backbone=args.backbone, multi_object=args.stage > 0, score_activation=args.score_activation
        )
        fill(network, args)
    trainer = Trainer(
        network.to(process.device),
        process.device,
        lr=args.lr,
        steps=tuple(args.steps),
        gamma=args.gamma,
        frozen_statistics=not args.no_pretrained_backbone,
        amp=args.amp,
        quality_target=args.quality_target,
        distributed=process.distributed,
    )
    if checkpoint is not None:
        trainer.restore(checkpoint)
    if checkpoint is None or not process.leads:
        torch.manual_seed(args.seed + process.rank + trainer.iteration)
    return trainer


def fill(network: nn.Module, args: argparse.Namespace) -> None:
    """Give a new network its first weights."""
    if args.load_network:
        load_weights(network, args.load_network)
    elif not args.no_pretrained_backbone:
        load_imagenet_encoders(network, args.backbone, args.backbone_weights)


def build_loader(dataset: Dataset, args: argparse.Namespace, process: Process) -> DataLoader:
    """Batches of this process; every epoch in a new order."""
    sampler = DistributedSampler(dataset, process.world, process.rank, shuffle=True, seed=args.seed)
    loader = DataLoader(
        dataset,
        args.batch_size,
        sampler=sampler,
        num_workers=args.num_workers,
        drop_last=True,
        pin_memory=process.device.type == "cuda",
    )
    if not len(loader):
        raise InputError(
            f"the data hold {len(dataset)} samples, too few for {process.world} batches of {args.batch_size}; lower -b"
        )
    return loader


def train(
    trainer: Trainer,
    loader: DataLoader,
    start_epoch: EpochStart,
    args: argparse.Namespace,
    folder: RunFolder | None,
    logger: TrainingLogger | None,
) -> None:
    """Run the epochs that are left."""
    epochs = math.ceil(args.iterations / len(loader))
    for epoch in range(trainer.iteration // len(loader), epochs):
        loader.sampler.set_epoch(epoch)
        start_epoch(epoch, epochs)
        for batch in loader:
            if trainer.iteration >= args.iterations:
                break
            batch = {k: v.to(trainer.device, non_blocking=True) if k != "name" else v for k, v in batch.items()}
            losses, output = trainer.step(batch)
            if logger is not None:
                logger.scalars(trainer.iteration, losses, trainer.optimizer.param_groups[0]["lr"])
                if trainer.iteration % args.picture_interval == 0:
                    logger.pictures(trainer.iteration, batch["frames"], batch["masks"], output.masks)
            if folder is not None and trainer.iteration % args.save_interval == 0:
                save(trainer, folder, args)
    if folder is not None and trainer.iteration % args.save_interval:
        save(trainer, folder, args)


def save(trainer: Trainer, folder: RunFolder, args: argparse.Namespace) -> None:
    """Write the weights and the training checkpoint."""
    arguments = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    checkpoint = trainer.checkpoint(arguments)
    weights = Checkpoint(checkpoint.arch, checkpoint.options, checkpoint.network, iteration=checkpoint.iteration)
    save_checkpoint(folder.weights(trainer.iteration), weights)
    save_checkpoint(folder.checkpoint, checkpoint)
    print(f"saved {folder.weights(trainer.iteration)}", flush=True)


def main() -> None:
    """Parse, build, run."""
    args = parse_arguments()
    process = start(args.device, args.local_rank)
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = args.benchmark
    roots = {name: getattr(args, name) for name in ("static_root", "bl_root", "davis_root", "yv_root", "yv_list")}
    dataset, start_epoch = stage_data(
        args.stage,
        **roots,
        image_size=args.image_size,
        num_objects=args.num_objects,
        max_skip=args.max_skip,
        soft_masks=args.soft_masks,
        repeat_frames=args.repeat_frames,
    )
    loader = build_loader(dataset, args, process)
    trainer = build(args, process)
    folder = logger = None
    if process.leads:
        if args.id != "NULL":
            folder = RunFolder(args.id)
            folder.record(vars(args))
        log = None if folder is None else Path("log") / folder.id
        logger = TrainingLogger(log, start=trainer.iteration, total=args.iterations, interval=args.log_interval)
    train(trainer, loader, start_epoch, args, folder, logger)
    if logger is not None:
        logger.close()
    stop(process)


if __name__ == "__main__":
    run(main)
