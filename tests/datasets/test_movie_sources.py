"""Video files and live video as sources of frames."""

import signal

import pytest

from datasets.test.movie_sources import FrameFile, LiveFrames, Numbers
from tests.helpers.grey_videos import write_video
from util.errors import InputError

LIVE = "lavfi:color=c=black:size=32x24:rate=10"


def test_frames_are_named_by_their_position():
    names = Numbers(12)
    assert (names[0], names[11], names[-1], len(names)) == ("00000", "00011", "00011", 12)
    assert names[9:20] == ["00009", "00010", "00011"]
    with pytest.raises(IndexError):
        names[12]


def test_a_file_tells_its_frames_size_and_rate(tmp_path):
    source = FrameFile(write_video(tmp_path / "clip.mkv", times=range(5)))
    assert (len(source.names), source.size, source.rate) == (5, (24, 32), 25)
    assert [source.load(item).shape for item in source.items(1, 4)] == [(24, 32, 3)] * 3


def test_live_frames_end_where_they_are_told_to():
    source = LiveFrames(LIVE, max_frames=7)
    assert (source.size, source.rate) == ((24, 32), 10)
    assert len(list(source.items(2, len(source.names)))) == 5


def test_an_interruption_ends_live_frames_orderly():
    before = signal.getsignal(signal.SIGINT)
    source = LiveFrames(LIVE)
    taken = 0
    for _ in source.items(0, len(source.names)):
        taken += 1
        if taken == 3:
            signal.raise_signal(signal.SIGINT)
    assert taken == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_live_frames_cannot_run_backwards():
    with pytest.raises(InputError, match="--direction forward"):
        next(LiveFrames(LIVE).items(0, 3, reverse=True))
