"""Time per frame and peak memory over the length of a video, drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.report.plots import figure, object_colour

Curve = Sequence[tuple[float, float]]


def draw_stream(path: Path, times: Mapping[str, Curve], peaks: Mapping[str, Curve]) -> None:
    """Write the picture.

    Args:
        path: of the PNG.
        times: (frame, milliseconds) for each video.
        peaks: (frames of the video, MB) for each number of objects; a name of both is one colour.
    """
    names = list(dict.fromkeys((*times, *peaks)))
    panels = (("milliseconds per frame", "frame", times), ("peak memory, MB", "frames of the video", peaks))
    with figure(path, 980, 380) as drawn:
        for axes, (title, unit, curves) in zip(drawn.subplots(1, 2), panels, strict=True):
            for name, curve in curves.items():
                axes.plot(*zip(*curve, strict=True), color=object_colour(1 + names.index(name)), label=name)
            axes.set(title=title, xlabel=unit, xlim=0, ylim=0)
            axes.set_ylim(0, 1.2 * axes.dataLim.ymax)
        shown = {
            label: handle
            for axes in drawn.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        drawn.legend(shown.values(), shown, loc="outside upper left", ncols=4)
