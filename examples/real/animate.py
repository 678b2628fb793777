"""The moving picture of README.md: the overlay of the demo's clip, and below it the predicted quality of the mask.

    python scripts/demo.py
    python examples/real/animate.py --results demo/clip --video libby --output docs/libby.webp

The run must have been made with `--overlay mp4` and `--quality_csv` or `--report`.
"""

import argparse
import csv
from pathlib import Path

import av
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 600
CURVE_HEIGHT = 150
MILLISECONDS = 83  # of each frame: half the speed of the clip
REST = 1500  # of the last frame, in milliseconds
KEPT = ("permanent", "dynamic")  # annotated frames, and those that the quality gate admits


def read_overlay(path: Path) -> list[Image.Image]:
    """The frames of a video file, `WIDTH` pixels wide."""
    with av.open(str(path)) as container:
        pictures = [frame.to_image() for frame in container.decode(video=0)]
    size = (WIDTH, round(WIDTH * pictures[0].height / pictures[0].width))
    return [picture.resize(size, Image.Resampling.LANCZOS) for picture in pictures]


def read_quality(path: Path) -> tuple[list[float], list[int]]:
    """The predicted quality of the first object on each frame, and the frames that entered the memory."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if row["object"] == rows[0]["object"]]
    return [float(row["quality"]) for row in rows], [int(row["frame"]) for row in rows if row["stored"] in KEPT]


def draw_curve(quality: list[float], remembered: list[int], now: int) -> Image.Image:
    """The quality up to a frame, with a dot on each frame that entered the memory."""
    figure = Figure(figsize=(WIDTH / 100, CURVE_HEIGHT / 100), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.plot(quality[: now + 1], color="#b2182b", linewidth=2, label="predicted quality of the mask")
    dots = [frame for frame in remembered if frame <= now]
    axes.plot(dots, [quality[frame] for frame in dots], "o", color="#0072b2", label="frame enters the memory")
    axes.set(xlim=(-0.5, len(quality) - 0.5), ylim=(0, 1), xlabel="frame")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", ncols=2, frameon=False, fontsize="small")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def main() -> None:
    """Parse the command line and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("demo/clip"), help="of eval_generic.py (%(default)s)")
    parser.add_argument("--video", default="libby", help="its name (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/libby.webp"), help="animated WebP (%(default)s)")
    args = parser.parse_args()
    beside = args.results.parent
    overlay = read_overlay(beside / f"{args.results.name}-overlay" / f"{args.video}.mp4")
    quality, remembered = read_quality(beside / f"{args.results.name}-quality" / f"{args.video}.csv")
    pictures = []
    for now, frame in enumerate(overlay):
        picture = Image.new("RGB", (WIDTH, frame.height + CURVE_HEIGHT), "white")
        picture.paste(frame)
        picture.paste(draw_curve(quality, remembered, now), (0, frame.height))
        pictures.append(picture)
    durations = [MILLISECONDS] * (len(pictures) - 1) + [REST]
    pictures[0].save(
        args.output, save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=45, method=6
    )


if __name__ == "__main__":
    main()
