"""On a CUDA device, shown without one: nothing lies on a wrong device, and nobody waits in a steady frame."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor

import evaluation.averaging
import inference_core
from datasets.test.annotated_video import Frame
from datasets.test.sizing import Limit
from evaluation.averaging import AveragingCore, View
from evaluation.segment import Segmenter, Speed, _ask
from inference.fast_form import for_inference
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import NETWORKS
from model.memory import bank
from model.memory.options import MemoryOptions
from tests.helpers.fake_gpu import GPU, Waits, empty, fake_gpu, on_gpu
from tests.helpers.weight_files import smallest_network
from util.tensors import Later, normalise_images, take_rows

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 44, 60
RARE = MemoryOptions(mem_every=100)
OFTEN = MemoryOptions(mem_every=2, capacity=1)
CORES = {
    "first frame": InferenceCore,
    "all positions": lambda network, memory: InferenceCore(network, memory, top_k=None),
    "any frame": InferenceCoreYV,
    "averaged": lambda network, memory: AveragingCore(
        lambda: InferenceCore(network, memory), [View(), View(1.5, flip=True)]
    ),
}


@pytest.fixture(autouse=True)
def masks_pass_unseen(monkeypatch):
    for module in (inference_core, evaluation.averaging):
        monkeypatch.setattr(module, "check_mask", lambda mask, image: None)


@pytest.fixture
def read(monkeypatch):
    """Scores have the value 0.9; the frames on which they are waited for."""
    found = []

    def numbers_of(tensor):
        return Later(lambda: found.append(len(tensor)) or (0.9,) * len(tensor))

    monkeypatch.setattr(bank, "numbers_of", numbers_of)
    return found


@pytest.mark.parametrize(
    ("arch", "kind"),
    [
        *((arch, kind) for arch in NETWORKS for kind in ("first frame", "any frame")),
        ("qdmn", "all positions"),
        ("qdmn", "averaged"),
    ],
)
def test_nobody_waits_in_a_steady_frame(arch, kind):
    """Although every frame is scored: what the report tells is waited for when it is read."""
    network = smallest_network(arch)
    for_inference(network, GPU)
    with fake_gpu(), torch.inference_mode():
        core = CORES[kind](on_gpu(network), RARE)
        core.step(empty(3, HEIGHT, WIDTH), empty(2, HEIGHT, WIDTH))
        core.step(empty(3, HEIGHT, WIDTH))
        with Waits() as waits:
            probabilities = core.step(empty(3, HEIGHT, WIDTH))
        assert probabilities.device == GPU and probabilities.shape == (3, HEIGHT, WIDTH)
        assert waits.found == []
        if network.quality_scorer is not None:
            with pytest.raises(DataDependentOutputException):
                _ = core.report.quality


def test_scores_are_waited_for_once_in_a_frame_that_they_decide(read):
    with fake_gpu(), torch.inference_mode():
        core = InferenceCore(on_gpu(smallest_network("qdmn_small")), OFTEN)
        waited = []
        for number in range(8):
            before = len(read)
            core.step(empty(3, HEIGHT, WIDTH), empty(2, HEIGHT, WIDTH) if number == 0 else None)
            waited.append(len(read) - before)
    # Frame 2 is decided within frame 3, beside the reference; then each second.
    assert waited == [0, 0, 0, 2, 0, 1, 0, 1]


def test_objects_come_and_go_without_waiting(read):
    with fake_gpu(), torch.inference_mode():
        core = InferenceCoreYV(on_gpu(smallest_network("qdmn_small")), RARE)
        core.step(empty(3, HEIGHT, WIDTH), empty(3, HEIGHT, WIDTH), [1, 2, 3])
        with Waits() as waits:
            core.step(empty(3, HEIGHT, WIDTH), empty(2, HEIGHT, WIDTH), [3, 7])
            core.remove([2])
            probabilities = core.step(empty(3, HEIGHT, WIDTH))
    assert probabilities.shape[0] == 1 + 3 and waits.found == [] and read == []


@pytest.mark.parametrize("arch", ["stm_cycle", "dropseg"])
def test_correction_waits_for_nothing(arch, monkeypatch):
    """But for the backward pass itself, which wants a real device."""
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, masks: (torch.empty_like(masks),))
    network, memory = smallest_network(arch), MemoryOptions(mem_every=1, policy="latest", keep_previous=True)
    with fake_gpu():
        core = InferenceCoreYV(on_gpu(network), memory, correct_rate=150, correct_steps=2)
        core.step(empty(3, HEIGHT, WIDTH), empty(3, HEIGHT, WIDTH), [1, 2, 3])
        core.step(empty(3, HEIGHT, WIDTH), empty(1, HEIGHT, WIDTH), [2])
        with Waits() as waits:
            probabilities = core.step(empty(3, HEIGHT, WIDTH))
    assert probabilities.device == GPU and waits.found == []


def test_a_window_is_waited_for_once():
    with fake_gpu(), torch.inference_mode():
        core = InferenceCore(on_gpu(smallest_network("qdmn")), RARE, decode_roi=True)
        core.step(empty(3, HEIGHT, WIDTH), empty(1, HEIGHT, WIDTH))
        reads = []

        def tolist(tensor):
            reads.append(tensor.shape)
            return [1, 1, 2, 2]

        with pytest.MonkeyPatch.context() as patch, Waits() as waits:
            patch.setattr(FakeTensor, "tolist", tolist)
            core.step(empty(3, HEIGHT, WIDTH))
    assert reads == [(4,)] and waits.found == []


def test_a_frame_of_an_evaluation_is_sent_asked_for_and_fetched_without_waiting():
    video = SimpleNamespace(restore=lambda probabilities: Limit((22,)).restore(probabilities, (44, 60), (44, 60)))
    segmenter = Segmenter(lambda video: None, GPU)
    with fake_gpu(), torch.inference_mode():
        core = InferenceCore(on_gpu(smallest_network("qdmn")), RARE)

        def asked(mask, objects):
            image = Limit((22,)).image(np.zeros((44, 60, 3), np.uint8), GPU)
            assert image.device == GPU and image.shape == (3, 22, 30)
            frame = Frame(0, "0", np.zeros((44, 60, 3), np.uint8), image, mask, objects)
            return next(_ask(core, [frame], video, segmenter, Speed()))

        asked(torch.empty(2, 22, 30), (1, 2))
        with Waits() as waits:
            found = asked(None, ())
        assert found.labels().shape == (44, 60) and found.probabilities.device == GPU
    assert waits.found == []


@pytest.mark.parametrize(
    ("work", "waits", "raises"),
    [
        (lambda x: x[:, [0, 2]], True, False),
        (lambda x: x.cpu(), True, False),
        (lambda x: torch.ones(4).to(GPU), True, False),
        (lambda x: x + torch.ones(3, 4).to(GPU), True, False),
        (lambda x: x.sum().item(), False, True),
        (lambda x: x.nonzero(), False, True),
        (lambda x: x @ torch.ones(4), False, True),
        (lambda x: take_rows(x, [0, 2], 1), False, False),
        (lambda x: torch.ones(4).to(GPU, non_blocking=True), False, False),
        (lambda x: normalise_images(x), False, False),
    ],
)
def test_waiting_and_mixing_are_seen(work, waits, raises):
    with fake_gpu(), Waits() as found, pytest.raises(Exception) if raises else nullcontext():
        work(empty(3, 3, 4))
    assert bool(found.found) == waits
