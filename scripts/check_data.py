"""Looks over the training data before a run of days.

    python scripts/check_data.py --static_root data/static --davis_root data/DAVIS --yv_root data/YouTube \\
        --bl_root data/BL30K

Finds and reads the samples as train.py does and prints one row per set, then the first files with something wrong.
The exit code is 0 if training can run on the roots that are there, 1 after the table if there are errors (unreadable
files, masks that do not fit their frames, colour masks, ids above 255, smoothed edges, no object in any mask, frames of
different sizes in one video, a set without samples), and 2 if the command cannot be carried out. Everything else is a
warning.
"""

import argparse
import csv
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.train.inspection import Fault, Kind, SetPlan, Tally, plan_static, plan_videos, show_size
from datasets.train.sets import TRAINING_SETS, TrainingSet
from datasets.video_list import read_given_list
from training.arguments import parse_arguments as training_arguments
from util.errors import InputError, run
from util.files import atomic_path, make_output_folder
from util.numbers import workers
from util.progress import Progress

SHOWN_FAULTS = 20
COUNTED = {
    "no|mask": (Kind.NO_MASK,),
    "no|frame": (Kind.NO_FRAME,),
    "un-|readable": (Kind.UNREADABLE,),
    "size|mismatch": (Kind.MISMATCH,),
    "off by|1-2 px": (Kind.NEAR_MISMATCH,),
    "mixed|sizes": (Kind.MIXED_SIZES,),
    "too|short": (Kind.TOO_SHORT,),
    "no|object": (Kind.EMPTY, Kind.NO_OBJECT),
    "colour, id|> 255, smooth": (Kind.COLOUR, Kind.WIDE_ID, Kind.SMOOTH),
}
NEEDS_PIXELS = ("no|object",)
HEADER = ("set", "samples", "frames", "masks", *COUNTED, "ids", "most|objects", "frame sizes")

SetResult = tuple[SetPlan, Tally]


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = training_arguments([])
    for entry in TRAINING_SETS:
        text = f"of {entry.name}, as for train.py; 'none' leaves it out (default {entry.root})"
        parser.add_argument(f"--{entry.option}", type=Path, default=entry.root, help=text)
    parser.add_argument("--davis_list", type=Path, help="file with the names of the DAVIS train videos; all by default")
    parser.add_argument("--yv_list", type=Path, help="file with the names of the YouTube videos; all by default")
    parser.add_argument("--workers", type=workers, default=os.cpu_count() or 1, help="threads (default: all cores)")
    parser.add_argument("--fast", action="store_true", help="read only headers: sizes and kinds, no ids")
    parser.add_argument("--list", type=Path, metavar="FILE", help="write everything that is wrong to this CSV file")
    args = parser.parse_args()
    args.clip_length = defaults.clip_length
    return args


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse at once what would fail after hours.

    Raises:
        InputError: a number or path cannot be used, or no root exists.
    """
    for name in ("davis_list", "yv_list"):
        if path := getattr(args, name):
            read_given_list(path, name)
    roots = [getattr(args, entry.option) for entry in TRAINING_SETS]
    options = [f"--{entry.option}" for entry in TRAINING_SETS]
    if not any(root.is_dir() for root in roots):
        raise InputError(
            f"none of the roots {', '.join(map(str, roots))} exists; pass those that you have by "
            f"{', '.join(options[:-1])} or {options[-1]}"
        )
    if args.list:
        make_output_folder(args.list.parent)
        if args.list.is_dir():
            raise InputError(f"--list {args.list} is a folder; name a file in it")


def plan_set(entry: TrainingSet, root: Path, args: argparse.Namespace) -> list[SetPlan]:
    """The sets below a root; one without jobs where training would find none."""
    try:
        if entry.clips is None:
            return plan_static(root, fast=args.fast)
        path = getattr(args, entry.list_option) if entry.list_option else None
        find = (
            entry.clips.open
            if path is None
            else partial(entry.clips.open, subset=set(read_given_list(path, entry.list_option)))
        )
        all_videos = path is None and not entry.clips.lists_videos
        return [plan_videos(entry.name, find, root, args.clip_length, all_videos=all_videos, fast=args.fast)]
    except InputError as error:
        unit = "pictures" if entry.clips is None else "videos"
        return [SetPlan(entry.name, unit, (), Fault(Kind.NO_SAMPLES, root, f"gives no sample: {error}"))]


def inspect(plans: Sequence[SetPlan], workers: int) -> list[SetResult]:
    """Carry out all jobs, with a progress bar."""
    results = []
    with Progress(sum(len(plan.jobs) for plan in plans)) as progress, ThreadPoolExecutor(workers) as pool:
        try:
            for plan in plans:
                total = Tally()
                for tally in pool.map(lambda job: job(), plan.jobs):
                    total.add(tally)
                    progress.advance(plan.name)
                if not total.usable:
                    total.faults.append(plan.without_samples)
                progress.part_done(f"{plan.name}: {total.samples} {plan.unit} looked at")
                results.append((plan, total))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def format_row(plan: SetPlan, tally: Tally, fast: bool) -> tuple[str, ...]:
    """A set's row of the table; what `fast` leaves unknown is a dash."""
    counts = ("-" if fast and name in NEEDS_PIXELS else str(tally.count(*kinds)) for name, kinds in COUNTED.items())
    sizes = sorted(tally.sizes, key=lambda size: (size[0] * size[1], size))
    return (
        plan.name,
        f"{tally.samples} {plan.unit}",
        str(tally.frames),
        str(tally.masks),
        *counts,
        _span([str(number) for number in sorted(tally.ids)]),
        str(tally.most_objects) if tally.ids else "-",
        _span([show_size(size) for size in sizes]),
    )


def format_table(results: Sequence[SetResult], missing: Sequence[tuple[str, Path]], fast: bool) -> str:
    """One row per set, headed by two lines, and one per missing root."""
    titles = [name.rpartition("|") for name in HEADER]
    rows = [tuple(upper for upper, _, _ in titles), tuple(lower for _, _, lower in titles)]
    rows += [format_row(plan, tally, fast) for plan, tally in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    absent = [f"{name.ljust(widths[0])}  missing: {root} does not exist" for name, root in missing]
    return "\n".join([*lines[:2], "-" * len(lines[0]), *lines[2:], *absent])


def first_faults(faults: Sequence[Fault], limit: int) -> list[Fault]:
    """At most `limit` of the faults, as many of each kind as of the others, errors first."""
    by_kind = [[fault for fault in faults if fault.kind is kind] for kind in Kind]
    turns = sorted((turn, number) for number, group in enumerate(by_kind) for turn in range(len(group)))
    return [by_kind[number][turn] for turn, number in sorted(turns[:limit], key=lambda place: place[::-1])]


def format_faults(faults: Sequence[Fault]) -> str:
    """The first faults, a line each, and how many there are of either severity."""
    shown = first_faults(faults, SHOWN_FAULTS)
    lines = [f"{_severity(item)}: {item.kind.value}: {item.path} {item.problem}" for item in shown]
    if len(shown) < len(faults):
        lines.append(f"... and {len(faults) - len(shown)} more, all of which --list FILE writes")
    errors = sum(fault.kind.is_error for fault in faults)
    verdict = "errors have to be repaired before training" if errors else "training can run"
    return "\n".join([*lines, f"{errors} errors, {len(faults) - errors} warnings: {verdict}"])


def write_list(path: Path, results: Sequence[SetResult]) -> None:
    """Write all faults as CSV."""
    rows = [
        (plan.name, _severity(fault), fault.kind.value, fault.path, fault.problem)
        for plan, tally in results
        for fault in tally.faults
    ]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("set", "severity", "kind", "path", "problem"), *rows])


def _severity(fault: Fault) -> str:
    return "error" if fault.kind.is_error else "warning"


def _span(ascending: Sequence[str]) -> str:
    if not ascending:
        return "-"
    return ascending[0] if ascending[0] == ascending[-1] else f"{ascending[0]}..{ascending[-1]}"


def main() -> None:
    """Find, read, report."""
    args = parse_arguments()
    check_arguments(args)
    roots = [(entry, root) for entry in TRAINING_SETS if str(root := getattr(args, entry.option)) != "none"]
    missing = [(entry.name, root) for entry, root in roots if not root.is_dir()]
    plans = [plan for entry, root in roots if root.is_dir() for plan in plan_set(entry, root, args)]
    results = inspect(plans, args.workers)
    faults = [fault for _, tally in results for fault in tally.faults]
    print(format_table(results, missing, args.fast))
    if args.fast:
        print("--fast: only headers were read; damage behind them, ids and empty masks were not looked for")
    print(format_faults(faults))
    if args.list:
        write_list(args.list, results)
        print(f"saved {args.list}")
    if any(fault.kind.is_error for fault in faults):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
