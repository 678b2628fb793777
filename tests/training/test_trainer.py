"""Training steps."""

import pytest
import torch

from model import build_network
from training import base_trainer
from training.trainer import Trainer

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def batch(seed=0, size=4):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(size, 3, 1, 32, 32, generator=generator) > 0.5).float()
    frames = torch.randn(size, 3, 3, 32, 32, generator=generator)
    return {"frames": frames, "masks": masks, "labels": masks[:, :, 0].long(), "selector": torch.ones(size, 1)}


def disks():
    """Bright disks on dark ground, the same in every frame."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    masks = torch.stack([(y - row).hypot(x - column) < 9 for row, column in ((10, 10), (20, 20), (10, 20), (16, 12))])
    masks = masks.float()[:, None, None].expand(-1, 3, -1, -1, -1)
    frames = (2 * masks - 1).expand(-1, -1, 3, -1, -1)
    return {"frames": frames, "masks": masks, "labels": masks[:, :, 0].long(), "selector": torch.ones(4, 1)}


def part(whole, start, stop):
    return {name: value[start:stop] for name, value in whole.items()}


def trainer(**options):
    torch.manual_seed(0)
    return Trainer(build_network("qdmn_small", backbone="resnet18"), CPU, lr=1e-3, **options)


def state(of):
    return {name: value.clone() for name, value in of.network.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_a_batch_in_parts_gives_the_same_update():
    whole, parts = trainer(), trainer()
    losses = whole.step([batch()])[0]
    in_parts = parts.step([part(batch(), 0, 2), part(batch(), 2, 4)])[0]
    assert in_parts["total_loss"].item() == pytest.approx(losses["total_loss"].item(), rel=1e-4)
    gradients = [torch.cat([p.grad.flatten() for p in t.optimizer.param_groups[0]["params"]]) for t in (whole, parts)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4 * gradients[0].abs().max().item())


def test_a_parameter_without_gradient_is_left_out():
    learner = trainer()
    unused = torch.nn.Parameter(torch.ones(3))
    learner.optimizer.param_groups[0]["params"].append(unused)
    before = state(learner)
    assert learner.step([batch()])[2]
    assert unused.tolist() == [1, 1, 1] and changed(before, state(learner))


@pytest.mark.parametrize(
    ("others", "updated", "stopping"), [((0, 0), True, False), ((1, 0), False, False), ((0, 1), True, True)]
)
def test_processes_meet_once_in_an_iteration_for_all_their_flags(monkeypatch, others, updated, stopping):
    meetings = []

    def all_reduce(flags):
        meetings.append(flags.clone())
        flags += torch.tensor(others)

    monkeypatch.setattr(base_trainer.dist, "all_reduce", all_reduce)
    monkeypatch.setattr(base_trainer, "DistributedDataParallel", lambda module, **options: module)
    learner = trainer(distributed=True)
    assert learner.step([batch()])[2] is updated
    assert learner.stopping is stopping
    learner.stopping = True
    learner.step([batch()])
    assert [flags.tolist() for flags in meetings] == [[0, 0], [0, 1]]
    assert learner.stopping


@pytest.mark.parametrize("amp", ["off", "bf16"])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_loss_that_is_not_finite_changes_nothing_but_the_iteration(frozen, amp):
    learner = trainer(frozen_statistics=frozen, amp=amp)
    learner.step([batch()])
    before = state(learner)
    spoilt = batch(1)
    spoilt["frames"][0, 1, 0, 3, 3] = torch.nan
    _, _, updated = learner.step([spoilt])
    assert not updated
    assert changed(before, state(learner)) == set()
    assert learner.iteration == learner.scheduler.last_epoch == 2
    assert learner.step([batch(2)])[2]
    assert changed(before, state(learner))


def test_frozen_statistics_stay_and_learned_ones_move():
    for frozen in (True, False):
        learner = trainer(frozen_statistics=frozen)
        before = state(learner)
        learner.step([batch()])
        moved = {name for name in changed(before, state(learner)) if "running" in name}
        assert bool(moved) != frozen


def test_parameters_that_need_no_gradient_keep_their_values():
    torch.manual_seed(0)
    network = build_network("qdmn_small", backbone="resnet18")
    network.query_encoder.freeze("layer1")
    learner = Trainer(network, CPU, lr=1e-3)
    before = state(learner)
    learner.step([batch()])
    moved = changed(before, state(learner))
    assert not any(name.startswith(("query_encoder.conv1", "query_encoder.layer1")) for name in moved)
    assert any(name.startswith("query_encoder.layer2") for name in moved)


def test_the_rate_falls_at_its_steps():
    learner = trainer(steps=(1, 2), gamma=0.5)
    rates = []
    for seed in range(3):
        rates.append(learner.rate)
        learner.step([batch(seed)])
    assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_sgd_moves_against_the_gradient_with_momentum_and_decay():
    rate, decay, momentum = 1e-3, 0.1, 0.8
    learner = trainer(optimizer="sgd", momentum=momentum, weight_decay=decay)
    velocity = [torch.zeros_like(p) for p in learner.optimizer.param_groups[0]["params"]]
    for seed in range(3):
        before = [p.detach().clone() for p in learner.optimizer.param_groups[0]["params"]]
        learner.step([batch(seed)])
        for i, (p, old) in enumerate(zip(learner.optimizer.param_groups[0]["params"], before, strict=True)):
            velocity[i] = momentum * velocity[i] + p.grad + decay * old
            torch.testing.assert_close(p.detach(), old - rate * velocity[i], rtol=1e-5, atol=1e-6)


def test_the_average_follows_the_weights_by_its_decay():
    learner, network = trainer(ema=0.75), trainer().network
    expected = {name: value.clone() for name, value in network.named_parameters()}
    for _ in range(3):
        learner.step([batch()])
        for name, value in learner.network.named_parameters():
            expected[name] += 0.25 * (value.detach() - expected[name])
    for name, value in learner.result.named_parameters():
        torch.testing.assert_close(value, expected[name].detach(), rtol=1e-5, atol=1e-6)
    assert learner.result is not learner.network


def test_the_average_has_the_latest_statistics_and_leaves_a_refused_update_out():
    learner = trainer(ema=0.5, frozen_statistics=False)
    learner.step([batch()])
    for name, value in learner.network.named_buffers():
        assert torch.equal(value, learner.result.get_buffer(name)), name
    before = {name: value.clone() for name, value in learner.result.state_dict().items()}
    spoilt = batch()
    spoilt["frames"][0, 0] = torch.nan
    assert not learner.step([spoilt])[2]
    assert not changed(before, learner.result.state_dict())


def test_without_a_decay_the_network_itself_is_the_result():
    learner = trainer()
    assert learner.result is learner.network
    assert learner.checkpoint({}).average is None


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_either_optimizer_goes_on_from_a_checkpoint(optimizer):
    whole, first, second = (trainer(optimizer=optimizer, steps=(3,)) for _ in range(3))
    for seed in range(4):
        whole.step([batch(seed)])
    for seed in range(2):
        first.step([batch(seed)])
    checkpoint = first.checkpoint({})
    second.network.load_state_dict(checkpoint.network)
    second.restore(checkpoint)
    for seed in (2, 3):
        second.step([batch(seed)])
    assert changed(state(whole), state(second)) == set()
    assert changed(state(whole), state(first))


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "momentum": 0.9}])
def test_learning_lowers_the_loss(options):
    learner = trainer(frozen_statistics=False, **options)
    losses = [learner.step([disks()])[0]["segmentation_loss"].item() for _ in range(15)]
    assert losses[-1] < 0.7 * losses[0]
