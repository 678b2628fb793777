"""Reading of standard input and capture devices."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from datasets.test.live_video import LiveVideo, is_live
from tests.helpers.grey_videos import positions, write_video
from util.errors import InputError


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
        "with LiveVideo('-') as video: print(video.name, video.rate, *(f.shape for f in video))"
    )
    command = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True, cwd=root)
    assert done.stdout.decode().strip() == " ".join(["stdin", "25", *["(24, 32, 3)"] * 5])


def test_live_video_waits_for_a_device_that_is_not_ready(tmp_path, monkeypatch):
    class Hesitant:
        def __init__(self, container):
            self.container, self.is_ready = container, False

        def demux(self, stream):
            if not self.is_ready:
                self.is_ready = True
                raise BlockingIOError
            yield from self.container.demux(stream)

    with write_video(tmp_path / "clip.mkv", times=range(5)).open("rb") as file:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=file))
        video = LiveVideo("-")
        video._container = Hesitant(video._container)
        assert positions(video) == [0, 1, 2, 3, 4]


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
    with LiveVideo(f"lavfi:{source}") as video:
        assert video.name == source and video.rate == 10
        assert [frame.shape for frame in video] == [(24, 32, 3)] * 3
