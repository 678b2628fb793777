"""Reading of standard input and capture devices."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from datasets.test import live_video
from datasets.test.live_video import LiveVideo, is_live
from tests.helpers.grey_videos import positions, write_video
from util.errors import InputError

BLACK = "lavfi:color=c=black:size=32x24:rate=10"


def frames_of(video):
    return video.items(0, len(video.names))


def test_live_sources_are_told_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_live, ("-", "v4l2:/dev/video0", "avfoundation:0", "dshow:video=Camera")))
    assert not any(map(is_live, ("clip.mp4", "videos/take:2.mp4", "C:\\clip.mp4", "", "v4l2:")))
    Path("take:2").touch()
    assert not is_live("take:2")


def test_standard_input_is_read_from_a_pipe(tmp_path):
    path = write_video(tmp_path / "clip.mkv", times=range(5))
    script = (
        "from datasets.test.live_video import LiveVideo\n"
        "video = LiveVideo('-')\n"
        "print(video.origin, video.rate, video.size, *(f.shape for f in video.items(0, len(video.names))))"
    )
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True, cwd=root)
    assert done.stdout.decode().strip() == " ".join(["stdin", "25", "(24, 32)", *["(24, 32, 3)"] * 5])


def test_live_video_waits_for_a_device_that_is_not_ready(tmp_path, monkeypatch):
    class Hesitant:
        def __init__(self, container):
            self.container, self.is_ready = container, False

        def __getattr__(self, name):
            return getattr(self.container, name)

        def demux(self, stream):
            if not self.is_ready:
                self.is_ready = True
                raise BlockingIOError
            yield from self.container.demux(stream)

    open_container = live_video.open_container
    monkeypatch.setattr(live_video, "open_container", lambda *args, **how: Hesitant(open_container(*args, **how)))
    with write_video(tmp_path / "clip.mkv", times=range(5)).open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        video = LiveVideo("-")
        assert video._container.is_ready
        assert positions(frames_of(video)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 50])
def test_standard_input_without_video_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "input").write_bytes(content)
    with (tmp_path / "input").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        with pytest.raises(InputError, match="stdin"):
            LiveVideo("-")


def test_unknown_formats_and_devices_are_refused():
    with pytest.raises(InputError, match="nonsense:0 is neither a file nor a capture device"):
        LiveVideo("nonsense:0")
    with pytest.raises(InputError, match="v4l2:/nowhere/video9"):
        LiveVideo("v4l2:/nowhere/video9")


def test_a_device_yields_frames_under_its_name():
    if "lavfi" not in av.formats_available:
        pytest.skip("this FFmpeg has no virtual device")
    source = "testsrc=duration=0.3:rate=10:size=32x24"
    video = LiveVideo(f"lavfi:{source}")
    assert video.origin == source and video.rate == 10 and video.size == (24, 32)
    assert [frame.shape for frame in frames_of(video)] == [(24, 32, 3)] * 3


def test_live_frames_end_where_they_are_told_to():
    video = LiveVideo(BLACK, max_frames=7)
    assert len(list(video.items(2, len(video.names)))) == 5


def test_an_interruption_ends_live_frames_orderly():
    before = signal.getsignal(signal.SIGINT)
    taken = 0
    for _ in frames_of(LiveVideo(BLACK)):
        taken += 1
        if taken == 3:
            signal.raise_signal(signal.SIGINT)
    assert taken == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_live_frames_cannot_run_backwards():
    with pytest.raises(InputError, match="--direction forward"):
        next(LiveVideo(BLACK).items(0, 3, reverse=True))
