"""From the command line of an evaluation script to the cores that segment its videos."""

import argparse
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import torch

from datasets.test.annotated_video import AnnotatedVideo
from evaluation.arguments import describe, run_options
from evaluation.averaging import AveragingCore, View
from evaluation.run import MaskResults, evaluate
from evaluation.scoring import Scores
from evaluation.segment import Segmenter, VideoWorker
from inference.chunks import needed_bytes, plan_chunks
from inference.fast_form import for_inference
from inference_core import InferenceCore, Stream
from inference_core_yv import InferenceCoreYV
from model.memory.fused_read import available
from model.memory.options import MemoryOptions
from model.memory_network import MemoryNetwork
from model.stm_cycle import STMCycle
from model.weights.checkpoint import load_network
from published.qdmn import PublishedCore, PublishedCoreYV
from published.stm_cycle import PublishedSTMCycleCore
from util.device import AUTOCAST, allow_tf32, keep_freed_memory, used_memory_bytes
from util.distributed import start, stop
from util.errors import InputError

KM_SIGMA = 5.6
PATIENCE = timedelta(days=30)
COMPILED = ("encode_image", "encode_query", "encode_memory", "decode")

logger = logging.getLogger(__name__)


def run_evaluation(
    args: argparse.Namespace, results: MaskResults, core: type[InferenceCore], set_name: str
) -> Scores | None:
    """Segment a test set as the command line asks.

    Args:
        args: the command line, see `evaluation.arguments`.
        results: the test set, and what is wanted of it.
        core: the kind of core.
        set_name: names the default output folder.

    Raises:
        InputError: see `evaluate`.
    """
    if args.compat and args.gate == "object":
        raise InputError("the published code has no gate for each object; use --compat without --gate object")
    return run_worker(args, results, lambda device: build_segmenter(args, device, core), set_name)


def run_worker(
    args: argparse.Namespace, results: MaskResults, build: Callable[[torch.device], VideoWorker], set_name: str
) -> Scores | None:
    """Run a test set through any worker, see `run_evaluation`.

    Args:
        args, results, set_name: see `run_evaluation`.
        build: gives the worker on a device; not called without need.

    Raises:
        InputError: see `evaluate`.
    """
    options = run_options(args, set_name)
    process = start(args.device, args.local_rank, backend="gloo", patience=PATIENCE)
    try:
        return evaluate(results, options, process, lambda: build(process.device), describe(args))
    finally:
        stop(process)


def build_segmenter(args: argparse.Namespace, device: torch.device, core: type[InferenceCore]) -> Segmenter:
    """Load the network and get ready to segment videos.

    Args:
        args: the command line, see `evaluation.arguments`.
        device: where to work.
        core: the kind of core.

    Raises:
        InputError: the checkpoint cannot be used, or has no scorer although its memory is to go by quality.
    """
    if args.weigh_by_size and len(set(args.scales)) < 2:
        raise InputError("--weigh_by_size chooses between sizes; give several by --scales, such as --scales 1 0.5")
    sparing = args.max_memory_gb is not None
    if not sparing:
        keep_freed_memory(device)
    network = load_network(args.model, device)
    if args.memory == "quality" and network.quality_scorer is None:
        raise InputError(f"{args.model} has no quality scorer; use --memory latest, or train one with --quality_head")
    if args.decode_roi and not network.decodes_windows:
        raise InputError(f"{network.arch} cannot decode a part of a frame; leave out --decode_roi")
    if not network.reads_by_affinity and (args.top_k or args.no_top or args.use_km):
        raise InputError(f"{network.arch} does not read by affinities; leave out --top_k, --no_top and --use_km")
    if args.frame_batch > 1:
        _check_frame_batch(args, network)
    _check_cuda_options(args, network, device)
    set_arithmetic(args)
    corrects = args.correct_rate is not None
    for_inference(network, device, amp=AUTOCAST[args.amp], compiled=args.compile, corrects=corrects)
    if args.compile:
        compile_network(network, windows=args.decode_roi)
    return Segmenter(
        partial(new_core, args, network, device, core),
        device,
        args.amp,
        args.frame_batch,
        overlaps=device.type == "cuda" and not sparing,
        looks_ahead=args.look_ahead,
        count_compiled=count_compiled if args.compile else int,
    )


def set_arithmetic(args: argparse.Namespace) -> None:
    """How a CUDA device multiplies and convolves, as the command line says."""
    allow_tf32(bool(args.tf32))
    torch.backends.cudnn.benchmark = args.benchmark


def compile_network(network: MemoryNetwork, *, windows: bool = False) -> None:
    """Let `torch.compile` fuse encoders and decoder, in place; reading the memory, which grows, stays as it is.

    Args:
        network: in the form of `for_inference`.
        windows: parts of frames will be decoded. Their place must not be seen, or each would be compiled anew; their
            size is a variable.
    """
    for name in COMPILED[:-1] if windows else COMPILED:
        setattr(network, name, torch.compile(getattr(network, name)))
    if windows:
        decoder: Any = network.decoder
        decoder.upsample = torch.compile(decoder.upsample, dynamic=True)


def count_compiled() -> int:
    """How many graphs `torch.compile` has made in this process."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def _check_frame_batch(args: argparse.Namespace, network: MemoryNetwork) -> None:
    averaged = args.flip or args.scales != [1.0]
    if averaged or not InferenceCore(network, memory_options(args, network), **core_options(args)).independent:
        raise InputError(
            "--frame_batch needs frames that do not depend on each other: DropSeg with --mem_frames 1, without "
            "averaging and correction"
        )


def _check_cuda_options(args: argparse.Namespace, network: MemoryNetwork, device: torch.device) -> None:
    """Refuse what would do nothing."""
    for name in ("fused_read", "look_ahead"):
        if getattr(args, name) and device.type != "cuda":
            raise InputError(f"--{name} is for CUDA devices, and this run is on {device}; leave it out")
    if args.look_ahead and (args.max_memory_gb is not None or args.frame_batch > 1):
        raise InputError("--look_ahead goes neither with --max_memory_gb nor with --frame_batch; leave it out")
    if args.fused_read and (args.use_km or args.decode_roi or not network.reads_by_affinity):
        raise InputError("--fused_read goes neither with --use_km, --decode_roi nor with DropSeg; leave it out")
    if args.fused_read and not available(device):
        raise InputError("--fused_read needs Triton and a GPU of compute capability 8.0 or higher; leave it out")


def new_core(
    args: argparse.Namespace,
    network: MemoryNetwork,
    device: torch.device,
    core: type[InferenceCore],
    video: AnnotatedVideo,
) -> Stream:
    """A core for a video, or one for each view of it.

    Raises:
        InputError: the video does not fit into --max_memory_gb.
    """
    options = core_options(args)
    kind: type[InferenceCore] = core
    if args.compat and isinstance(network, STMCycle):
        kind = PublishedSTMCycleCore
        options["objects"] = video.objects
    elif issubclass(core, InferenceCoreYV):
        options["prior"] = args.prior
        if args.compat:
            kind = PublishedCoreYV
            options["video_objects"] = len(video.objects)
    elif args.compat:
        kind = PublishedCore
    flips = (False, True) if args.flip else (False,)
    views = [View(scale, flip) for scale in sorted(args.scales, reverse=True) for flip in flips]
    if args.max_memory_gb is not None:
        options |= chunk_options(args, network, device, video, views)
    make: Callable[[], InferenceCore] = partial(kind, network, memory_options(args, network), **options)
    return make() if views == [View()] else AveragingCore(make, views, by_size=args.weigh_by_size)


def memory_options(args: argparse.Namespace, network: MemoryNetwork) -> MemoryOptions:
    """What the command line asks the memory to keep."""
    options = MemoryOptions(
        policy=args.memory,
        capacity=args.mem_capacity,
        annotations=args.mem_annotated,
        mem_every=args.mem_every,
        quality_threshold=args.quality_threshold,
        keep_previous=args.keep_previous,
        gate=args.gate,
    )
    if args.mem_frames is None:
        return options
    policy = "annotated" if args.mem_frames == 1 else args.memory
    few = replace(options, policy=policy, capacity=max(1, args.mem_frames - 1), annotations=1)
    # whatever the network was published with, predicted frames are wanted here
    has_scorer = network.quality_scorer is not None
    return few.settled(policy=None, keeps_previous=network.keeps_previous, has_scorer=has_scorer)


def core_options(args: argparse.Namespace) -> dict[str, Any]:
    """The other keyword arguments of `InferenceCore` that the command line asks for."""
    return {
        "top_k": None if args.no_top else args.top_k or "auto",
        "km_sigma": KM_SIGMA if args.use_km else None,
        "decode_roi": args.decode_roi,
        "fused_read": args.fused_read,
        "score_all": args.quality_csv or args.report,
        "correct_rate": args.correct_rate,
        "correct_steps": args.correct_steps,
        "write_corrected": args.write_corrected,
    }


def chunk_options(
    args: argparse.Namespace, network: MemoryNetwork, device: torch.device, video: AnnotatedVideo, views: list[View]
) -> dict[str, int]:
    """Chunk sizes that keep a video within --max_memory_gb.

    Raises:
        InputError: even one object at a time is too much.
    """
    scale = max(view.scale for view in views)
    size = round(video.size[0] * scale), round(video.size[1] * scale)
    slots = 3 + args.mem_capacity + 2 * min(args.mem_annotated, len(video.masks) - 1)
    if args.memory == "every":
        slots += 2 * len(video) // args.mem_every
    held, wanted = used_memory_bytes(device), args.max_memory_gb * 1e9
    objects = len(video.objects) * len(views)
    stored_bytes = 4 if args.amp == "off" else 2
    chunks = plan_chunks(network, size, objects, slots, wanted - held, stored_bytes)
    if chunks is None:
        needed = (held + sum(needed_bytes(network, size, objects, slots, stored_bytes))) / 1e9
        raise InputError(
            f"video {video.name} with {len(video.objects)} objects needs about {needed:.1f} GB; raise --max_memory_gb,"
            " or lower --size or --mem_capacity"
        )
    if chunks.objects < len(video.objects):
        logger.info("%s: %d of %d objects at a time", video.name, chunks.objects, len(video.objects))
    return {"object_chunk": chunks.objects, "max_elements": chunks.elements}
