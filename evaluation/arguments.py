"""The command line that the evaluation scripts share."""

import argparse
from pathlib import Path

from evaluation.run import RunOptions
from evaluation.video_writer import FORMATS
from model.memory.options import POLICIES
from util.device import AUTOCAST
from util.errors import InputError
from util.files import content_hash
from util.numbers import above_zero, number, pixels, positive, whole

SHIPPED = Path(__file__).resolve().parents[1] / "saves/qdmn_small.pth"
SHIPPED_CLICKS = SHIPPED.with_name("interactive_small.pth")
# Options that change results.
CHANGING = (
    *("use_km", "no_top", "top_k", "memory", "keep_previous", "mem_every", "mem_capacity", "mem_frames"),
    *("mem_annotated", "quality_threshold", "gate", "compat", "prior", "size", "flip", "scales", "weigh_by_size"),
    *("correct_rate", "correct_steps", "write_corrected", "amp", "tf32", "decode_roi", "first_mask", "frames"),
    *("start", "background", "void", "snap", "box", "keep_rate"),
)


def evaluation_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments of every evaluation script.

    Args:
        description: what the script does.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED, help="checkpoint (the one that ships)")
    parser.add_argument("--output", type=Path, help="folder for the results (output/<set>)")
    _add_memory_arguments(parser)
    _add_averaging_arguments(parser)
    _add_correction_arguments(parser)
    _add_run_arguments(parser)
    _add_output_arguments(parser)
    return parser


def add_list_arguments(parser: argparse.ArgumentParser) -> None:
    """The choice of videos of a dataset."""
    parser.add_argument("--list", type=Path, metavar="FILE", help="names of the videos instead of the set's own list")
    parser.add_argument("--videos", nargs="+", default=[], metavar="NAME", help="only these videos of the list")


def add_arrival_arguments(parser: argparse.ArgumentParser) -> None:
    """What differs where objects arrive later: the published constants for YouTube-VOS, and the prior."""
    parser.set_defaults(mem_capacity=10, quality_threshold=0.75)
    parser.add_argument(
        "--prior", choices=("softmax", "max"), default="softmax", help="where objects were last seen (%(default)s)"
    )


def _add_memory_arguments(parser: argparse.ArgumentParser) -> None:
    memory, memory_size = parser.add_argument_group("memory"), whole(1, 1_000_000)
    memory.add_argument("--use_km", action="store_true", help="kernelised memory read, sigma 5.6")
    memory.add_argument("--no_top", action="store_true", help="read from all memory positions")
    memory.add_argument("--top_k", type=positive, help="memory positions read (by network: 50, STCN 20)")
    memory.add_argument(
        "--memory",
        choices=("auto", *POLICIES),
        default="auto",
        help="what is kept; auto: by quality, or the latest frames where a network has no scorer; DropSeg: annotated",
    )
    memory.add_argument(
        "--keep_previous",
        action=argparse.BooleanOptionalAction,
        help="whether the previous frame is always in memory (by network: not for STCN)",
    )
    memory.add_argument("--mem_every", type=positive, default=5, help="frames between stores (%(default)s)")
    memory.add_argument("--mem_capacity", type=memory_size, default=20, help="predicted frames kept (%(default)s)")
    memory.add_argument(
        "--mem_frames",
        type=memory_size,
        metavar="N",
        help="the annotated frame and N - 1 others, in place of --mem_capacity and --mem_annotated",
    )
    memory.add_argument("--mem_annotated", type=memory_size, default=10, help="annotated frames kept (%(default)s)")
    memory.add_argument(
        "--quality_threshold",
        type=number(-10, 10),
        default=0.8,
        help="least relative quality to be stored (%(default)s)",
    )
    memory.add_argument(
        "--gate", choices=("mean", "object"), default="mean", help="judge the mean of all objects, or each by itself"
    )
    memory.add_argument("--compat", action="store_true", help="reproduce the quirks of the published code")


def _add_averaging_arguments(parser: argparse.ArgumentParser) -> None:
    views = parser.add_argument_group("size and averaging")
    views.add_argument(
        "--size", type=pixels, nargs="+", metavar="PX", help="most pixels of the shorter side, or of height and width"
    )
    views.add_argument("--flip", action="store_true", help="average with the mirrored frame")
    views.add_argument(
        "--scales", type=number(0.1, 10), nargs="+", default=[1.0], metavar="X", help="average over these sizes (1.0)"
    )
    views.add_argument(
        "--weigh_by_size",
        action="store_true",
        help="with --scales: an object counts most in the size in which it is about as large as objects in training; "
        "for objects that come close, --scales 1 0.5; for small frames, --scales 2 1",
    )


def _add_correction_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("gradient correction (STM-Cycle)")
    group.add_argument(
        "--correct_rate", type=above_zero, metavar="X", help="refine masks against the annotated frame; e.g. 150"
    )
    group.add_argument("--correct_steps", type=whole(1, 10_000), default=10, help="steps of a correction (%(default)s)")
    group.add_argument("--write_corrected", action="store_true", help="corrected masks are the results of their frames")


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    run.add_argument("--local_rank", "--local-rank", type=whole(0), default=0, help=argparse.SUPPRESS)
    run.add_argument("--amp", choices=AUTOCAST, default="off", help="automatic mixed precision (%(default)s)")
    run.add_argument("--decode_roi", action="store_true", help="decode only where objects can be; faster, not exact")
    run.add_argument(
        "--frame_batch", type=whole(1, 1024), default=1, help="frames at a time, DropSeg only (%(default)s)"
    )
    run.add_argument("--compile", action="store_true", help="let torch.compile fuse the network's operations")
    run.add_argument("--benchmark", action="store_true", help="let cuDNN look for the fastest algorithms of each size")
    run.add_argument("--tf32", action="store_true", default=None, help="float32 is multiplied as TF32 by a CUDA device")
    run.add_argument("--fused_read", action="store_true", help="read the memory in Triton kernels (CUDA)")
    run.add_argument("--look_ahead", action="store_true", help="encode the next image in a stream of its own (CUDA)")
    run.add_argument("--max_memory_gb", type=above_zero, metavar="GB", help="work in parts that fit into this")
    run.add_argument("--overwrite", action="store_true", help="segment finished videos again")


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    also = parser.add_argument_group("also write, beside the results")
    also.add_argument("--score", action="store_true", help="J&F, or what boxes are scored by; needs the whole truth")
    also.add_argument("--zip", action="store_true", help="<output>.zip for the server")
    also.add_argument("--report", action="store_true", help="<output>-report.html with sheets and timelines")
    also.add_argument("--contact_sheet", action="store_true", help="<output>-sheets/<video>.png")
    also.add_argument("--quality_csv", action="store_true", help="<output>-quality/<video>.csv")
    also.add_argument("--boxes", action="store_true", help="<output>-boxes/<video>.csv")
    also.add_argument("--soft", action="store_true", help="<output>-soft/<video>/<object>/<frame>.png, 255 for certain")
    also.add_argument(
        "--overlay", choices=[suffix.removeprefix(".") for suffix in FORMATS], help="<output>-overlay/<video>.*"
    )


def run_options(args: argparse.Namespace, set_name: str) -> RunOptions:
    """The options of the run that the command line asks for.

    Args:
        args: the parsed command line.
        set_name: names the default output folder, output/<set_name>.

    Raises:
        InputError: an archive of some videos only is asked for.
    """
    if args.zip and getattr(args, "videos", []):
        raise InputError("the server wants every video of the list; use --zip without --videos")
    return RunOptions(
        output=args.output or Path("output") / set_name,
        overwrite=args.overwrite,
        score=args.score,
        zip=args.zip,
        report=args.report,
        contact_sheet=args.contact_sheet,
        quality_csv=args.quality_csv,
        boxes=args.boxes,
        soft=args.soft,
        overlay=args.overlay,
        settings=settings(args),
        given=[args.model, *filter(None, [getattr(args, "list", None)])],
    )


def settings(args: argparse.Namespace) -> dict[str, str]:
    """What of a command line results depend on, beside the videos and their masks."""
    found = {f"--{name}": str(getattr(args, name)) for name in CHANGING if getattr(args, name, None) is not None}
    files = {f"--{name}": getattr(args, name, None) for name in ("model", "click_model")}
    return found | {name: content_hash(path) for name, path in files.items() if path is not None and path.is_file()}


def describe(args: argparse.Namespace) -> dict[str, str]:
    """What the page about a run tells of its command line."""
    memory = f"{args.memory}, {args.mem_capacity} frames, every {args.mem_every}, threshold {args.quality_threshold:g}"
    return {"model": str(args.model), "memory": f"{memory}, gate {args.gate}", "precision": args.amp}
