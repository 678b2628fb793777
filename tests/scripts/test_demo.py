"""`make demo` on a short, small clip, and the moving picture that is made of its results."""

import sys

import av
import numpy as np
import pytest
from PIL import Image

from examples.real import animate
from scripts import demo

pytestmark = pytest.mark.slow

FRAMES, SIZE = 4, (160, 96)


@pytest.fixture
def short_clip(tmp_path, monkeypatch):
    """The first frames of the clip and their masks, small, in place of the whole."""
    real = tmp_path / "real"
    (real / "masks/libby").mkdir(parents=True)
    with av.open(str(demo.REAL / "libby.mp4")) as source, av.open(str(real / "libby.mp4"), "w") as target:
        stream = target.add_stream("libx264", rate=24)
        stream.width, stream.height = SIZE
        for position, frame in zip(range(FRAMES), source.decode(video=0), strict=False):
            small = av.VideoFrame.from_image(frame.to_image().resize(SIZE))
            target.mux(stream.encode(small))
            name = f"masks/libby/{position:05d}.png"
            Image.open(demo.REAL / name).resize(SIZE, Image.Resampling.NEAREST).save(real / name)
        target.mux(stream.encode())
    monkeypatch.setattr(demo, "REAL", real)


def test_the_demo_says_where_its_results_are_and_runs_again(short_clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "demo")])
    for _ in range(2):
        demo.main()
        said = capsys.readouterr().out
        assert "J&F" in said and "first mask copied" in said
        places = dict(line.split(": ", 1) for line in said.splitlines()[-3:])
        masks, video, page = (
            tmp_path / "demo" / name for name in ("clip/libby", "clip-overlay/libby.mp4", "clip-report.html")
        )
        assert list(places.values()) == [str(masks), str(video), str(page)]
        assert len(list(masks.glob("*.png"))) == FRAMES and video.is_file() and page.is_file()

    output = tmp_path / "libby.webp"
    monkeypatch.setattr(sys, "argv", ["animate.py", "--results", str(tmp_path / "demo/clip"), "--output", str(output)])
    animate.main()
    with Image.open(output) as picture:
        assert picture.n_frames == FRAMES
        assert picture.size == (animate.WIDTH, round(animate.WIDTH * SIZE[1] / SIZE[0]) + animate.CURVE_HEIGHT)
        assert np.asarray(picture.convert("RGB")).std() > 10


def test_a_step_that_fails_ends_the_demo_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "REAL", tmp_path / "none")
    monkeypatch.setattr(sys, "argv", ["demo.py", "--output", str(tmp_path / "demo")])
    with pytest.raises(demo.InputError, match=r"eval_generic\.py ended with code 2"):
        demo.main()
