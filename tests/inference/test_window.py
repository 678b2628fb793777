"""Decoding a part of a frame: which part, and that it changes little."""

import pytest
import torch

from inference.chunks import cell_coverage, choose_window
from inference_core import InferenceCore
from model import build_network
from model.layers.decoder import Window
from model.memory.options import MemoryOptions
from tests.helpers.weight_files import small_network

pytestmark = pytest.mark.slow


def test_the_window_holds_coverage_and_the_previous_mask_with_a_margin():
    coverage, previous = torch.zeros(1, 2, 30, 40), torch.zeros(1, 2, 480, 640)
    coverage[0, 0, 10, 12] = 0.2
    previous[0, 1, 15 * 16 + 3, 20 * 16 + 7] = 0.9
    assert choose_window(coverage, previous) == Window(6, 8, 20, 25)


def test_windows_end_at_the_frame_and_large_ones_are_the_frame():
    coverage, previous = torch.zeros(1, 1, 30, 40), torch.zeros(1, 1, 480, 640)
    coverage[0, 0, 0, 39] = 1
    assert choose_window(coverage, previous) == Window(0, 35, 5, 40)
    coverage[0, 0, 28, 2] = 1
    assert choose_window(coverage, previous) is None
    assert choose_window(coverage * 0, previous) is None


def test_a_part_is_cut_out_and_put_back():
    maps = torch.randn(2, 3, 10, 14)
    window = Window(1, 2, 4, 6)
    part = window.crop(maps, 2)
    assert part.shape == (2, 3, 6, 8)
    whole = window.paste(part, (5, 7), 2, -16.0)
    assert torch.equal(window.crop(whole, 2), part)
    assert (whole == -16).sum() == whole.numel() - part.numel()


def test_coverage_is_the_covered_share_of_each_cell():
    masks = torch.zeros(1, 1, 32, 48)
    masks[..., :8, :16] = 1
    coverage = cell_coverage(masks, torch.float32)
    assert coverage.shape == (1, 1, 6, 1)
    assert coverage.flatten().tolist() == [0.5, 0, 0, 0, 0, 0]


def stream(network, **options):
    torch.manual_seed(0)
    images = torch.randn(5, 3, 160, 240)
    masks = torch.zeros(2, 160, 240)
    masks[0, 50:80, 60:100], masks[1, 60:90, 110:130] = 1, 1
    core = InferenceCore(network, MemoryOptions(mem_every=1), **options)
    return torch.stack([core.step(image, masks if t == 0 else None) for t, image in enumerate(images)])


@pytest.mark.parametrize("arch", ["qdmn", "qdmn_small", "mask_propagation", "stcn"])
def test_every_network_decodes_the_window_as_it_does_the_whole_frame(arch):
    torch.manual_seed(0)
    network = build_network(arch, backbone="resnet18").eval()
    query = network.encode_query(torch.randn(1, 3, 256, 256), torch.zeros(1, 1, 256, 256))
    readout = torch.randn(1, 2, network.options["value_dim"], 16, 16)
    with torch.no_grad():
        whole, part = (network.decode(query, readout, window) for window in (None, Window(2, 3, 14, 15)))
    inside = (..., slice(5 * 16, 11 * 16), slice(6 * 16, 12 * 16))
    torch.testing.assert_close(part[inside], whole[inside], atol=1e-3, rtol=1e-3)
    assert (part[..., :32, :] == -16).all()
    assert (part[..., :, 240:] == -16).all()


def test_where_the_window_is_the_frame_nothing_changes(monkeypatch):
    network = small_network()
    monkeypatch.setattr("inference.chunks.choose_window", lambda coverage, previous: None)
    torch.testing.assert_close(stream(network, decode_roi=True), stream(network), atol=1e-5, rtol=0)


def test_probabilities_sum_to_one_with_a_window():
    result = stream(small_network(), decode_roi=True)
    torch.testing.assert_close(result.sum(1), torch.ones(5, 160, 240))


@pytest.mark.parametrize(("arch", "backbone"), [("stm_cycle", "resnet18"), ("dropseg", "vit_ti16")])
def test_networks_that_cannot_refuse(arch, backbone):
    with pytest.raises(ValueError, match="cannot decode a part"):
        InferenceCore(build_network(arch, backbone=backbone).eval(), decode_roi=True)
