"""The main job from end to end: segment a video from its first mask, score the masks, and say where to look.

    python scripts/demo.py            a real clip, with the network that comes with the project
    python scripts/demo.py --train    made videos, with a network trained from nothing before, in a few minutes

Everything is written to the folder demo/. Each step is a command of this project and is printed before it runs.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import util.startup  # noqa: F401

from evaluation.scoring import copy_first_masks, score_results
from util.errors import InputError, run
from util.files import make_output_folder
from util.images import list_images
from util.numbers import positive

ROOT = Path(__file__).resolve().parents[1]
CLIP = "libby"
REAL = ROOT / "examples/real"


def call(folder: Path, *command: str) -> None:
    """Run a script of this project inside the demo folder."""
    print(f"\n$ python {shlex.join(command)}", flush=True)
    finished = subprocess.run([sys.executable, str(ROOT / command[0]), *command[1:]], cwd=folder, check=False)
    if finished.returncode:
        raise InputError(f"the demo stopped: {command[0]} ended with code {finished.returncode}; see its message above")


def make_videos(folder: Path) -> None:
    """60 training and four held-out videos in DAVIS layout."""
    call(
        folder,
        *("scripts/make_synthetic.py", "--output", "data/DAVIS", "--layout", "davis", "--overwrite"),
        *("--videos", "60", "--val", "4", "--size", "128", "128"),
        *("--frames", "24", "--objects", "1", "--clutter", "0"),
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


def segment_clip(folder: Path) -> None:
    """Segment the real clip from its first mask, and say where the results are."""
    masks = REAL / "masks"
    call(
        folder,
        *("eval_generic.py", "--input", str(REAL / f"{CLIP}.mp4"), "--masks", str(masks / CLIP / "00000.png")),
        *("--truth", str(masks), "--output", "clip", "--score", "--overlay", "mp4", "--report", "--overwrite"),
    )
    compare(folder, folder / "clip", masks, [CLIP])
    print(f"masks: {folder / 'clip' / CLIP}")
    print(f"video with the masks drawn in: {folder / 'clip-overlay' / CLIP}.mp4")
    print(f"page about the run: {folder / 'clip-report.html'}")


def train_and_segment(folder: Path, iterations: list[int]) -> None:
    """Train a network from nothing, segment made videos that it has not seen, and say where the results are."""
    make_videos(folder)
    model = train(folder, iterations)
    call(
        folder,
        *("eval_davis.py", "--model", str(model), "--davis", "data/DAVIS/2017", "--output", "results"),
        *("--score", "--contact_sheet", "--quality_csv", "--overwrite"),
    )
    tree = folder / "data/DAVIS/2017/trainval"
    names = (tree / "ImageSets/2017/val.txt").read_text().split()
    compare(folder, folder / "results", tree / "Annotations/480p", names)
    print(f"masks: {folder / 'results'}\npictures: {', '.join(map(str, list_images(folder / 'results-sheets')))}")
    print(f"curves: {sys.executable} -m tensorboard.main --logdir {folder / 'log'}")


def compare(folder: Path, results: Path, annotations: Path, names: list[str]) -> None:
    """Print the score beside that of copying the first mask."""
    copy_first_masks(annotations, folder / "baseline", names)
    ours = score_results(results, annotations, names).jf_mean
    copied = score_results(folder / "baseline", annotations, names).jf_mean
    print(f"\nJ&F {100 * ours:.1f}; first mask copied to every frame: {100 * copied:.1f}")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"), help="folder for everything (%(default)s)")
    parser.add_argument("--train", action="store_true", help="train a network from nothing on made data")
    parser.add_argument(
        "--iterations", type=positive, nargs=2, default=[300, 300], help="of stages 0 and 2 (%(default)s)", metavar="N"
    )
    args = parser.parse_args()
    folder = make_output_folder(args.output).resolve()
    if args.train:
        train_and_segment(folder, args.iterations)
    else:
        segment_clip(folder)


if __name__ == "__main__":
    run(main)
