"""Training steps of a box tracker: the published step, its schedules, and what a step must and must not change."""

import json

import numpy as np
import pytest
import torch

from model.droptrack import DropTrack
from model.weights.published import to_published
from tests.helpers.deterministic import FIXTURES, fixture
from tests.helpers.droptrack_networks import SMALL, SMALL_SIZE, small_tracker
from training.box_arguments import PRESETS, fill_schedule, parse_arguments
from training.box_trainer import BoxTrainer, keep_rate, rate_factor, saved_epochs
from util.tensors import normalise_images

CPU = torch.device("cpu")
SCHEDULES = json.loads((FIXTURES / "droptrack_schedules.json").read_text())
STATUS = {
    "total_loss": "Loss/total",
    "giou_loss": "Loss/giou",
    "l1_loss": "Loss/l1",
    "centre_loss": "Loss/location",
    "iou": "IoU",
}
TINY = {**SMALL, "template_size": 32, "search_size": 64, "head_channels": 64}


def published_arguments(config, *more):
    args = parse_arguments(["--config", config, "--no_pretrained_backbone", *map(str, more)])
    fill_schedule(args, world=4)
    return args


@pytest.mark.parametrize("config", PRESETS)
def test_schedules_are_the_published_ones(config):
    short = config.removeprefix("vitb_384_mae_ce_32x4_")
    args = published_arguments(config)
    assert (args.total_batch, args.steps_per_epoch, args.iterations) == (128, 468, 468 * args.epochs)
    epochs = range(1, args.epochs + 1)
    rates = [keep_rate(e, start=args.keep_start, warmup=args.keep_warmup, last=args.keep_rates[0]) for e in epochs]
    np.testing.assert_allclose(rates, SCHEDULES["keep_rate"][short], rtol=1e-12)
    factors = np.array([rate_factor(e, args.lr_drop_epochs, args.gamma) for e in epochs])
    ours = np.stack([args.lr * factors, args.lr * args.backbone_multiplier * factors], 1)
    np.testing.assert_allclose(ours, SCHEDULES["lr"][short], rtol=1e-9)
    saved = saved_epochs(args.epochs, interval=args.save_epoch_interval, also=args.save_epochs, last=args.save_last)
    assert saved == SCHEDULES["saved_epochs"][short]


@pytest.fixture(scope="module")
def published():
    return fixture("droptrack_train_step")


@pytest.fixture(scope="module")
def batch(published):
    pictures = {
        name: normalise_images(torch.from_numpy(published[name]).permute(0, 3, 1, 2)) for name in ("template", "search")
    }
    boxes = {f"{name}_box": torch.from_numpy(published[f"{name}_anno"]) for name in ("template", "search")}
    return {**pictures, **boxes}


def trainer_at(epoch, **options):
    trainer = BoxTrainer(small_tracker(), CPU, steps_per_epoch=1, keep_start=20, keep_warmup=50, **options)
    trainer.iteration = epoch - 1
    return trainer


def by_published_name(network, values):
    """A number for each published entry, from tensors by our names."""
    state = {name: values.get(name, torch.zeros_like(entry)) for name, entry in network.state_dict().items()}
    return to_published("droptrack", state)


@pytest.mark.parametrize("part", ["full", "keep"])
def test_a_step_is_the_published_one(published, batch, part):
    trainer = trainer_at(int(published[f"{part}_epoch"]), grad_clip=0)
    before = {name: p.detach().clone() for name, p in trainer.network.named_parameters()}
    losses, prediction, updated = trainer.step([batch])
    assert updated
    status = json.loads(str(published[f"{part}_status_json"]))
    for ours, theirs in STATUS.items():
        assert losses[ours].item() == pytest.approx(status[theirs], rel=3e-6)
    assert losses["keep_rate"].item() == pytest.approx(0.85 if part == "keep" else 1)
    found = prediction.boxes.detach().numpy()
    np.testing.assert_allclose(found, published[f"{part}_pred"], atol=5e-6)
    np.testing.assert_allclose(prediction.maps.score[:, 0].detach().numpy(), published[f"{part}_score"], atol=1e-5)
    for block in range(3 if part == "keep" else 0):
        assert [set(row) for row in prediction.removed[block].tolist()] == [
            set(row) for row in published[f"{part}_removed{block}"].tolist()
        ]

    names = json.loads(str(published["names_json"]))
    expected = published[f"{part}_grad_norm"]
    gradients = by_published_name(trainer.network, {n: p.grad for n, p in trainer.network.named_parameters()})
    real = [i for i, norm in enumerate(expected) if norm > 1e-4]  # not NaN, nor the noise of biases before batch norm
    assert len(real) == len(names) - 14
    for i in real:
        assert gradients[names[i]].norm().item() == pytest.approx(expected[i], rel=1e-3), names[i]
    total = torch.stack([p.grad.norm() for p in trainer.network.parameters()]).norm()
    assert total.item() == pytest.approx(published[f"{part}_grad_total"], rel=1e-4)

    clipped = trainer_at(int(published[f"{part}_epoch"]))
    clipped.step([batch])
    changes = {n: (p.detach() - before[n]).abs() for n, p in clipped.network.named_parameters()}
    changes = by_published_name(clipped.network, changes)
    for i in real:
        assert changes[names[i]].mean().item() == pytest.approx(published[f"{part}_update"][i], rel=0.01), names[i]
    statistics = to_published("droptrack", clipped.network.state_dict())
    norm = "box_head.conv1_ctr.1"
    made = torch.cat([statistics[f"{norm}.running_mean"], statistics[f"{norm}.running_var"]])
    np.testing.assert_allclose(made.numpy(), published[f"{part}_bn"], rtol=1e-4, atol=1e-5)
    decays = [group["weight_decay"] for group in clipped.optimizer.param_groups]
    np.testing.assert_allclose(sorted(decays), sorted(published[f"{part}_weight_decay"]))


def tiny_trainer(**options):
    return BoxTrainer(tiny_tracker(), CPU, **{"steps_per_epoch": 4, **options})


def tiny_tracker(**options):
    torch.manual_seed(0)
    with SMALL_SIZE:
        return DropTrack(**TINY, drop_path=0.0, **options)


def pairs(seed=0, count=4):
    """Pairs in which a bright square is to be found."""
    rng = np.random.default_rng(seed)
    template, search = torch.zeros(count, 3, 32, 32), torch.zeros(count, 3, 64, 64)
    template[:, :, 8:24, 8:24] = 2
    places = rng.integers(2, 46, (count, 2))
    for picture, (x, y) in zip(search, places.tolist(), strict=True):
        picture[:, y : y + 16, x : x + 16] = 2
    boxes = torch.cat([torch.from_numpy(places / 64), torch.full((count, 2), 0.25)], 1).float()
    return {
        "template": template,
        "search": search,
        "template_box": torch.tensor([[0.25, 0.25, 0.5, 0.5]]).repeat(count, 1),
        "search_box": boxes,
    }


def test_training_finds_the_object():
    trainer = tiny_trainer(lr=2e-3, backbone_multiplier=0.5, grad_clip=1.0)
    losses = [trainer.step([pairs()])[0] for _ in range(40)]
    assert losses[-1]["centre_loss"] < losses[0]["centre_loss"] / 20
    assert np.mean([part["iou"] for part in losses[-5:]]) > np.mean([part["iou"] for part in losses[:5]]) + 0.1


def test_gradients_of_parts_are_averaged_and_clipped_together():
    def gradients(*seeds, clip=0.0):
        trainer = tiny_trainer(grad_clip=clip)
        trainer.step([pairs(seed) for seed in seeds])
        return torch.cat([p.grad.flatten() for p in trainer.network.parameters()])

    mean = (gradients(0) + gradients(1)) / 2
    torch.testing.assert_close(gradients(0, 1), mean, rtol=1e-3, atol=1e-5 * mean.norm().item())
    torch.testing.assert_close(gradients(0, 1, clip=0.5), mean * 0.5 / mean.norm(), rtol=1e-3, atol=1e-5)


def test_rates_and_dropped_tokens_follow_the_epoch():
    trainer = tiny_trainer(steps_per_epoch=2, lr=0.1, lr_drop_epochs=[2], keep_start=2, keep_warmup=1)
    seen = []
    for seed in range(6):
        rates = [group["lr"] for group in trainer.optimizer.param_groups]
        losses, prediction, _ = trainer.step([pairs(seed)])
        seen.append((round(losses["keep_rate"].item(), 3), sum(r.shape[1] for r in prediction.removed), *rates))
    assert [entry[0] for entry in seen] == [1, 1, 1, 1, 0.7, 0.7]
    assert [entry[1] > 0 for entry in seen] == [False] * 4 + [True] * 2
    np.testing.assert_allclose([entry[2:] for entry in seen], [[0.1, 0.01]] * 4 + [[0.01, 0.001]] * 2)


def test_rates_may_rise_first():
    trainer = tiny_trainer(lr=0.4, warmup=3)
    rates = []
    for _ in range(5):
        rates.append(trainer.rate)
        trainer.step([pairs()])
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.4])


def test_a_loss_that_is_not_finite_changes_no_weight():
    trainer = tiny_trainer()
    before = [p.detach().clone() for p in trainer.network.parameters()]
    spoilt = pairs()
    spoilt["search"][0] = torch.nan
    assert not trainer.step([spoilt])[2]
    assert all(torch.equal(p, old) for p, old in zip(trainer.network.parameters(), before, strict=True))
    assert trainer.iteration == 1


def test_the_template_box_may_rank_tokens():
    trainer = BoxTrainer(tiny_tracker(ranking="box"), CPU, steps_per_epoch=1, keep_start=1, keep_warmup=0)
    _, prediction, updated = trainer.step([pairs()])
    assert updated and sum(r.shape[1] for r in prediction.removed) > 0


def test_validation_changes_nothing_and_adds_up_samples():
    trainer = tiny_trainer()
    before = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    sums, count = trainer.validate([pairs(0, 3), pairs(1, 1)])
    first, _ = trainer.validate([pairs(0, 3)])
    second, _ = trainer.validate([pairs(1, 1)])
    assert count == 4
    torch.testing.assert_close(sums["total_loss"], first["total_loss"] + second["total_loss"])
    assert all(torch.equal(value, before[name]) for name, value in trainer.network.state_dict().items())
    assert trainer.network.training
