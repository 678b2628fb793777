"""The published way of computing, as the benchmark has it, gives the product's results."""

import argparse

import numpy as np
import pytest
import torch

from inference.fast_form import for_inference
from inference_core import InferenceCore
from model.dropseg import DropSeg
from model.droptrack import DropTrack
from model.memory.bank import MemoryBank
from model.memory.read import Memory, MemoryReader, stack_entries
from scripts.bench import tracking
from scripts.bench.plain import EXACT, EXACT_DROPSEG, EXACT_DROPTRACK, ONLY_CPU, plain_read, without
from scripts.bench.speed import settings
from tests.helpers.bank_entries import MemoryOptions, settled
from tests.helpers.weight_files import small_network


@pytest.mark.parametrize("similarity", ["dot", "l2"])
@pytest.mark.parametrize("top_k", [None, 7])
def test_the_dense_read_equals_the_sparse_one(similarity, top_k):
    torch.manual_seed(0)
    memory, query = Memory(torch.randn(2, 3, 40, 8), torch.randn(2, 3, 40, 6)), torch.randn(2, 8, 4, 5)
    reader = MemoryReader(top_k=top_k, similarity=similarity)
    torch.testing.assert_close(plain_read(reader, memory, query), reader(memory, query))


def test_a_stream_is_the_same_without_any_optimisation():
    torch.manual_seed(0)
    images = torch.randn(6, 3, 48, 64)
    masks = torch.zeros(2, 48, 64)
    masks[0, 5:25, 5:25], masks[1, 20:40, 30:60] = 1, 1

    def run(off):
        with without(off):
            network = for_inference(small_network(), torch.device("cpu"))
            core = InferenceCore(network, MemoryOptions(mem_every=2, policy="latest", capacity=1))
            return torch.stack([core.step(image, masks if t == 0 else None) for t, image in enumerate(images)])

    torch.testing.assert_close(run(tuple(EXACT)), run(()), atol=2e-4, rtol=0)


def test_dropseg_is_the_same_without_any_optimisation():
    torch.manual_seed(0)
    network = DropSeg(backbone="vit_ti16").eval()
    image, masks = torch.randn(2, 3, 48, 64), torch.rand(1, 2, 48, 64)

    def run():
        memory = stack_entries([network.encode_memory(image[:1], masks)])
        return network.segment(network.encode_query(image[1:], masks[:, :1]), memory, MemoryReader())

    with without(EXACT_DROPSEG):
        plain = run()
    torch.testing.assert_close(run(), plain, atol=1e-4, rtol=0)


def test_what_was_replaced_comes_back():
    call, slots = MemoryReader.__call__, type(MemoryBank(settled())._buffers)
    with without(EXACT):
        assert MemoryReader.__call__ is plain_read
    assert MemoryReader.__call__ is call
    assert type(MemoryBank(settled())._buffers) is slots


@pytest.mark.parametrize(("device", "optimisations"), [("cpu", {*EXACT}), ("cuda", {*EXACT} - {*ONLY_CPU})])
def test_each_optimisation_of_a_device_has_a_row(device, optimisations):
    rows = settings("qdmn", torch.device(device))
    assert [row.name for row in rows[:2]] == ["all on", "plain"]
    assert set(rows[1].off) == optimisations
    asked_for = {"fused read", "encoded ahead", "tf32"}
    assert asked_for & {row.name for row in rows} == (asked_for if device == "cuda" else set())
    assert {row.name for row in rows if len(row.off) == 1 and row.amp == "off"} == {
        f"without {o}" for o in optimisations
    }


@torch.no_grad()
def test_droptrack_is_the_same_without_any_optimisation():
    torch.manual_seed(0)
    network = DropTrack(backbone="vit_ti16", template_size=48, search_size=96, head_channels=16).eval()
    template, search = torch.randn(1, 3, 48, 48), torch.randn(1, 3, 96, 96)
    found = network(template, search)
    with without(EXACT_DROPTRACK):
        plain = network(template, search)
    torch.testing.assert_close(found.maps, plain.maps, atol=1e-5, rtol=0)
    for ours, expected in zip(found.removed, plain.removed, strict=True):
        assert ours.tolist() == expected.tolist()


def test_a_tracker_takes_its_turns_and_gives_its_boxes():
    args = argparse.Namespace(
        model=None, backbone="vit_ti16", size=[64, 96], compared_frames=3, device="cpu", warmup=1, repeats=1
    )
    boxes = []
    for setting in tracking.settings(torch.device("cpu"))[:2]:
        turns = tracking.timed_tracker(args, setting)
        assert next(turns) > 0 and turns.send(True) > 0
        boxes.append(turns.send(False)[1])
        turns.close()
    assert boxes[0].shape == (2, 4)
    np.testing.assert_allclose(boxes[0], boxes[1], atol=0.05)
