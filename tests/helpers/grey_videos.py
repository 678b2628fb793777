"""Video files whose frames tell their positions."""

from fractions import Fraction

import av
import numpy as np

COUNT = 50
B_FRAMES = {"bf": "3", "g": "30", "x264-params": "b-adapt=0:scenecut=0"}


def write_video(
    path, *, codec="libx264", options=None, times=range(COUNT), tick=40, size=(24, 32), pixels="yuv420p", **container
):
    """A video of grey frames that grow brighter; `times` are in ticks of so many milliseconds."""
    with av.open(str(path), "w", **container) as output:
        stream = output.add_stream(codec, rate=25, options=options or B_FRAMES)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(tick, 1000)
        for number, moment in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((*size, 3), grey(number), np.uint8), format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(tick, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def grey(number):
    return 20 + 4 * number


def positions(frames):
    """The positions that the brightness of frames tells."""
    return [round((frame.mean() - 20) / 4) for frame in frames]
