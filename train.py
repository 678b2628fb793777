"""Train a network.

One process:      python train.py --id s0 --stage 0
Several GPUs:     torchrun --nproc_per_node=2 train.py --id s0 --stage 0
As published:     python -m torch.distributed.launch --master_port 12345 --nproc_per_node=2 train.py --id s0 --stage 0
Next stage:       ... train.py --id s02 --stage 2 --load_network saves/<run>/<run>_160000.pth
Resume:           ... train.py --id s0 --stage 0 --resume auto
                  ... train.py --id s0 --stage 0 --load_model saves/<run>/<run>_checkpoint.pth
"""

import util.startup  # noqa: F401

import argparse
from pathlib import Path

import torch

from datasets.test.davis_test_dataset import DavisTestDataset
from datasets.train.sets import TRAINING_SETS
from datasets.train.stages import ClipOptions, StageData, stage_data
from evaluation.run import MaskResults, RunOptions, evaluate
from evaluation.segment import Segmenter
from inference_core import InferenceCore
from model import NETWORKS, build_network, fitting_options
from model.dropseg import DropSeg
from model.memory_network import AffinityNetwork, MemoryNetwork
from model.weights.checkpoint import Checkpoint, load_weights, restore_memory_network
from model.weights.pretrained import load_imagenet_encoders, load_mae_encoder
from training.arguments import check_resumable, describe_run, fill_batch, parse_arguments
from training.loop import TrainingLoop, Validate
from training.run import announce, begin, build_loader, build_reports, find_checkpoint, run_folder
from training.run_folder import RunFolder
from training.trainer import Trainer
from util.distributed import Process, stop
from util.errors import InputError, run


def check_image_size(args: argparse.Namespace) -> None:
    """Refuse frames that the network cannot work on.

    Raises:
        InputError: a side is no multiple of the network's `size_multiple`.
    """
    multiple = NETWORKS[args.arch].size_multiple
    if any(side % multiple for side in args.image_size):
        raise InputError(
            f"--image_size {' '.join(map(str, args.image_size))} cannot be used with {args.arch}; "
            f"give multiples of {multiple}"
        )


def build_data(args: argparse.Namespace) -> StageData:
    """The samples of the stage."""
    options = ClipOptions(
        image_size=args.image_size,
        clip_length=args.clip_length,
        num_objects=args.num_objects,
        max_skip=args.max_skip,
        skip_growth=args.skip_growth,
        skip_start=args.skip_start,
        samples_per_video=args.samples_per_video,
        soft_masks=args.soft_masks,
        clip_draw=args.clip_draw,
        repeat_frames=args.repeat_frames,
        augmentation=args.augmentation,
        zoom=args.zoom,
        render=args.data_backend == "cpu",
        arch=args.arch,
    )
    return stage_data(
        args.stage,
        {entry.option: getattr(args, entry.option) for entry in TRAINING_SETS},
        options,
        lists={entry.list_option: getattr(args, entry.list_option) for entry in TRAINING_SETS if entry.list_option},
        composites=args.composites,
        composite_stills=args.composite_stills,
    )


def describe_several_ids(data: StageData) -> list[str]:
    """A line that says how many pictures hold the ids of several objects, if any do."""
    sets = [stills for stills in data.stills if stills.several]
    if not sets:
        return []
    pictures, total = sum(len(stills.several) for stills in sets), sum(map(len, data.stills))
    return [
        f"several objects: {len(sets)} of {len(data.stills)} sets and {pictures} of {total} pictures have masks of "
        f"several ids, up to {sets[0].num_objects} objects a clip"
    ]


def new_network(args: argparse.Namespace) -> MemoryNetwork:
    """A new network with its first weights."""
    options = {
        "backbone": args.backbone,
        "multi_object": args.several_objects,
        "quality_head": args.quality_head,
        "score_activation": args.score_activation,
        "image_size": max(args.image_size),
        "drop_path": args.drop_path,
        "guided": True,
    }
    fitting = fitting_options(args.arch, options)
    if args.quality_head and "quality_head" not in fitting:
        raise InputError(f"{args.arch} has a quality scorer of its own; leave out --quality_head")
    try:
        network = build_network(args.arch, **fitting)
    except ValueError as error:
        raise InputError(f"--backbone {args.backbone} does not fit {args.arch}: {error}") from error
    if args.load_network:
        load_weights(network, args.load_network)
    elif not args.no_pretrained_backbone:
        load_encoders(network, args.backbone_weights)
    return network


def load_encoders(network: MemoryNetwork, paths: list[Path]) -> None:
    """Begin with encoders that have learned from pictures before.

    Raises:
        InputError: there is no file that fits.
    """
    if not isinstance(network, DropSeg):
        load_imagenet_encoders(network, paths)
    elif len(paths) == 1:
        print(f"{paths[0]}: {load_mae_encoder(network, paths[0])}", flush=True)
    else:
        raise InputError(
            "dropseg begins with one file of DropMAE or MAE; give it by --backbone_weights, or train from nothing with "
            "--no_pretrained_backbone"
        )


def build_trainer(args: argparse.Namespace, process: Process, found: tuple[Path, Checkpoint] | None) -> Trainer:
    """The trainer of a new network, or of one that goes on where its checkpoint ends."""
    if found is None:
        network = new_network(args)
    else:
        path, checkpoint = found
        network = restore_memory_network(checkpoint, path)
    if isinstance(network, DropSeg):
        network.query_encoder.checkpoint_activations = args.checkpoint_activations
    if args.freeze:
        freeze_encoder(network, args.freeze)
    if args.train_only:
        network.train_quality_head_only()
    trainer = Trainer(
        network.to(process.device).to(memory_format=torch.channels_last),
        process.device,
        lr=args.lr,
        steps=tuple(args.steps),
        gamma=args.gamma,
        frozen_statistics=not args.no_pretrained_backbone or args.train_only is not None,
        amp=args.amp,
        cycle=args.objective == "cycle",
        loss=args.loss,
        quality_target=args.quality_target,
        published_gate=args.published_gate,
        weight_decay=args.weight_decay,
        optimizer=args.optimizer,
        momentum=args.momentum,
        distributed=process.distributed,
        ema=args.ema,
        compile=args.compile,
    )
    if found is not None:
        trainer.restore(found[1], found[0])
    return trainer


def freeze_encoder(network: MemoryNetwork, last: str) -> None:
    """Let the first stages of the image encoder keep their weights.

    Raises:
        InputError: the encoder has no such stages.
    """
    if not isinstance(network, AffinityNetwork):
        raise InputError(f"--freeze is for ResNet encoders; leave it out with {network.arch}")
    network.query_encoder.freeze(last)


def validation_videos(args: argparse.Namespace, trained: set[str]) -> DavisTestDataset | None:
    """The videos that are scored now and then, if any are wanted.

    Raises:
        InputError: they cannot be used, or one is trained on, as its name says.
    """
    if args.val_root is None:
        return None
    dataset = DavisTestDataset.davis_2017(args.val_root, "val", option="val_root")
    if blank := [video.name for video in dataset.videos if not video.has_truth]:
        raise InputError(f"video {blank[0]} of --val_root has no masks after its first frame; validate on other videos")
    if learned := sorted(trained & {video.name for video in dataset.videos}):
        raise InputError(
            f"video {learned[0]} of --val_root is trained on too; leave it out by --davis_list or --yv_list, "
            "or validate on other videos"
        )
    return dataset


def build_validation(
    dataset: DavisTestDataset | None,
    args: argparse.Namespace,
    process: Process,
    folder: RunFolder | None,
    trainer: Trainer,
) -> Validate | None:
    """What scores the network of a run on the validation videos, in the leading process."""
    if dataset is None or folder is None or not process.leads:
        return None
    options = RunOptions(folder.path / "validation", overwrite=True, score=True)
    alone = Process(rank=0, world=1, device=process.device)

    def validate() -> dict[str, float]:
        network = trainer.result.eval()
        assert isinstance(network, MemoryNetwork)
        segmenter = Segmenter(lambda video: InferenceCore(network), process.device, args.amp)
        scores = evaluate(MaskResults(dataset), options, alone, lambda: segmenter, {})
        assert scores is not None, "the leading process scores"
        trainer.learn()
        return {"j_and_f": scores.jf_mean}

    return validate


def main() -> None:
    """Parse, build, run."""
    args = parse_arguments()
    check_image_size(args)
    process = begin(args)
    torch.backends.cudnn.benchmark = args.benchmark
    fill_batch(args, process.world)
    data = build_data(args)
    args.samples = len(data)
    args.several_objects |= any(stills.num_objects > 1 for stills in data.stills)
    if args.samples < args.total_batch:
        raise InputError(f"the data hold {args.samples} samples, too few for a batch of {args.total_batch}; lower -b")
    validated = validation_videos(args, data.videos)
    found = find_checkpoint(args, NETWORKS)
    if found is not None:
        check_resumable(args, found[1].arguments, found[0])
    trainer = build_trainer(args, process, found)
    loader = build_loader(data, args, process, trainer.iteration)
    description = "\n".join([*describe_several_ids(data), describe_run(args, process.world, trainer.iteration)])
    with run_folder(args, process, found) as folder:
        announce(args, process, folder, description)
        logger, bad_samples = build_reports(args, process, folder, trainer.iteration)
        validate = build_validation(validated, args, process, folder, trainer)
        best_score = found[1].best_score if found else -1.0
        loop = TrainingLoop(trainer, process, folder, logger, bad_samples, vars(args), validate, best_score)
        loop.run(loader)
    stop(process)


if __name__ == "__main__":
    run(main)
