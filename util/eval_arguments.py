"""The command line that the DAVIS evaluation scripts share."""

import argparse
from pathlib import Path
from typing import Any

from util.device import AUTOCAST, choose_device
from util.errors import InputError
from util.evaluation import RunOptions

KM_SIGMA = 5.6


def evaluation_parser(description: str | None, davis: Path) -> argparse.ArgumentParser:
    """A parser with the arguments of every evaluation script.

    Args:
        description: what the script does.
        davis: default of `--davis`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("saves/qdmn_small.pth"), help="checkpoint (%(default)s)")
    parser.add_argument("--davis", type=Path, default=davis, help="root of the dataset (%(default)s)")
    parser.add_argument("--output", type=Path, help="folder for the results (output/<set>)")
    parser.add_argument("--list", type=Path, metavar="FILE", help="names of the videos instead of the set's own list")
    parser.add_argument("--videos", nargs="+", default=[], metavar="NAME", help="only these videos of the list")
    _add_memory_arguments(parser)
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (%(default)s)")
    run.add_argument("--amp", choices=AUTOCAST, default="off", help="automatic mixed precision (%(default)s)")
    run.add_argument("--overwrite", action="store_true", help="segment finished videos again")
    run.add_argument("--score", action="store_true", help="compute J&F; needs masks of all frames")
    run.add_argument("--zip", action="store_true", help="pack the results into <output>.zip for the server")
    run.add_argument("--contact_sheet", action="store_true", help="draw <output>-sheets/<video>.png")
    run.add_argument("--quality_csv", action="store_true", help="write <output>-quality/<video>.csv")
    return parser


def _add_memory_arguments(parser: argparse.ArgumentParser) -> None:
    memory = parser.add_argument_group("memory")
    memory.add_argument("--use_km", action="store_true", help=f"kernelised memory read, sigma {KM_SIGMA}")
    memory.add_argument("--no_top", action="store_true", help="read from all memory positions")
    memory.add_argument("--top_k", type=_positive, default=50, help="memory positions read (%(default)s)")
    memory.add_argument("--mem_every", type=_positive, default=5, help="frames between stores (%(default)s)")
    memory.add_argument("--mem_capacity", type=_positive, default=20, help="frames kept (%(default)s)")
    memory.add_argument(
        "--quality_threshold", type=float, default=0.8, help="least relative quality to be stored (%(default)s)"
    )
    memory.add_argument(
        "--memory", choices=("quality", "latest", "every"), default="quality", help="what is kept (%(default)s)"
    )
    memory.add_argument("--compat", action="store_true", help="reproduce the quirks of the published code")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def core_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of `InferenceCore` that the command line asks for."""
    return {
        "top_k": None if args.no_top else args.top_k,
        "km_sigma": KM_SIGMA if args.use_km else None,
        "mem_every": args.mem_every,
        "capacity": args.mem_capacity,
        "quality_threshold": args.quality_threshold,
        "policy": args.memory,
        "compat": args.compat,
    }


def run_options(args: argparse.Namespace, set_name: str) -> RunOptions:
    """The options of the run that the command line asks for.

    Args:
        args: the parsed command line.
        set_name: names the default output folder, output/<set_name>.

    Raises:
        InputError: the device is not available, or an archive of some videos only is asked for.
    """
    if args.zip and args.videos:
        raise InputError("the server wants every video of the list; use --zip without --videos")
    return RunOptions(
        output=args.output or Path("output") / set_name,
        device=choose_device(args.device),
        autocast=AUTOCAST[args.amp],
        overwrite=args.overwrite,
        score=args.score,
        zip=args.zip,
        contact_sheet=args.contact_sheet,
        quality_csv=args.quality_csv,
    )
