"""Does this machine's GPU give what its CPU gives, and how fast? One command, ten minutes at most, and a table.

    python scripts/gpu_check.py
    python scripts/gpu_check.py --device cpu --only cores rendering training

Compared with the CPU in float32: every network through both cores, every kernel, training frames and iterations, mixed
precision, the compiled network, what has to be asked for (--fused_read, --look_ahead), two processes where there are
two GPUs. On the GPU alone: that the host never waits in a steady frame, and the memory that --max_memory_gb plans with.
Then the speed of QDMN (resnet50, 480x854) with 1 and 5 objects, beside the published way of computing.

Lines appear as they are found; the last thing printed is the table. Exit code 1 where something differs.
"""

import argparse
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

import torch

from evaluation.arguments import SHIPPED
from scripts.bench.device_checks import CHECKS, Finding, LeftOut
from scripts.bench.measuring import disagreement
from scripts.bench.speed import ALL_ON, measure_table, settings
from util.device import DEVICE_LOST, allow_tf32, choose_device
from util.errors import run
from util.files import write_text
from util.numbers import above_zero, pixels, positive

SPEED = "speed"
ROWS = ("plain", ALL_ON, "tf32", "bf16", "window", "bf16 and window", "fused read", "encoded ahead")


def checked(name: str, device: torch.device) -> Iterator[str]:
    """The rows of a check, as Markdown; those with a fault say so in capitals."""
    try:
        for finding in CHECKS[name](device):
            yield row_of(name, finding)
    except LeftOut as reason:
        yield f"| {name} | | left out: {reason} |"
    except DEVICE_LOST:
        raise
    except Exception as error:  # whatever else goes wrong with a device is what is looked for
        yield row_of(name, Finding("", "", f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"))


def row_of(name: str, finding: Finding) -> str:
    """A row of the table."""
    what, detail, fault = finding
    return f"| {name} | {what} | {detail}{f' **WRONG: {fault}**' if fault else ''} |"


def speeds(args: argparse.Namespace, device: torch.device, objects: int) -> Iterator[str]:
    """Frames in a second for each way of computing."""
    every = {setting.name: setting for setting in settings(args.arch, device)}
    chosen = [every[ALL_ON], *(every[name] for name in ROWS if name in every and name != ALL_ON)]
    table = measure_table(args, objects, chosen)
    best = table.rows[ALL_ON]
    for name in (name for name in ROWS if name in table.rows):
        row = table.rows[name]
        apart = disagreement(row.observed.ids, best.observed.ids)
        rate = 1 / (best.seconds * row.ratio)
        yield f"| {objects} | {name} | {rate:.2f} | {row.observed.peak_mb:.0f} | {apart:.2%} |"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, mps or cpu (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=(*CHECKS, SPEED), default=(*CHECKS, SPEED), metavar="CHECK")
    parser.add_argument("--minutes", type=above_zero, default=10.0, help="nothing begins behind them (%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="also write the table here")
    parser.add_argument("--objects", type=positive, nargs="+", default=[1, 5], help="of the speeds")
    parser.add_argument("--size", type=pixels, nargs=2, default=[480, 854], metavar=("H", "W"), help="of the speeds")
    parser.add_argument("--backbone", default="resnet50", help="of the speeds (%(default)s)")
    parser.add_argument("--repeats", type=positive, default=3, help="of the speeds, in turns (%(default)s)")
    return parser.parse_args()


def main() -> None:
    """Check, measure, print the table.

    Raises:
        InputError: there is no such device.
    """
    args = parse_arguments()
    device = choose_device(args.device)
    end = time.monotonic() + 60 * args.minutes
    allow_tf32(False)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"{device} ({name}), torch {torch.__version__}", flush=True)
    lines = [f"{device.type} ({name}), torch {torch.__version__}", "", "| check | of | result |", "|---|---|---|"]
    for check in (name for name in CHECKS if name in args.only):
        late = time.monotonic() > end
        rows = [f"| {check} | | left out: the {args.minutes:g} minutes are over |"] if late else checked(check, device)
        for line in rows:
            print(line, flush=True)
            lines.append(line)
    if SPEED in args.only:
        args = argparse.Namespace(
            **{**vars(args), "arch": "qdmn", "model": SHIPPED, "memory_frames": 20, "warmup": 1, "compared_frames": 6}
        )
        lines += [
            "",
            "| objects | QDMN | frames per second | peak MB | object pixels unlike all on |",
            "|---|---|---|---|---|",
        ]
        for objects in args.objects:
            late = time.monotonic() > end
            rows = [f"| {objects} | left out: no time | | | |"] if late else speeds(args, device, objects)
            for line in rows:
                print(line, flush=True)
                lines.append(line)
    print("\n" + "\n".join(lines))
    if args.output is not None:
        write_text(args.output, "\n".join(lines) + "\n")
    wrong = sum("**WRONG" in line for line in lines)
    if wrong:
        print(f"\n{wrong} results are wrong")
        raise SystemExit(1)


if __name__ == "__main__":
    run(main)
