"""The mask-quality scorer."""

import pytest
import torch

from model.layers.quality import QualityScorer

CHANNELS = 32
both_forms = pytest.mark.parametrize("activation", ["sigmoid", "relu"])


def scorer(activation="sigmoid"):
    torch.manual_seed(0)
    return QualityScorer(CHANNELS, activation=activation)


def feature(count=2, height=24, width=24):
    return torch.rand(count, CHANNELS, height, width, generator=torch.Generator().manual_seed(1))


def gradient_sizes(network):
    """Norm of the gradient of the scores in each parameter."""
    network(feature()).sum().backward()
    return {name: parameter.grad.norm().item() for name, parameter in network.named_parameters()}


@both_forms
@pytest.mark.parametrize("size", [(24, 24), (1, 1), (2, 3), (6, 9), (30, 54), (24, 25), (120, 7)])
def test_a_grid_of_any_size_gets_one_score_for_each_mask(activation, size):
    scores = scorer(activation)(feature(3, *size))
    assert scores.shape == (3,)
    assert scores.isfinite().all() and (scores >= 0).all()


def test_sigmoid_scores_lie_between_zero_and_one():
    network = scorer()
    scores = torch.cat([network(factor * feature(4)) for factor in (0.0, 1.0, 1000.0)])
    assert ((scores >= 0) & (scores <= 1)).all()


@both_forms
def test_a_constant_map_scores_the_same_at_every_size(activation):
    network = scorer(activation)
    network.fc2.bias.data.fill_(1.0)
    column = feature(2, 1, 1)
    expected = network(column.expand(-1, -1, 24, 24))
    for size in [(1, 1), (7, 5), (40, 30)]:
        torch.testing.assert_close(network(column.expand(-1, -1, *size)), expected, atol=1e-4, rtol=0)


@both_forms
def test_memory_layout_does_not_matter(activation):
    network = scorer(activation)
    network.fc2.bias.data.fill_(1.0)
    plain = feature()
    channels_last = plain.contiguous(memory_format=torch.channels_last)
    assert channels_last.stride() != plain.stride()
    torch.testing.assert_close(network(channels_last), network(plain))
    torch.testing.assert_close(network.to(memory_format=torch.channels_last)(channels_last), network(plain))


@both_forms
def test_masks_are_scored_independently(activation):
    network = scorer(activation)
    network.fc2.bias.data.fill_(1.0)
    together = network(feature(4))
    alone = torch.cat([network(one[None]) for one in feature(4)])
    torch.testing.assert_close(together, alone)
    assert together.unique().numel() == 4


@pytest.mark.parametrize("bias", [-1000.0, -30.0, 30.0, 1000.0])
@pytest.mark.parametrize("layer", ["fc1", "fc2"])
def test_the_sigmoid_form_has_a_gradient_everywhere(layer, bias):
    network = scorer("sigmoid")
    getattr(network, layer).bias.data.fill_(bias)
    sizes = gradient_sizes(network)
    assert min(sizes.values()) > 0, sizes


def test_the_sigmoid_form_learns_from_high_scores_in_mixed_precision():
    network = scorer("sigmoid")
    network.fc2.bias.data.fill_(8.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(feature())
    scores.sum().backward()
    assert network.fc1.weight.grad.norm().item() > 0


@pytest.mark.parametrize("layer", ["fc1", "fc2"])
def test_the_published_relu_form_dies(layer):
    network = scorer("relu")
    getattr(network, layer).bias.data.fill_(-30.0)
    assert not network(feature()).any()
    sizes = gradient_sizes(network)
    assert max(size for name, size in sizes.items() if not name.startswith("fc2")) == 0


def test_the_sigmoid_form_recovers_from_silence_and_the_relu_form_does_not():
    goal = torch.tensor([0.2, 0.8])
    left = {}
    for activation in ("sigmoid", "relu"):
        network = scorer(activation)
        network.fc2.bias.data.fill_(-8.0)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        for _ in range(60):
            optimizer.zero_grad()
            loss = (network(feature()) - goal).square().mean()
            loss.backward()
            optimizer.step()
        left[activation] = loss.item()
    assert left["relu"] == pytest.approx(goal.square().mean().item())
    assert left["sigmoid"] < 0.1 * left["relu"]


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="'tanh'; it must be 'sigmoid' or 'relu'"):
        QualityScorer(CHANNELS, activation="tanh")
