"""Run a box tracker on a test set by the published command line; eval_boxes.py does it.

    python tracking/test.py ostrack vitb_384_mae_ce_32x4_got10k_ep100 --dataset got10k_test --threads 4 --num_gpus 4

Results are <save_dir>/test/tracking_results/<tracker>/<config>/[got10k/|trackingnet/]<video>.txt and <video>_time.txt;
those that eval_boxes.py writes, by which finished videos are known, lie in <save_dir>/test/boxes/. Options that are not
listed here go to eval_boxes.py.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from datasets.boxes.trees import open_tree
from evaluation.boxes.results import export, read_result
from tracking.paths import Paths, read_paths
from tracking.results import NOT_OFFERED, TEST_SETS, kind_of, layout_of, newest_weights, results_of, root_of
from util.errors import InputError, run
from util.numbers import positive, whole

ROOT = Path(__file__).resolve().parents[1]


def build_parser() -> argparse.ArgumentParser:
    """The published options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("tracker_name", choices=("ostrack",), help="the trackers that there are")
    add("tracker_param", metavar="config", help="names the weights and the folder of the results")
    add("--runid", type=whole(0, 999), help="goes into the name of the folder")
    add("--dataset_name", default="otb", choices=(*TEST_SETS, *NOT_OFFERED), metavar="NAME", help="(%(default)s)")
    add("--sequence", metavar="NAME", help="one video, by its name or its number from 0 (all)")
    add("--debug", type=whole(0, 3), default=0, help="above 0: videos with the boxes drawn in (%(default)s)")
    add("--threads", type=whole(0, 1024), default=0, help="processes; 0 for one (%(default)s)")
    add("--num_gpus", type=positive, default=8, help="that the processes share, at most (%(default)s)")
    add("--model", type=Path, metavar="FILE", help="weights (the newest of the configuration)")
    return parser


def words_for(args: argparse.Namespace, paths: Paths, kind: str, output: Path) -> list[str]:
    """What eval_boxes.py is to be told.

    Raises:
        InputError: there are no weights, or no such video.
    """
    model = args.model or newest_weights(paths, args.tracker_param)
    words = ["--model", model, "--dataset", kind, "--root", root_of(paths, kind), "--output", output]
    if args.sequence is not None:
        words += ["--videos", video_of(args.sequence, open_tree(kind, root_of(paths, kind)).names)]
    if args.debug:
        words += ["--overlay", "mp4"]
    return [*map(str, words)]


def video_of(sequence: str, names: Sequence[str]) -> str:
    """The video that is asked for by its name or its number.

    Raises:
        InputError: there is none.
    """
    if sequence in names or not sequence.isdecimal():
        return sequence
    if int(sequence) >= len(names):
        raise InputError(f"there is no video {sequence}; the numbers go from 0 to {len(names) - 1}")
    return names[int(sequence)]


def launch(words: Sequence[str], processes: int, gpus: int) -> None:
    """Run eval_boxes.py in several processes.

    Raises:
        SystemExit: one of them failed, which it has said.
    """
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(visible.split(",")[:gpus])}
    done = subprocess.run([*launcher, str(ROOT / "eval_boxes.py"), *words], env=environment, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main(argv: Sequence[str] | None = None) -> None:
    """Track, then write the published layout."""
    args, others = build_parser().parse_known_args(argv)
    paths, kind = read_paths(), kind_of(args.dataset_name)
    config = args.tracker_param if args.runid is None else f"{args.tracker_param}_{args.runid:03d}"
    output = paths.save_dir / "test/boxes" / args.tracker_name / config / args.dataset_name
    words = [*words_for(args, paths, kind, output), *others]
    if args.threads > 1:
        launch(words, args.threads, args.num_gpus)
    else:
        import eval_boxes  # takes a while, and a launcher does not need it

        eval_boxes.main(words)
    names = [name for name in open_tree(kind, root_of(paths, kind)).names if (output / name).is_dir()]
    results = {name: read_result(output, name) for name in names}
    export(layout_of(kind), paths.save_dir, results, args.tracker_name, config)
    print(f"{len(names)} videos in {results_of(paths, args.tracker_name, config, kind)}")


if __name__ == "__main__":
    run(main)
