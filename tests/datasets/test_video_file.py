"""Reading of video files."""

import logging
import wave
from fractions import Fraction
from itertools import accumulate

import av
import numpy as np
import pytest

from datasets.test.video_file import Layout, VideoFile
from tests.helpers.grey_videos import COUNT, grey, positions, write_video
from util.errors import InputError

OPEN_GOP = {"bf": "3", "g": "12", "x264-params": "b-adapt=0:scenecut=0:open-gop=1"}
FINE = {"bf": "2", "g": "12", "qmin": "1", "qmax": "1", "b": "5000000"}
UNEVEN = list(accumulate([20] + [33, 34, 90, 10, 41] * COUNT))[:COUNT]
PORTRAIT = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a quarter turn clockwise, as phones write it
UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def matrix(numbers):
    return b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("long_gop.mp4", {}),
        ("long_gop.mkv", {}),
        ("open_gop.mp4", {"options": OPEN_GOP}),
        ("open_gop.ts", {"options": OPEN_GOP}),
        ("late.mkv", {"times": range(125, 125 + COUNT)}),
        ("late.mp4", {"times": range(125, 125 + COUNT)}),
        ("uneven.mp4", {"times": UNEVEN, "tick": 1}),
        ("uneven.mkv", {"times": UNEVEN, "tick": 1}),
        ("old.avi", {"codec": "mpeg4", "options": FINE}),
        ("disc.mpg", {"codec": "mpeg2video", "options": FINE, "format": "mpeg"}),
        ("no_times.h264", {"format": "h264"}),
    ],
)
def test_a_frame_is_the_same_from_wherever_it_is_read(tmp_path, name, kind):
    video = VideoFile(write_video(tmp_path / name, **kind))
    frames = list(video.items())
    assert len(video) == COUNT
    assert positions(frames) == list(range(COUNT))
    for start in range(0, COUNT, 3):
        for frame, expected in zip(video.items(start, min(start + 2, COUNT)), frames[start:], strict=False):
            assert np.array_equal(frame, expected)
    backward = list(video.items(reverse=True))
    assert len(backward) == COUNT
    assert all(np.array_equal(a, b) for a, b in zip(backward, reversed(frames), strict=True))
    assert positions(video.items(7, 30, reverse=True)) == list(range(29, 6, -1))


def test_frames_are_contiguous_pictures_of_the_stated_size(tmp_path):
    video = VideoFile(write_video(tmp_path / "clip.mp4", size=(24, 38)))
    frame = next(video.items())
    assert video.size == (24, 38) and frame.shape == (24, 38, 3)
    assert frame.dtype == np.uint8 and frame.flags.c_contiguous and frame.flags.writeable
    assert video.rate == 25 and video.origin == tmp_path / "clip.mp4" and video.load(frame) is frame


def test_frames_are_named_by_their_position(tmp_path):
    names = VideoFile(write_video(tmp_path / "clip.mkv", times=range(12))).names
    assert (names[0], names[11], names[-1], len(names)) == ("00000", "00011", "00011", 12)
    assert names[9:20] == ["00009", "00010", "00011"]
    with pytest.raises(IndexError):
        names[12]


def test_reading_in_reverse_holds_sixteen_pictures_at_most(tmp_path, monkeypatch):
    made = []
    picture = Layout.picture
    monkeypatch.setattr(Layout, "picture", lambda *args: made.append(1) or picture(*args))
    frames = VideoFile(write_video(tmp_path / "clip.mp4")).items(reverse=True)
    next(frames)
    assert len(made) == 16


def test_an_empty_range_yields_nothing_and_a_wrong_one_is_refused(tmp_path):
    video = VideoFile(write_video(tmp_path / "clip.mp4", times=range(3)))
    assert list(video.items(3)) == list(video.items(1, 1, reverse=True)) == []
    for start, stop in ((-1, 2), (2, 1), (0, 4)):
        with pytest.raises(ValueError, match="within the 3 frames"):
            video.items(start, stop)


def test_frames_cut_off_by_an_edit_list_are_not_counted(tmp_path):
    video = VideoFile(write_video(tmp_path / "edited.mp4", times=range(-10, COUNT - 10)))
    assert len(video) == COUNT - 10
    assert positions(video.items()) == list(range(10, COUNT))


def test_a_recording_that_begins_amid_a_group_of_pictures_starts_at_its_first_whole_frame(tmp_path):
    content = write_video(tmp_path / "whole.ts", options=OPEN_GOP).read_bytes()
    path = tmp_path / "joined_late.ts"
    path.write_bytes(content[188 * 30 :])
    video = VideoFile(path)
    found = positions(video.items())
    assert 10 < len(video) < COUNT
    assert found == list(range(COUNT - len(video), COUNT))


def test_portrait_recordings_are_turned_upright(tmp_path):
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = 24, 32, "yuv420p"
        stored = np.zeros((24, 32, 3), np.uint8)
        stored[:, :8] = 255  # the left edge as stored is the top as shown
        output.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        output.mux(stream.encode())
    content = path.read_bytes()
    header = content.index(b"tkhd")
    at = content.index(matrix(UPRIGHT), header)
    path.write_bytes(content[:at] + matrix(PORTRAIT) + content[at + 36 :])
    video = VideoFile(path)
    frame = next(video.items())
    assert video.size == (32, 24) and frame.shape == (32, 24, 3) and frame.flags.c_contiguous
    assert frame[:6].min() > 200 and frame[10:].max() < 50


def test_full_range_colours_keep_their_brightness(tmp_path):
    video = VideoFile(write_video(tmp_path / "clip.avi", codec="mjpeg", options={"q": "2"}, pixels="yuvj420p"))
    assert np.abs(np.array([frame.mean() for frame in video.items()]) - [grey(i) for i in range(COUNT)]).max() < 2


def test_frames_of_another_size_are_fitted_to_the_first(tmp_path):
    path = write_video(tmp_path / "large.h264", format="h264", times=range(3))
    small = write_video(tmp_path / "small.h264", format="h264", times=range(3), size=(16, 16))
    path.write_bytes(path.read_bytes() + small.read_bytes())
    frames = list(VideoFile(path).items())
    assert [frame.shape for frame in frames] == [(24, 32, 3)] * 6


@pytest.mark.parametrize("portion", [0.5, 0.7, 0.9])
def test_a_cut_file_yields_its_whole_frames_and_then_names_the_first_missing_one(tmp_path, portion):
    path = write_video(tmp_path / "cut.mp4", options=OPEN_GOP, container_options={"movflags": "faststart"})
    content = path.read_bytes()
    start = content.index(b"mdat")
    path.write_bytes(content[: start + round(portion * (len(content) - start))])
    assert_cut(VideoFile(path))


def test_a_cut_fragment_yields_its_whole_frames_and_then_names_the_first_missing_one(tmp_path):
    options = {"movflags": "frag_keyframe+empty_moov"}
    path = write_video(tmp_path / "cut.mp4", options=OPEN_GOP, container_options=options)
    content = path.read_bytes()
    second = content.index(b"mdat", content.index(b"mdat") + 4)
    path.write_bytes(content[: second + 50])
    assert_cut(VideoFile(path))


def assert_cut(video):
    frames = []
    with pytest.raises(InputError) as caught:
        for frame in video.items():
            frames.append(frame)
    assert 0 < len(frames) < len(video) <= COUNT
    assert positions(frames) == list(range(len(frames)))
    assert caught.match(f"frame {len(frames)} of {video.origin} cannot be decoded")


@pytest.mark.parametrize("place", [5, 40])
def test_a_damaged_frame_is_named(tmp_path, place):
    path = write_video(tmp_path / "clip.avi", codec="mjpeg", options={"q": "2"}, pixels="yuvj420p")
    content = bytearray(path.read_bytes())
    starts = [at for at in range(content.index(b"movi"), len(content)) if content[at : at + 4] == b"00dc"]
    content[starts[place] + 8 : starts[place + 1]] = bytes(starts[place + 1] - starts[place] - 8)
    path.write_bytes(content)
    video = VideoFile(path)
    assert positions(video.items(0, place)) == list(range(place))
    assert positions(video.items(place + 1)) == list(range(place + 1, COUNT))
    with pytest.raises(InputError, match=f"frame {place} of {path} cannot be decoded"):
        list(video.items(place - 3))


def test_files_that_are_no_videos_are_refused(tmp_path):
    text, broken, sound = tmp_path / "notes.txt", tmp_path / "clip.mp4", tmp_path / "sound.wav"
    text.write_text("frames\n" * 50)
    broken.write_text("frames\n" * 50)
    with wave.open(str(sound), "wb") as output:
        output.setparams((1, 2, 8000, 0, "NONE", ""))
        output.writeframes(bytes(8000))
    for path, complaint in (
        (tmp_path / "missing.mp4", "does not exist"),
        (tmp_path, "is not a file"),
        (broken, "cannot be read as a video"),
        (text, "cannot be read as a video|holds no video stream"),
        (sound, "holds no video stream"),
    ):
        with pytest.raises(InputError, match=complaint) as caught:
            VideoFile(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_frames_is_refused(tmp_path):
    path = write_video(tmp_path / "clip.mkv")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75")])  # all before the first cluster
    with pytest.raises(InputError, match=f"{path} (holds no frame|cannot be read)"):
        VideoFile(path)


def test_a_name_may_hold_a_colon(tmp_path):
    assert len(VideoFile(write_video(tmp_path / "clip.mkv", times=range(3)).rename(tmp_path / "take:2.mkv"))) == 3


def write_noise(path, times=None, count=8, codec="libx264"):
    """Frames of noise; shown at these times, in milliseconds, or 25 a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(len(times or range(count))):
            noise = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(noise)
            if times is not None:
                frame.time_base, frame.pts = Fraction(1, 1000), times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_uneven_times_are_known_and_even_ones_are_not_told(tmp_path):
    times = [0, 40, 80, 500, 900, 1700]
    video = VideoFile(write_noise(tmp_path / "a.mkv", times))
    assert [round(1000 * time) for time in video.times] == times
    assert VideoFile(write_noise(tmp_path / "b.mkv")).times is None


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")])
def test_a_video_that_is_cut_off_is_refused(tmp_path, name, codec):
    path = write_noise(tmp_path / name, count=30, codec=codec)
    assert len(VideoFile(path)) == 30
    content = path.read_bytes()
    for share in (0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match="is cut off"):
            VideoFile(path)


def test_a_transport_stream_that_ends_within_a_packet_is_told(tmp_path, caplog):
    path = write_noise(tmp_path / "a.ts", count=30)
    VideoFile(path)
    assert not caplog.records
    path.write_bytes(path.read_bytes()[:-1000])
    with caplog.at_level(logging.WARNING):
        VideoFile(path)
    assert "may be cut off" in caplog.text
