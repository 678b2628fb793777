"""The main job from end to end on made data: segment held-out videos, score them, and say where to look.

    python scripts/demo.py            with the network that comes with the project
    python scripts/demo.py --train    with a network trained from nothing before, in a few minutes

Everything is written to the folder demo/. Each step is a command of this project and is printed before it runs.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from util.baseline import copy_first_masks
from util.errors import InputError, run
from util.eval_arguments import SHIPPED
from util.files import make_output_folder
from util.images import list_images
from util.numbers import positive
from util.scoring import score_results

ROOT = Path(__file__).resolve().parents[1]


def call(folder: Path, *command: str) -> None:
    """Run a script of this project inside the demo folder."""
    print(f"\n$ python {shlex.join(command)}", flush=True)
    finished = subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, check=False)
    if finished.returncode:
        raise InputError(f"the demo stopped: {command[0]} ended with code {finished.returncode}; see its message above")


def make_videos(folder: Path, size: int, videos: int, *options: str) -> None:
    """Training and four held-out videos in DAVIS layout."""
    call(
        folder,
        *("scripts/make_synthetic.py", "--output", "data/DAVIS", "--layout", "davis", "--overwrite"),
        *("--videos", str(videos), "--val", "4", "--size", str(size), str(size), *options),
    )


def train(folder: Path, iterations: list[int]) -> Path:
    """Train a small network from nothing on still pictures, then on videos; returns its weights."""
    call(
        folder,
        *("scripts/make_synthetic.py", "--output", "data/static", "--layout", "static", "--overwrite"),
        *("--videos", "300", "--objects", "1", "--clutter", "0", "--size", "128", "128"),
    )
    stills = train_stage(folder, 0, iterations[0], "--static_root", "data/static", "--lr", "2e-4")
    videos = ("--davis_root", "data/DAVIS", "--yv_root", "none", "--num_objects", "1", "--max_skip", "5")
    return train_stage(folder, 2, iterations[1], *videos, "--lr", "1e-4", "--load_network", str(stills))


def train_stage(folder: Path, stage: int, iterations: int, *options: str) -> Path:
    """Train a stage; returns its weights."""
    name = f"demo-s{stage}"
    call(
        folder,
        *("train.py", "--id", name, "--stage", str(stage), "-i", str(iterations), "-b", "4", "--arch", "qdmn_small"),
        *("--steps", str(iterations * 3 // 4), "--backbone", "resnet18", "--no_pretrained_backbone"),
        *("--image_size", "128", "--num_workers", "1", "--log_interval", "30", "--picture_interval", "90", *options),
    )
    weights = sorted((folder / "saves").glob(f"*_{name}/*_{name}_*[0-9].pth"), key=lambda path: path.stat().st_mtime)
    return weights[-1].relative_to(folder)


def report(folder: Path) -> None:
    """Print the score beside that of copying the first mask, and where the results are."""
    tree = folder / "data/DAVIS/2017/trainval"
    names = (tree / "ImageSets/2017/val.txt").read_text().split()
    annotations = tree / "Annotations/480p"
    copy_first_masks(annotations, folder / "baseline", names)
    ours = score_results(folder / "results", annotations, names).jf_mean
    copied = score_results(folder / "baseline", annotations, names).jf_mean
    sheets = list_images(folder / "results-sheets")
    print(f"\nJ&F {100 * ours:.1f}; first mask copied to every frame: {100 * copied:.1f}")
    print(f"masks: {folder / 'results'}\npictures: {', '.join(map(str, sheets))}")


def main() -> None:
    """Make data, train if wanted, segment, score, and say where to look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything (%(default)s)")
    parser.add_argument("--train", action="store_true", help="train a network from nothing first")
    parser.add_argument(
        "--iterations", type=positive, nargs=2, default=[300, 300], help="of stages 0 and 2 (%(default)s)", metavar="N"
    )
    args = parser.parse_args()
    folder = make_output_folder(args.output).resolve()
    if args.train:
        make_videos(folder, 128, 60, "--frames", "24", "--objects", "1", "--clutter", "0")
        model = train(folder, args.iterations)
    else:
        make_videos(folder, 320, 0, "--frames", "40", "--objects", "1", "3")
        model = SHIPPED
    call(
        folder,
        *("eval_davis.py", "--model", str(model), "--davis", "data/DAVIS/2017", "--output", "results"),
        *("--score", "--contact_sheet", "--quality_csv", "--overwrite"),
    )
    report(folder)
    if args.train:
        print(f"curves: {sys.executable} -m tensorboard.main --logdir {folder / 'log'}")


if __name__ == "__main__":
    run(main)
