"""The same video gives the same masks, however its frames come and however often the run is interrupted."""

import os
import re
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import eval_generic
from datasets.mask_files import read_ids, write_ids
from datasets.synthetic.clips import make_clip
from evaluation import cores
from inference.fast_form import for_inference
from inference_core_yv import InferenceCoreYV
from model import build_network
from model.weights.checkpoint import Checkpoint, load_network, save_checkpoint
from tests.helpers.result_files import shown
from tests.helpers.warm_processes import WarmProcess, complete, start_all
from util.tensors import normalise, one_hot

pytestmark = pytest.mark.slow

FRAMES, HEIGHT, WIDTH = 10, 64, 96


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Every run sums in the same order, here and in processes of their own, which have one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A network of random weights, and three videos of two objects with the mask of the first frame."""
    root = tmp_path_factory.mktemp("world")
    torch.manual_seed(3)
    network = build_network("qdmn_small", backbone="resnet18")
    save_checkpoint(root / "net.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    for seed in range(3):
        rgb, ids = make_clip(seed, FRAMES + seed, HEIGHT, WIDTH, 2)
        (root / f"tree/JPEGImages/v{seed}").mkdir(parents=True)
        (root / f"tree/Annotations/v{seed}").mkdir(parents=True)
        for number, frame in enumerate(rgb):
            Image.fromarray(frame).save(root / f"tree/JPEGImages/v{seed}/{number:05d}.png")
        write_ids(root / f"tree/Annotations/v{seed}/00000.png", ids[0])
    return root


def flags(world, output, source="tree"):
    return ["--model", f"{world}/net.pth", "--input", f"{world / source}", "--output", str(output), "--device", "cpu"]


def results(output):
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*.png"))
        if not path.parts[-2].startswith(".")
    }


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """The files of an uninterrupted run."""
    output = tmp_path_factory.mktemp("whole") / "run"
    eval_generic.main([*flags(world, output), "--quality_csv"])
    return output


def frames_and_mask(world):
    paths = sorted((world / "tree/JPEGImages/v0").iterdir())
    images = torch.stack([normalise(np.array(Image.open(path))) for path in paths])
    return images, one_hot(read_ids(world / "tree/Annotations/v0/00000.png"), [1, 2])


def test_frames_one_by_one_from_an_iterator_and_as_a_clip_give_the_masks_of_the_script(world, whole):
    images, mask = frames_and_mask(world)
    network = for_inference(load_network(world / "net.pth", torch.device("cpu")), torch.device("cpu"))
    core = InferenceCoreYV(network)
    one_by_one = [core.step(image, mask if t == 0 else None) for t, image in enumerate(images)]
    from_iterator = list(InferenceCoreYV(network).stream(iter(images.unbind()), {0: mask}))
    from_clip = list(InferenceCoreYV(network).stream(images, {0: mask}))
    for t in range(FRAMES):
        assert torch.equal(one_by_one[t], from_iterator[t])
        assert torch.equal(one_by_one[t], from_clip[t])
        np.testing.assert_array_equal(read_ids(whole / f"v0/{t:05d}.png"), one_by_one[t].argmax(0))


def test_masks_vary_over_the_video(whole):
    assert len({path.read_bytes() for path in (whole / "v0").iterdir()}) > 2


def test_a_video_file_gives_the_same_files_as_its_frames(world, whole, tmp_path):
    with av.open(str(world / "v0.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "bgr0"
        for path in sorted((world / "tree/JPEGImages/v0").iterdir()):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.array(Image.open(path)), format="rgb24")))
        container.mux(stream.encode(None))
    mask = world / "tree/Annotations/v0/00000.png"
    eval_generic.main([*flags(world, tmp_path / "run", "v0.mkv"), "--masks", str(mask)])
    assert results(tmp_path / "run") == {name: data for name, data in results(whole).items() if name.startswith("v0/")}


def test_frames_asked_for_before_earlier_masks_are_fetched_give_the_same_files(world, whole, tmp_path, monkeypatch):
    build = cores.build_segmenter
    monkeypatch.setattr(cores, "build_segmenter", lambda *given: replace(build(*given), overlaps=True))
    eval_generic.main([*flags(world, tmp_path / "run"), "--quality_csv"])
    assert results(tmp_path / "run") == results(whole)
    for path in shown(tmp_path / "run-quality"):
        assert path.read_text() == (whole.with_name("run-quality") / path.name).read_text()


def test_frames_that_compile_are_told_apart(world, whole, tmp_path, monkeypatch, capsys):
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    eval_generic.main([*flags(world, tmp_path / "run"), "--compile"])
    printed = capsys.readouterr().out
    compiling, others = (
        int(re.search(pattern, printed)[1]) for pattern in (r"with the (\d+) frames", r"inference: (\d+)")
    )
    assert compiling + others == 3 * FRAMES + 3
    assert 2 <= compiling < others
    assert results(tmp_path / "run").keys() == results(whole).keys()


def test_two_processes_write_the_files_of_one(world, whole, tmp_path):
    output = complete(
        start_all(2, eval_generic.main, tmp_path, [*flags(world, tmp_path / "run"), "--quality_csv", "--report"])
    )
    assert results(tmp_path / "run") == results(whole)
    for video in ("v0", "v1", "v2"):
        assert (tmp_path / f"run-quality/{video}.csv").read_text() == (
            whole.with_name("run-quality") / f"{video}.csv"
        ).read_text()
    assert f"inference: {3 * FRAMES + 3} frames" in output
    assert "in 2 processes" in (tmp_path / "run-report.html").read_text()


def kill_when(process, output, count):
    """Kill a run once so many masks of a video are on disk, unseen; or let it end."""
    while process.poll() is None:
        unseen = [folder for folder in os.walk(output) if Path(folder[0]).name.startswith(".")]
        if sum(len(files) for _, _, files in unseen) >= count:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    process.communicate(timeout=60)


def test_a_run_that_is_killed_again_and_again_ends_in_the_same_files(world, whole, tmp_path):
    output = tmp_path / "run"
    arguments = [*flags(world, output), "--quality_csv"]
    for count in (1, 4, 7):
        kill_when(WarmProcess(eval_generic.main, tmp_path, arguments), output, count)
        seen = results(output)
        assert seen.items() <= results(whole).items()
        assert len({Path(name).parent for name in seen}) in range(4)
    eval_generic.main(arguments)
    assert results(output) == results(whole)
    assert sorted(path.name for path in shown(output)) == ["v0", "v1", "v2"]


def test_what_a_dead_process_left_undone_is_done_on_a_rerun(world, whole, tmp_path):
    output = tmp_path / "run"
    eval_generic.main(flags(world, output))
    for path in (output / "v1").iterdir():
        path.unlink()
    (output / "v2").rename(output / ".v2.partial")
    eval_generic.main(flags(world, output))
    assert results(output) == results(whole)
