"""Checkpoints in other forms."""

import sys

import pytest
import torch

from model import build_network
from model.droptrack import DropTrack
from model.weights.checkpoint import Checkpoint, load_network, load_tracker, save_checkpoint
from scripts.convert_checkpoint import main
from tests.helpers.weight_files import NARROW, NARROW_VIT
from util.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def convert(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["convert_checkpoint.py", *map(str, arguments)])
    main()


@pytest.fixture(autouse=True)
def narrow():
    """Encoders take little time and room."""
    with NARROW, NARROW_VIT:
        yield


@pytest.fixture
def small(tmp_path):
    network = build_network("qdmn_small", backbone="resnet18")
    save_checkpoint(tmp_path / "full.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    return tmp_path / "full.pth", network.eval()


def test_half_precision_halves_the_file_and_keeps_the_weights(small, tmp_path, monkeypatch, capsys):
    path, network = small
    convert(monkeypatch, "--model", path, "--output", tmp_path / "half.pth", "--half")
    assert (tmp_path / "half.pth").stat().st_size < 0.6 * path.stat().st_size
    loaded = load_network(tmp_path / "half.pth", CPU).state_dict()
    assert all(torch.allclose(loaded[name], value, atol=2e-3) for name, value in network.state_dict().items())
    assert "half.pth: qdmn_small" in capsys.readouterr().out


def test_the_published_form_of_qdmn_comes_back_without_loss(tmp_path, monkeypatch):
    network = build_network("qdmn", backbone="resnet50", score_activation="relu")
    save_checkpoint(tmp_path / "ours.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    convert(monkeypatch, "--model", tmp_path / "ours.pth", "--output", tmp_path / "QDMN.pth", "--published")
    assert "mask_rgb_encoder.conv1.weight" in torch.load(tmp_path / "QDMN.pth", weights_only=True)
    back = load_network(tmp_path / "QDMN.pth", CPU).state_dict()
    assert all(torch.equal(back[name], value) for name, value in network.state_dict().items())


def test_a_network_without_published_form_is_refused(small, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no published form"):
        convert(monkeypatch, "--model", small[0], "--output", tmp_path / "out.pth", "--published")
    assert not (tmp_path / "out.pth").exists()


def test_a_tracker_is_written_as_the_published_code_reads_it(tmp_path, monkeypatch, capsys):
    network = DropTrack(backbone="vit_ti16", template_size=32, search_size=64, head_channels=16)
    save_checkpoint(tmp_path / "ours.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    convert(
        monkeypatch, "--model", tmp_path / "ours.pth", "--output", tmp_path / "OSTrack_ep0100.pth.tar", "--published"
    )
    assert "backbone.cls_token" in torch.load(tmp_path / "OSTrack_ep0100.pth.tar", weights_only=True)["net"]
    assert "box_head" in capsys.readouterr().out
    back = load_tracker(tmp_path / "OSTrack_ep0100.pth.tar", CPU).state_dict()
    assert all(torch.equal(back[name], value) for name, value in network.state_dict().items())
