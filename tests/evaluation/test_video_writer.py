"""Writing of H.264 and GIF videos."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from datasets.test.video_file import VideoFile
from evaluation import video_writer
from evaluation.video_writer import VideoWriter
from tests.helpers.result_files import shown
from util.errors import InputError


def picture(number, height=48, width=64):
    """A smooth colour picture with a bright square whose place depends on `number`."""
    rows, columns = np.mgrid[:height, :width]
    rgb = np.stack([rows * 200 // height, columns * 200 // width, np.full_like(rows, 60)], -1).astype(np.uint8)
    rgb[8:24, 2 * number : 2 * number + 16] = 230, 40, 40
    return rgb


def write(path, frames, rate=Fraction(25), **options):
    with VideoWriter(path, rate, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def difference(a, b):
    return np.abs(a.astype(int) - b.astype(int)).mean()


@pytest.mark.parametrize(("name", "tolerance"), [("clip.mp4", 4), ("clip.gif", 4), ("CLIP.MP4", 4)])
def test_what_is_written_is_read_back(tmp_path, name, tolerance):
    frames = [picture(number) for number in range(20)]
    video = VideoFile(write(tmp_path / name, frames))
    assert len(video) == 20 and video.size == (48, 64) and video.rate == 25
    assert max(difference(a, b) for a, b in zip(video.items(), frames, strict=True)) < tolerance
    assert [path.name for path in shown(tmp_path)] == [name]


def test_mp4_is_h264_that_every_player_shows_in_the_right_colours(tmp_path):
    with av.open(str(write(tmp_path / "clip.mp4", [picture(0)]))) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(video=0))
    assert stream.codec_context.name == "h264" and frame.format.name == "yuv420p"
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)


def test_odd_sizes_are_padded_with_their_last_row_and_column(tmp_path):
    frame = picture(0, 47, 61)
    video = VideoFile(write(tmp_path / "clip.mp4", [frame]))
    assert video.size == (48, 62)
    assert difference(next(video.items()), np.pad(frame, ((0, 1), (0, 1), (0, 0)), mode="edge")) < 4


def test_mpeg4_replaces_a_missing_x264(tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer.av, "codecs_available", av.codecs_available - {"libx264"})
    frames = [picture(number) for number in range(5)]
    path = write(tmp_path / "clip.mp4", frames, Fraction(30000, 1001))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert max(difference(a, b) for a, b in zip(VideoFile(path).items(), frames, strict=True)) < 5


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(12), Fraction(1, 2), Fraction(120)])
def test_mp4_keeps_the_rate(tmp_path, rate):
    assert VideoFile(write(tmp_path / "clip.mp4", [picture(i) for i in range(6)], rate)).rate == rate


def test_a_rate_of_unwieldy_digits_is_kept_nearly(tmp_path):
    rate = Fraction(1234567, 41153)
    found = VideoFile(write(tmp_path / "clip.mp4", [picture(i) for i in range(6)], rate)).rate
    assert float(found) == pytest.approx(float(rate), rel=1e-4)


def test_gif_loops_for_ever_at_its_rate_up_to_the_last_frame(tmp_path):
    with Image.open(write(tmp_path / "clip.gif", [picture(i) for i in range(6)], Fraction(30))) as gif:
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert gif.info["loop"] == 0
    assert sum(durations) == 200 and set(durations) <= {30, 40}


def test_gif_rate_is_clamped(tmp_path):
    assert VideoFile(write(tmp_path / "clip.gif", [picture(i) for i in range(10)], Fraction(120))).rate == 50


def test_gif_is_480_pixels_wide_unless_told_otherwise(tmp_path):
    frame = picture(0, 100, 600)
    assert VideoFile(write(tmp_path / "a.gif", [frame])).size == (80, 480)
    assert VideoFile(write(tmp_path / "b.gif", [frame], max_width=600)).size == (100, 600)


def test_only_wider_frames_are_shrunk(tmp_path):
    assert VideoFile(write(tmp_path / "a.mp4", [picture(0)], max_width=32)).size == (24, 32)
    assert VideoFile(write(tmp_path / "b.mp4", [picture(0)], max_width=100)).size == (48, 64)


def test_gif_frames_have_palettes_of_their_own(tmp_path):
    frames = [np.full((24, 32, 3), colour, np.uint8) for colour in ((200, 10, 10), (10, 200, 10), (10, 10, 200))]
    video = VideoFile(write(tmp_path / "clip.gif", frames))
    assert max(difference(a, b) for a, b in zip(video.items(), frames, strict=True)) == 0


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_failure_leaves_the_old_file(tmp_path, name):
    write(tmp_path / name, [picture(0)] * 2)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / name, Fraction(25)) as writer:
        writer.write(picture(0))
        raise RuntimeError
    assert [path.name for path in shown(tmp_path)] == [name]
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_a_file_of_the_user_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(InputError, match="not known as written by this project"):
        write(tmp_path / name, [picture(0)])
    assert (tmp_path / name).read_bytes() == b"old"


def test_nothing_is_left_when_there_was_no_frame(tmp_path):
    write(tmp_path / "clip.mp4", [])
    assert not shown(tmp_path)


def test_other_suffixes_and_frames_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must end in .mp4 or .gif"):
        VideoWriter(tmp_path / "clip.avi", Fraction(25))
    for wrong in (picture(0)[..., 0], picture(0).astype(float)):
        with pytest.raises(ValueError, match=r"a frame must be"):
            write(tmp_path / "clip.mp4", [wrong])
    with pytest.raises(ValueError, match=r"frame 1 of .* is \(40, 64\)"):
        write(tmp_path / "clip.mp4", [picture(0), picture(0, 40)])
    assert not shown(tmp_path)


def test_a_missing_folder_is_an_operating_system_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        write(tmp_path / "nowhere/clip.mp4", [picture(0)])


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_written_video_shows_frames_at_their_times(tmp_path, suffix):
    times = [Fraction(t, 100) for t in (0, 4, 8, 50, 90, 170)]
    with VideoWriter(tmp_path / f"a.{suffix}", Fraction(24), steady=False) as writer:
        for number, time in enumerate(times):
            writer.write(picture(number), time)
    with av.open(str(tmp_path / f"a.{suffix}")) as container:
        (stream,) = container.streams.video
        found = sorted(float(packet.pts * stream.time_base) for packet in container.demux(stream) if packet.size)
        assert container.duration / 1e6 >= 1.7
    np.testing.assert_allclose(found, [float(time) for time in times], atol=0.011)
