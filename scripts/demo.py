"""The main job from end to end on made data: train a small network, segment held-out videos, score them.

    python scripts/demo.py

Everything is written to the folder demo/. Each step is a command of this project and is printed before it runs.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from util.baseline import copy_first_masks  # noqa: E402
from util.errors import InputError, run  # noqa: E402
from util.files import make_output_folder  # noqa: E402
from util.images import list_images  # noqa: E402
from util.scoring import score_results  # noqa: E402


def call(folder: Path, *command: str) -> None:
    """Run a script of this project inside the demo folder."""
    print(f"\n$ python {shlex.join(command)}", flush=True)
    finished = subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, check=False)
    if finished.returncode:
        raise InputError(f"the demo stopped: {command[0]} ended with code {finished.returncode}; see its message above")


def make_data(folder: Path) -> None:
    """Training and held-out videos in DAVIS layout."""
    size = ("--size", "192", "320", "--objects", "1", "2")
    call(
        folder,
        *("scripts/make_synthetic.py", "--output", "data/DAVIS", "--layout", "davis", "--overwrite"),
        *("--videos", "48", "--val", "2", "--frames", "24", *size),
    )


def train(folder: Path, iterations: int) -> Path:
    """Train from nothing; returns the checkpoint."""
    call(
        folder,
        *("train.py", "--id", "demo", "--stage", "2", "--davis_root", "data/DAVIS", "--yv_root", "none"),
        *("--backbone", "resnet18", "--no_pretrained_backbone", "--image_size", "128", "--lr", "5e-4"),
        *("--steps", str(iterations * 3 // 4), "-b", "4", "-i", str(iterations), "--num_workers", "1"),
        *("--log_interval", "50", "--picture_interval", "100"),
    )
    checkpoints = sorted((folder / "saves").glob("*_demo/*_demo_*[0-9].pth"), key=lambda path: path.stat().st_mtime)
    return checkpoints[-1].relative_to(folder)


def main() -> None:
    """Make data, train, segment, score, and say where to look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything (%(default)s)")
    parser.add_argument("--iterations", type=int, default=600, help="length of the training (%(default)s)")
    args = parser.parse_args()
    folder = make_output_folder(args.output).resolve()
    make_data(folder)
    checkpoint = train(folder, args.iterations)
    call(
        folder,
        *("eval_davis.py", "--model", str(checkpoint), "--davis", "data/DAVIS/2017", "--output", "results"),
        *("--score", "--contact_sheet", "--quality_csv", "--overwrite"),
    )
    tree = folder / "data/DAVIS/2017/trainval"
    names = (tree / "ImageSets/2017/val.txt").read_text().split()
    annotations = tree / "Annotations/480p"
    copy_first_masks(annotations, folder / "baseline", names)
    ours = score_results(folder / "results", annotations, names).jf_mean
    copied = score_results(folder / "baseline", annotations, names).jf_mean
    sheets = list_images(folder / "results-sheets")
    print(f"\nJ&F {100 * ours:.1f}; first mask copied to every frame: {100 * copied:.1f}")
    print(f"masks: {folder / 'results'}\npictures: {', '.join(map(str, sheets))}")
    print(f"curves: {sys.executable} -m tensorboard.main --logdir {folder / 'log'}")


if __name__ == "__main__":
    run(main)
