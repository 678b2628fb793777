"""The encoders against torchvision's, and their start from ImageNet weights."""

from urllib.error import URLError

import pytest
import torch
import torchvision

from model.layers.resnet import ResNetEncoder, append_input_channels
from model.qdmn import QDMN
from model.stcn import STCN
from model.weights.pretrained import load_imagenet_encoders
from util.errors import InputError

NAMES = ["resnet18", "resnet50"]


@pytest.fixture(scope="module")
def trained():
    """torchvision networks by name, with batch-norm statistics that are not those of a new network."""
    torch.manual_seed(0)
    networks = {name: getattr(torchvision.models, name)(weights=None).eval() for name in NAMES}
    for network in networks.values():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.5, 1.0)
                torch.nn.init.normal_(module.bias, 0, 0.1)
    return networks


def torchvision_features(network, image):
    """Feature maps at strides 4, 8 and 16."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(image))))
    f4 = network.layer1(x)
    f8 = network.layer2(f4)
    return f4, f8, network.layer3(f8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extra_channels", [0, 1, 2])
@torch.no_grad()
def test_with_imagenet_weights_features_equal_torchvisions(trained, name, extra_channels):
    encoder = ResNetEncoder(name, extra_channels=extra_channels).eval()
    encoder.load_imagenet(trained[name].state_dict())
    image = torch.randn(2, 3, 64, 96)
    features = encoder(torch.cat([image, torch.zeros(2, extra_channels, 64, 96)], 1))
    for ours, theirs, stride in zip(features, torchvision_features(trained[name], image), (4, 8, 16), strict=True):
        assert ours.shape[-2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(ours, theirs)
    assert tuple(x.shape[1] for x in features) == encoder.channels


@torch.no_grad()
def test_masks_change_the_features(trained):
    encoder = ResNetEncoder("resnet18", extra_channels=1).eval()
    encoder.load_imagenet(trained["resnet18"].state_dict())
    image, mask = torch.randn(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    blank = encoder(torch.cat([image, mask], 1))[-1]
    assert not torch.allclose(encoder(torch.cat([image, mask + 1], 1))[-1], blank, atol=1e-2)


@pytest.mark.parametrize("extra_channels", [1, 2])
def test_filters_of_the_extra_channels_are_orthogonal(trained, extra_channels):
    encoder = ResNetEncoder("resnet18", extra_channels=extra_channels)
    encoder.load_imagenet(trained["resnet18"].state_dict())
    extra = encoder.conv1.weight[:, 3:].flatten(1)
    gram = extra @ extra.T if extra_channels == 2 else extra.T @ extra
    torch.testing.assert_close(gram, torch.eye(len(gram)), atol=1e-5, rtol=0)


def test_appended_channels_leave_the_others_alone():
    weight = torch.randn(64, 3, 7, 7)
    wider = append_input_channels(weight, 5)
    assert wider.shape == (64, 5, 7, 7)
    assert torch.equal(wider[:, :3], weight)
    assert append_input_channels(weight, 3) is weight


def test_files_without_batch_counters_are_taken(trained):
    """Weights from before batch-norm counted its batches, as many ImageNet files are."""
    old = {k: v for k, v in trained["resnet18"].state_dict().items() if not k.endswith("num_batches_tracked")}
    encoder = ResNetEncoder("resnet18")
    encoder.load_imagenet(old)
    assert torch.equal(encoder.bn1.running_mean, old["bn1.running_mean"])


@pytest.mark.parametrize(
    "key", ["conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer3.1.bn2.bias"]
)
def test_a_missing_entry_is_named(trained, key):
    weights = dict(trained["resnet18"].state_dict())
    del weights[key]
    with pytest.raises(ValueError, match=f"entry {key} is missing"):
        ResNetEncoder("resnet18").load_imagenet(weights)


def test_an_entry_of_another_shape_is_named(trained):
    weights = {**trained["resnet18"].state_dict(), "layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}
    with pytest.raises(ValueError, match=r"entry layer1\.0\.conv1\.weight has shape \(64, 64, 1, 1\)"):
        ResNetEncoder("resnet18").load_imagenet(weights)


def test_a_refused_file_leaves_the_encoder_as_it_was(trained):
    encoder = ResNetEncoder("resnet50")
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    with pytest.raises(ValueError, match="entry"):
        encoder.load_imagenet(trained["resnet18"].state_dict())
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def file_of(network):
    """Its weights; of those that no encoder takes, one number each."""
    unused = ("layer4.", "fc.")
    return {name: x.flatten()[:1].clone() if name.startswith(unused) else x for name, x in network.state_dict().items()}


def test_both_encoders_of_a_network_start_from_the_file(trained, tmp_path):
    path = tmp_path / "resnet18.pth"
    torch.save(file_of(trained["resnet18"]), path)
    network = QDMN(backbone="resnet18")
    load_imagenet_encoders(network, [path])
    for encoder in (network.query_encoder, network.memory_encoder):
        assert torch.equal(encoder.conv1.weight[:, :3], trained["resnet18"].conv1.weight)
        assert torch.equal(encoder.layer3[1].conv2.weight, trained["resnet18"].layer3[1].conv2.weight)


@pytest.mark.parametrize("content", ["another network", "list", "text", "missing"])
def test_a_file_that_does_not_fit_is_named_in_one_line(trained, tmp_path, content):
    path = tmp_path / "weights.pth"
    if content == "another network":
        torch.save(file_of(trained["resnet18"]), path)
    if content == "list":
        torch.save([1, 2], path)
    if content == "text":
        path.write_text("weights")
    with torch.device("meta"):
        network = QDMN(backbone="resnet50")
    with pytest.raises(InputError, match=r"weights\.pth") as error:
        load_imagenet_encoders(network, [path])
    assert "\n" not in str(error.value)


def test_each_encoder_takes_the_file_that_fits_it(trained, tmp_path, caplog):
    for name in ("resnet18", "resnet50"):
        torch.save(file_of(trained[name]), tmp_path / f"{name}.pth")
    network = STCN(backbone="resnet50")
    load_imagenet_encoders(network, [tmp_path / "resnet18.pth", tmp_path / "resnet50.pth"])
    assert torch.equal(network.query_encoder.conv1.weight, trained["resnet50"].conv1.weight)
    assert torch.equal(network.memory_encoder.conv1.weight[:, :3], trained["resnet18"].conv1.weight)
    load_imagenet_encoders(network, [tmp_path / "resnet50.pth"])
    assert "memory_encoder starts from nothing" in caplog.text


def test_without_a_connection_the_remedies_are_named(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(InputError, match=r"no route to host.*--backbone_weights FILE, or --no_pretrained_backbone"):
        load_imagenet_encoders(QDMN(backbone="resnet18"))


@pytest.mark.parametrize(("backbone", "least", "most"), [("resnet18", 10e6, 12e6), ("resnet50", 104e6, 105e6)])
def test_networks_have_the_promised_size(backbone, least, most):
    with torch.device("meta"):
        network = QDMN(backbone=backbone)
    assert least < sum(p.numel() for p in network.parameters()) < most


@torch.no_grad()
def test_a_new_network_finds_a_frame_in_itself():
    """Both encoders start alike, so that without a mask a frame's memory key is its query key."""
    network = QDMN(backbone="resnet18").eval()
    image = torch.randn(1, 3, 64, 64)
    memory = network.memory_encoder(torch.cat([image, torch.zeros(1, 2, 64, 64)], 1))[-1]
    query = network.query_encoder(image)[-1]
    torch.testing.assert_close(memory, query)
    torch.testing.assert_close(network.memory_projection.key(memory), network.query_projection.key(query))


def test_an_unknown_backbone_is_refused_by_name():
    with pytest.raises(ValueError, match="resnet152"):
        ResNetEncoder("resnet152")
