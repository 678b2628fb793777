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
    """Still pictures in the layout of stage 0, training and held-out videos in DAVIS layout."""
    make = ("scripts/make_synthetic.py", "--overwrite", "--clutter", "0", "--size", "128", "128")
    call(folder, *make, "--output", "data/static", "--layout", "static", "--videos", "300", "--objects", "1")
    davis = ("--output", "data/DAVIS", "--layout", "davis", "--videos", "60", "--val", "4", "--frames", "24")
    call(folder, *make, *davis, "--objects", "1")


def train(folder: Path, stage: int, iterations: int, *options: str) -> Path:
    """Train a stage; returns its weights."""
    name = f"demo-s{stage}"
    call(
        folder,
        *("train.py", "--id", name, "--stage", str(stage), "-i", str(iterations), "-b", "4"),
        *("--steps", str(iterations * 3 // 4), "--backbone", "resnet18", "--no_pretrained_backbone"),
        *("--image_size", "128", "--num_workers", "1", "--log_interval", "30", "--picture_interval", "90", *options),
    )
    weights = sorted((folder / "saves").glob(f"*_{name}/*_{name}_*[0-9].pth"), key=lambda path: path.stat().st_mtime)
    return weights[-1].relative_to(folder)


def main() -> None:
    """Make data, train, segment, score, and say where to look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything (%(default)s)")
    parser.add_argument(
        "--iterations", type=int, nargs=2, default=[300, 340], help="of stages 0 and 2 (%(default)s)", metavar="N"
    )
    args = parser.parse_args()
    folder = make_output_folder(args.output).resolve()
    make_data(folder)
    stills = train(folder, 0, args.iterations[0], "--static_root", "data/static", "--lr", "2e-4")
    videos = (
        "--davis_root",
        "data/DAVIS",
        "--yv_root",
        "none",
        "--num_objects",
        "1",
        "--max_skip",
        "5",
        "--lr",
        "1e-4",
    )
    checkpoint = train(folder, 2, args.iterations[1], *videos, "--load_network", str(stills))
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
