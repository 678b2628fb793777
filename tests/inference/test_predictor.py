"""The door for other people's code: every form of frames and masks gives the masks of the core."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import hubconf
from examples.tiny_network import TinyNetwork
from inference_core_yv import InferenceCoreYV
from model import NETWORKS
from predictor import VideoPredictor
from util.errors import InputError
from util.tensors import normalise, one_hot

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SIZE = (48, 64)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return TinyNetwork(quality_head=True).eval()


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (5, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def mask():
    ids = np.zeros(SIZE, np.uint8)
    ids[8:24, 8:30] = 3
    ids[28:44, 30:60] = 7
    return ids


@pytest.fixture
def predictor(network):
    return VideoPredictor(network)


def run(predictor, frames, mask):
    return [predictor.start(frames[0], mask), *map(predictor.step, frames[1:])]


def test_the_given_mask_comes_back_and_the_rest_is_what_the_core_gives(predictor, network, frames, mask):
    core = InferenceCoreYV(network)
    planes = one_hot(mask, [3, 7])
    expected = [core.step(normalise(frame), *([planes, (3, 7)] if t == 0 else [])) for t, frame in enumerate(frames)]
    found = run(predictor, frames, mask)
    np.testing.assert_array_equal(found[0], mask)
    for ids, probabilities in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ids, np.array((0, 3, 7))[probabilities.argmax(0)])
    torch.testing.assert_close(predictor.probabilities, expected[-1])
    assert predictor.objects == (3, 7)
    assert predictor.quality == dict(zip((3, 7), core.report.quality, strict=True))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
def test_ids_have_the_type_of_the_mask(predictor, frames, mask, dtype):
    for ids in run(predictor, frames, mask.astype(dtype)):
        assert ids.dtype == dtype and ids.shape == SIZE


def test_tensors_come_back_as_tensors(predictor, frames, mask):
    found = run(predictor, torch.from_numpy(frames), torch.from_numpy(mask.astype(np.int64)))
    assert all(ids.dtype == torch.int64 for ids in found)
    again = run(VideoPredictor(predictor.network), frames, mask)
    np.testing.assert_array_equal(torch.stack(found).numpy(), np.stack(again))


@pytest.mark.parametrize("mode", ["P", "L", "I"])
def test_pictures_come_back_as_pictures_with_their_palette(predictor, frames, mask, mode):
    picture = Image.fromarray(mask.astype(np.int32) if mode == "I" else mask)
    if mode == "P":
        picture.putpalette([0, 0, 0, *range(1, 256)] + [0] * 512)
    found = run(predictor, [Image.fromarray(frame) for frame in frames], picture)
    assert {ids.mode for ids in found} == {mode}
    np.testing.assert_array_equal(np.array(found[0]), mask)
    if mode == "P":
        assert found[-1].getpalette() == picture.getpalette()


def test_a_mask_of_booleans_is_one_object(predictor, frames, mask):
    found = run(predictor, frames, mask > 0)
    np.testing.assert_array_equal(found[0], mask > 0)
    assert found[-1].dtype == np.bool_ and predictor.objects == (1,)


def test_grey_and_transparent_frames_are_read(predictor, frames, mask):
    grey = frames[..., 0]
    expected = run(predictor, np.repeat(grey[..., None], 3, -1), mask)
    np.testing.assert_array_equal(run(predictor, grey, mask), expected)
    with_alpha = np.concatenate([frames, np.full((*frames.shape[:3], 1), 9, np.uint8)], -1)
    np.testing.assert_array_equal(run(predictor, with_alpha, mask), run(predictor, frames, mask))


def test_a_larger_mask_gives_results_of_its_size(predictor, frames, mask):
    large = np.kron(mask, np.ones((2, 2), np.uint8))
    found = run(predictor, frames, large)
    assert all(ids.shape == large.shape for ids in found)
    np.testing.assert_array_equal(found[0][::2, ::2], mask)


def test_objects_come_later_are_corrected_and_removed(predictor, frames, mask):
    predictor.start(frames[0], np.where(mask == 3, mask, 0))
    ids = predictor.step(frames[1], np.where(mask == 7, mask, 0))
    np.testing.assert_array_equal(ids == 7, mask == 7)
    assert predictor.objects == (3, 7)
    moved = np.roll(np.where(mask == 3, mask, 0), 4, 1)
    ids = predictor.step(frames[2], moved)
    np.testing.assert_array_equal(ids == 3, moved == 3)
    assert set(predictor.quality) == {3, 7} and len(predictor.probabilities) == 3
    background = predictor.probabilities[:2].sum(0)
    predictor.remove([3])
    assert predictor.objects == (7,) and set(predictor.quality) == {7}
    torch.testing.assert_close(predictor.probabilities[0], background)
    assert len(predictor.probabilities) == 2 and 3 not in predictor.step(frames[3])


def test_all_objects_may_go_and_others_come(predictor, frames, mask):
    predictor.start(frames[0], mask)
    predictor.remove([7, 3])
    assert predictor.quality == {} and predictor.probabilities.shape == (1, *SIZE)
    assert not predictor.step(frames[1]).any()
    np.testing.assert_array_equal(predictor.step(frames[2], mask), mask)
    assert predictor.objects == (3, 7)


def test_a_mask_without_objects_changes_nothing(predictor, frames, mask):
    expected = run(predictor, frames, mask)
    found = [predictor.start(frames[0], mask), *(predictor.step(frame, mask * 0) for frame in frames[1:])]
    np.testing.assert_array_equal(found, expected)


def test_after_reset_nothing_is_known(predictor, frames, mask):
    expected = run(predictor, frames, mask)
    predictor.reset()
    assert predictor.objects == () and predictor.quality == {} and predictor.probabilities is None
    with pytest.raises(ValueError, match="start"):
        predictor.step(frames[0])
    np.testing.assert_array_equal(run(predictor, frames, mask), expected)


def test_a_refused_frame_or_start_leaves_the_video_as_it_was(predictor, frames, mask):
    expected = run(predictor, frames, mask)
    found = [predictor.start(frames[0], mask)]
    for frame in frames[1:]:
        for refused in (
            lambda: predictor.start(frames[0], mask[:, :32]),
            lambda: predictor.start(frames[0], mask * 0),
            lambda: predictor.step(frames[0][:24]),
            lambda: predictor.step(frames[0], mask[::2, ::2]),
        ):
            with pytest.raises(ValueError, match=r"proportion|no object|first one"):
                refused()
        found.append(predictor.step(frame))
    np.testing.assert_array_equal(found, expected)


def test_a_refused_first_start_begins_nothing(predictor, frames, mask):
    with pytest.raises(ValueError, match="proportion"):
        predictor.start(frames[0], mask[:, :32])
    with pytest.raises(ValueError, match="start"):
        predictor.step(frames[1])


def test_pictures_are_turned_upright(predictor, frames, mask):
    expected = predictor.start(frames[0], mask)
    turned = [Image.fromarray(np.ascontiguousarray(np.rot90(array))) for array in (frames[0], mask)]
    for picture in turned:
        picture.getexif()[0x0112] = 6  # shown a quarter turn clockwise
    np.testing.assert_array_equal(np.array(predictor.start(*turned)), expected)
    assert predictor._frame_size == SIZE


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        VideoPredictor(TinyNetwork())


def test_several_videos_at_a_time_do_not_meet(predictor, frames, mask):
    alone = run(predictor, frames, mask)
    first, second = VideoPredictor(predictor.network), predictor.another()
    found = [first.start(frames[0], mask)]
    second.start(frames[2], mask > 0)
    for frame in frames[1:]:
        found.append(first.step(frame))
        second.step(frame[::-1])
    np.testing.assert_array_equal(found, alone)


def test_a_whole_video_is_the_frames_one_by_one(predictor, frames, mask, tmp_path):
    expected = run(predictor, frames, mask)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    for video in (frames, str(tmp_path)):
        pairs = list(predictor.another().segment(video, {0: mask}))
        np.testing.assert_array_equal([frame for frame, _ in pairs], frames)
        np.testing.assert_array_equal([ids for _, ids in pairs], expected)
    later = [ids for _, ids in predictor.segment(frames, {2: mask})]
    assert not later[0].any() and not later[1].any()
    np.testing.assert_array_equal(later[2], mask)


def test_options_of_the_memory_reach_the_bank(network, frames, mask):
    predictor = VideoPredictor(network, policy="every", mem_every=1)
    run(predictor, frames, mask)
    assert predictor._core.report.banks[0].memory_frames == (0, 1, 2, 3, 4)
    with pytest.raises(ValueError, match="policy"):
        VideoPredictor(network, policy="all")


BAD = {
    "before start": (lambda p, f, m: p.step(f[0]), "start"),
    "empty mask": (lambda p, f, m: p.start(f[0], m * 0), "no object"),
    "float frame": (lambda p, f, m: p.start(f[0] / 255, m), "uint8"),
    "channels first": (lambda p, f, m: p.start(f[0].transpose(2, 0, 1), m), "height, width"),
    "float mask": (lambda p, f, m: p.start(f[0], m / 7), "whole numbers"),
    "one-hot mask": (lambda p, f, m: p.start(f[0], np.stack([m, m])), "height, width"),
    "colour mask": (lambda p, f, m: p.start(f[0], Image.new("RGB", SIZE[::-1])), "mode RGB"),
    "negative id": (lambda p, f, m: p.start(f[0], m.astype(int) - 1), "0..65535"),
    "another proportion": (lambda p, f, m: p.start(f[0], m[:, :32]), "proportion"),
    "another frame size": (lambda p, f, m: (p.start(f[0], m), p.step(f[1][:32])), "first one was 64x48"),
    "another mask size": (lambda p, f, m: (p.start(f[0], m), p.step(f[1], m[::2, ::2])), "first one was 64x48"),
    "an id too large": (lambda p, f, m: (p.start(f[0], m), p.step(f[1], m.astype(int) * 99)), "does not fit"),
    "deep frame": (lambda p, f, m: p.start(Image.new("I;16", SIZE[::-1]), m), "8 bits"),
    "half frame": (lambda p, f, m: p.start(torch.from_numpy(f[0]).bfloat16(), m), "bfloat16"),
    "empty frame": (lambda p, f, m: p.start(f[0, :0, :, 0], m), "height, width"),
    "half mask": (lambda p, f, m: p.start(f[0], torch.from_numpy(m).bfloat16()), "bfloat16"),
    "unknown object": (lambda p, f, m: (p.start(f[0], m), p.remove([5])), "object 5"),
    "no masks": (lambda p, f, m: list(p.segment(f, {})), "position"),
    "later masks of another size": (lambda p, f, m: next(p.segment(f, {0: m, 4: m[::2, ::2]})), "first one was 64x48"),
    "a mask behind the end": (lambda p, f, m: list(p.segment(f, {0: m, 9: m})), "frame 9"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_meant_is_refused(predictor, frames, mask, case):
    call, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        call(predictor, frames, mask)


def test_an_object_too_small_for_the_network_is_refused(network, frames):
    mask = np.zeros(SIZE, np.uint8)
    mask[5, 5] = 1
    with pytest.raises(ValueError, match="too small"):
        VideoPredictor(network, size=12).start(frames[0], mask)


def test_values_that_are_not_finite_are_refused(frames, mask):
    network = TinyNetwork().eval()
    network.decoder.predict.weight.data.fill_(float("nan"))
    predictor = VideoPredictor(network)
    predictor.start(frames[0], mask)
    with pytest.raises(ValueError, match="not finite"):
        predictor.step(frames[1])


def test_the_hub_gives_the_shipped_network_from_another_folder(tmp_path):
    code = f"""
import numpy as np, torch
predictor = torch.hub.load({str(ROOT)!r}, "qdmn_small", source="local", size=32)
mask = np.zeros((48, 64), np.uint8); mask[8:40, 8:40] = 2
frames = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
predictor.start(frames[0], mask)
print(predictor.step(frames[1]).shape, predictor.network.arch)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "(48, 64) qdmn_small" in done.stdout


@pytest.mark.parametrize("arch", NETWORKS)
def test_the_hub_has_an_entry_for_every_network(arch, tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/none.pth does not exist"):
        getattr(hubconf, arch)(tmp_path / "none.pth")


def test_the_hub_refuses_weights_of_another_network():
    with pytest.raises(ValueError, match="holds qdmn_small, not stcn"):
        hubconf.stcn(ROOT / "saves/qdmn_small.pth", device="cpu")
    with pytest.raises(ValueError, match="weights=FILE"):
        hubconf.stcn()


def test_the_hub_knows_every_package_that_it_imports():
    code = """
import sys, pathlib, hubconf
ours = {name for name in sys.modules if pathlib.Path(name, "__init__.py").is_file()}
assert ours == set(hubconf._PACKAGES), ours
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_hub_names_a_package_that_is_in_the_way(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/__init__.py").touch()
    code = f"import datasets, torch\ntorch.hub.load({str(ROOT)!r}, 'qdmn_small', source='local')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "another package named 'datasets'" in done.stderr
