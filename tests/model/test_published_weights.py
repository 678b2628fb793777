"""Published weights of every network, in and out."""

import pytest
import torch

from model import NETWORKS, fitting_options
from model.weights.checkpoint import load_network, read_weights, save_published
from model.weights.published import PUBLISHED, from_published, to_published
from tests.helpers.weight_files import (
    NARROW,
    STEMS,
    assert_same,
    published_constants,
    read_published_entries,
    saved,
    small_network,
)

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
COUNTS = {"qdmn": 690, "mask_propagation": 597, "stcn": 405, "stm_cycle": 558}
TWO_FORMS = [(arch, multi_object) for arch in STEMS for multi_object in (True, False)]


@pytest.fixture
def narrow():
    """Encoders take little time and room."""
    with NARROW:
        yield


@pytest.mark.parametrize(("arch", "multi_object"), [*TWO_FORMS, ("stm_cycle", True)])
def test_names_and_shapes_equal_the_published_ones(arch, multi_object):
    with torch.device("meta"):
        network = NETWORKS[arch](**fitting_options(arch, {"multi_object": multi_object}))
    ours = {k: (tuple(v.shape), str(v.dtype)) for k, v in to_published(arch, network.state_dict()).items()}
    expected = {name: (shape, f"torch.{dtype}") for name, shape, dtype in read_published_entries(arch)}
    if not multi_object:
        expected[STEMS[arch]] = ((64, 4, 7, 7), "torch.float32")
    assert len(ours) == COUNTS[arch]
    assert ours == expected


@pytest.mark.parametrize("arch", COUNTS)
def test_translation_of_names_is_lossless(arch):
    published = published_constants(read_published_entries(arch))
    ours = from_published(arch, published)
    back = to_published(arch, ours)
    assert set(back) == set(published)
    assert all(torch.equal(back[name], published[name]) for name in published)


@pytest.mark.parametrize(("input_channels", "multi_object"), [(5, True), (4, False)])
@pytest.mark.parametrize("arch", STEMS)
def test_published_weights_come_back_bit_for_bit(tmp_path, arch, input_channels, multi_object):
    published = published_constants(read_published_entries(arch), input_channels)
    network = load_network(saved(tmp_path / "p.pth", published), CPU)
    assert network.arch == arch
    assert network.options["multi_object"] == multi_object
    assert network.options["score_activation"] == "relu"
    back = to_published(arch, network.state_dict())
    assert set(back) == set(published)
    assert all(torch.equal(back[name], published[name]) for name in published)


def test_published_weights_of_stm_cycle_come_back_bit_for_bit(tmp_path):
    published = published_constants(read_published_entries("stm_cycle"))
    path = saved(tmp_path / "recurrent.pth.tar", {"epoch": 3, "state_dict": published, "max_skip": [5, 3]})
    network = load_network(path, CPU)
    assert network.options["backbone"] == "resnet50"
    back = to_published("stm_cycle", network.state_dict())
    assert set(back) == set(published)
    assert all(torch.equal(back[name], published[name]) for name in published)


@pytest.mark.parametrize("backbone", ["resnet18", "resnet34", "resnet50", "resnet101"])
def test_the_backbone_of_stm_cycle_is_told_from_its_weights(backbone):
    with torch.device("meta"):
        network = NETWORKS["stm_cycle"](backbone=backbone)
    assert PUBLISHED["stm_cycle"].options(network_names(network))["backbone"] == backbone


def network_names(network):
    return dict.fromkeys(to_published(network.arch, network.state_dict()))


@pytest.mark.parametrize("arch", ["mask_propagation", "stcn", "stm_cycle"])
def test_a_quality_head_survives_the_published_form(tmp_path, arch):
    network = NETWORKS[arch](backbone="resnet18", quality_head=True)
    names = to_published(arch, network.state_dict())
    assert "score.fc2.weight" in names
    back = from_published(arch, names)
    assert set(back) == set(network.state_dict())
    assert all(torch.equal(back[name], value) for name, value in network.state_dict().items())


@pytest.mark.usefixtures("narrow")
def test_a_published_file_of_ours_holds_bare_weights_under_published_names(tmp_path):
    network = small_network(score_activation="relu")
    save_published(tmp_path / "p.pth", network)
    state = torch.load(tmp_path / "p.pth", weights_only=True)
    assert_same(dict(state), to_published("qdmn", network.state_dict()))
    assert_same(from_published("qdmn", state), dict(network.state_dict()))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("arch", PUBLISHED)
def test_weights_of_a_published_training_checkpoint_are_found(tmp_path, arch, zipped):
    published = published_constants(read_published_entries(arch))
    content = {"it": 7, "network": published, "optimizer": {"state": {}}, "scheduler": {"last_epoch": 7}}
    path = saved(tmp_path / "training.pth", content, _use_new_zipfile_serialization=zipped)
    weights = read_weights(path)
    assert weights.arch == arch
    assert set(to_published(arch, weights.network)) == set(published)
