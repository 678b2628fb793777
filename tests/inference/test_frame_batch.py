"""DropSeg's frames do not depend on each other: in batches they give the same masks. And how much it remembers."""

import pytest
import torch

import eval_davis
from datasets.mask_files import read_ids
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model.dropseg import DropSeg
from model.memory.options import MemoryOptions
from model.weights.checkpoint import save_checkpoint
from tests.helpers.davis_trees import make_davis_2017
from tests.helpers.weight_files import NARROW, NARROW_VIT, checkpoint_of, small_network
from util.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def narrow():
    """Networks that need little time and room."""
    with NARROW, NARROW_VIT:
        yield


@pytest.fixture(scope="module")
def network(narrow):
    torch.manual_seed(1)
    return DropSeg(backbone="vit_ti16").eval()


def clip(frames=6, size=(37, 52)):
    masks = torch.zeros(2, *size)
    masks[0, 5:20, 4:20], masks[1, 10:30, 30:45] = 1, 1
    return torch.randn(frames, 3, *size, generator=torch.Generator().manual_seed(0)), masks


def test_a_batch_of_frames_equals_one_after_the_other(network):
    images, masks = clip()
    one, many = InferenceCore(network), InferenceCore(network)
    expected = [one.step(image, masks if t == 0 else None) for t, image in enumerate(images)]
    many.step(images[0], masks)
    reports = []
    for t, probabilities in enumerate(many.steps(images[1:]), 1):
        torch.testing.assert_close(probabilities, expected[t], atol=1e-5, rtol=0)
        reports.append(many.report.frame)
    assert reports == [1, 2, 3, 4, 5]


def test_frames_that_depend_on_each_other_are_taken_one_by_one():
    images, masks = clip(4)
    network = small_network()
    one, many = InferenceCore(network), InferenceCore(network)
    expected = [one.step(image, masks if t == 0 else None) for t, image in enumerate(images)]
    many.step(images[0], masks)
    for ours, reference in zip(many.steps(images[1:]), expected[1:], strict=True):
        assert torch.equal(ours, reference)


def test_each_object_is_remembered_from_its_own_annotation(network):
    images, masks = clip()
    core = InferenceCoreYV(network)
    core.step(images[0], masks[:1], [1])
    core.step(images[1])
    core.step(images[2], masks[1:], [2])
    core.step(images[3])
    assert [bank.memory_frames for bank in core.report.banks] == [(0,), (2,)]


def test_more_memory_frames_are_read(network):
    images, masks = clip()
    core = InferenceCore(network, MemoryOptions(policy="latest", capacity=2, annotations=1, mem_every=1))
    for t, image in enumerate(images):
        core.step(image, masks if t == 0 else None)
    assert core.report.banks[0].memory_frames == (0, 4, 5)


@pytest.fixture
def davis(tmp_path):
    return make_davis_2017(tmp_path / "davis")


def saved(network, path):
    save_checkpoint(path, checkpoint_of(network))
    return path


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    return saved(network, tmp_path_factory.mktemp("weights") / "n.pth")


def run(davis, output, path, *flags):
    eval_davis.main(["--davis", str(davis), "--output", str(output), "--device", "cpu", "--model", str(path), *flags])
    return {file.relative_to(output): read_ids(file) for file in sorted(output.rglob("*.png"))}


def test_the_script_writes_the_same_masks_in_batches(davis, tmp_path, path):
    plain = run(davis, tmp_path / "plain", path)
    batched = run(davis, tmp_path / "batched", path, "--frame_batch", "3")
    assert plain.keys() == batched.keys()
    assert all((plain[name] != batched[name]).mean() < 0.01 for name in plain)


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--top_k", "20"), "--top_k"),
        (("--frame_batch", "2", "--flip"), "--frame_batch"),
        (("--mem_frames", "3", "--frame_batch", "2"), "--frame_batch"),
    ],
)
def test_what_does_not_fit_is_refused(davis, tmp_path, path, flags, named):
    with pytest.raises(InputError, match=named):
        run(davis, tmp_path / "out", path, *flags)


def test_other_networks_refuse_batches_of_frames(davis, tmp_path):
    with pytest.raises(InputError, match="--frame_batch"):
        run(davis, tmp_path / "out", saved(small_network(), tmp_path / "n.pth"), "--frame_batch", "2")


def test_a_quality_head_feeds_the_gated_memory():
    torch.manual_seed(1)
    core = InferenceCore(
        DropSeg(backbone="vit_ti16", quality_head=True).eval(),
        MemoryOptions(policy="quality", capacity=2, annotations=1, mem_every=1, quality_threshold=-1.0),
    )
    images, masks = clip()
    for t, image in enumerate(images):
        core.step(image, masks if t == 0 else None)
    assert len(core.report.quality) == 2
    assert core.report.banks[0].memory_frames[0] == 0
    assert len(core.report.banks[0].memory_frames) == 3
