"""Pre-training runs of train_dropmae.py, from videos to weights in a DropSeg."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_dropmae
from datasets.train.frame_pairs import FramePairs, collate_pairs, find_videos, pairs_to_device
from model.dropmae import DropMAE
from model.dropseg import DropSeg
from model.weights.checkpoint import load_checkpoint, read_weights, restore_network
from model.weights.pretrained import load_mae_encoder
from tests.helpers.training_runs import losses_of, only
from tests.helpers.warm_processes import complete, start_all
from tests.helpers.weight_files import NARROW_VIT
from training.base_trainer import half_cosine
from training.pretrain_arguments import SAME_ON_RESUME, fill_schedule, parse_arguments
from training.pretrainer import Pretrainer
from training.run_arguments import check_same
from util.errors import InputError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
NETWORK = {"backbone": "vit_ti16", "image_size": 32, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
SMALL = [word for name, value in NETWORK.items() for word in (f"--{name}", value)]
SMALL += ["-b", 4, "--samples_per_video", 2, "--num_workers", 0, "--device", "cpu", "--log_interval", 1]


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """The transformer has a quarter of its channels."""
    with NARROW_VIT:
        yield


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Four videos that grow brighter from left to right; a mirrored frame shows it by every patch."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(4):
        folder = root / f"video{number}"
        folder.mkdir()
        for i in range(3):
            ramp = np.broadcast_to(np.linspace(20 + 30 * number, 200 + 10 * i, 56)[None, :, None], (40, 56, 3))
            Image.fromarray(ramp.astype(np.uint8)).save(folder / f"{i}.png")
    return root


def pretrain(monkeypatch, folder, videos, *arguments):
    """Run the script in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["train_dropmae.py", "--videos", str(videos), *map(str, [*SMALL, *arguments])])
    train_dropmae.main()


def trainer(**options):
    torch.manual_seed(0)
    return Pretrainer(DropMAE(**NETWORK), CPU, **{"lr": 1e-3, "iterations": 40, **options})


def batch(seed=0, size=4):
    return {"frames": torch.randn(size, 2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))}


def test_a_resumed_run_ends_in_the_same_bits_and_the_result_starts_a_dropseg(monkeypatch, tmp_path, videos, capsys):
    pretrain(
        monkeypatch, tmp_path, videos, "-i", 6, "--checkpoint_interval", 4, "--id", "whole", "--picture_interval", 3
    )
    output = capsys.readouterr().out
    assert "8 pairs of frames, batch 4 (1 processes x 1 parts x 4), 2 iterations per epoch, 3 epochs" in output
    assert list(losses_of(output)) == [1, 2, 3, 4, 5, 6]
    before = only(tmp_path, "saves/*_whole/*_previous.pth")
    assert load_checkpoint(before).iteration == 4
    pretrain(monkeypatch, tmp_path, videos, "-i", 6, "--id", "again", "--load_model", before)
    whole, again = (load_checkpoint(only(tmp_path, f"saves/*_{name}/*_checkpoint.pth")) for name in ("whole", "again"))
    assert whole.iteration == again.iteration == 6
    assert whole.options.items() >= NETWORK.items()
    assert [key for key in whole.network if not torch.equal(whole.network[key], again.network[key])] == []
    for number, entries in whole.optimizer["state"].items():
        assert all(torch.equal(value, again.optimizer["state"][number][name]) for name, value in entries.items())
    assert whole.scheduler == again.scheduler

    events = EventAccumulator(str(only(tmp_path, "log/*_whole"))).Reload()
    assert [event.step for event in events.Images("train/hidden_completed_true")] == [3, 6]
    assert [event.step for event in events.Scalars("train/total_loss")] == [1, 2, 3, 4, 5, 6]

    weights = only(tmp_path, "saves/*_whole/*_6.pth")
    network = DropSeg(backbone="vit_ti16", image_size=32)
    assert len(load_mae_encoder(network, weights).taken) == 151
    source = restore_network(read_weights(weights), weights)
    assert torch.equal(network.query_encoder.blocks[11].contract.weight, source.encoder.blocks[11].contract.weight)


def test_resume_auto_goes_on_and_refuses_another_run(monkeypatch, tmp_path, videos, capsys):
    arguments = ["-i", 3, "--id", "run", "--resume", "auto"]
    pretrain(monkeypatch, tmp_path, videos, *arguments)
    pretrain(monkeypatch, tmp_path, videos, *arguments)
    assert "iterations 3 to 3" in capsys.readouterr().out
    for name, value in (("--frame_gap", 2), ("--attention_dropout", 0.5), ("--decoder_width", 64)):
        with pytest.raises(InputError, match=f"{name} is {value} but"):
            pretrain(monkeypatch, tmp_path, videos, *arguments, name, value)


def test_a_run_may_start_from_other_weights_and_take_listed_videos(monkeypatch, tmp_path, videos, capsys):
    pretrain(monkeypatch, tmp_path, videos, "-i", 1, "--id", "first")
    (tmp_path / "list.txt").write_text("video1\nvideo2\n")
    weights = only(tmp_path, "saves/*_first/*_1.pth")
    more = ["--load_network", weights, "--video_list", "list.txt", "--id", "second", "--warmup", 1]
    pretrain(monkeypatch, tmp_path, videos, "-i", 1, *more)
    assert "4 pairs of frames" in capsys.readouterr().out
    first, second = (
        load_checkpoint(only(tmp_path, f"saves/*_{name}/*_checkpoint.pth")) for name in ("first", "second")
    )
    assert all(torch.equal(first.network[key], second.network[key]) for key in first.network)


def test_two_processes_share_a_batch(tmp_path, videos):
    arguments = [*SMALL, "-b", 2, "-i", 2, "--id", "run", "--videos", videos]
    output = complete(start_all(2, train_dropmae.main, tmp_path, arguments, ["tests.helpers.weight_files:NARROW_VIT"]))
    assert "batch 4 (2 processes x 1 parts x 2)" in output
    assert load_checkpoint(only(tmp_path, "saves/*_run/*_checkpoint.pth")).iteration == 2


def test_pretraining_on_videos_lowers_the_loss(videos):
    torch.manual_seed(0)
    learner = Pretrainer(DropMAE(**{**NETWORK, "image_size": 48}), CPU, lr=2e-3, warmup=5, iterations=30)
    data = FramePairs(find_videos([videos]), image_size=48)
    losses = []
    for i in range(30):
        torch.manual_seed(i)
        pairs = [{**data[number], "rejected": []} for number in range(4)]
        losses.append(learner.step([pairs_to_device(collate_pairs(pairs), CPU)])[0]["total_loss"].item())
    assert np.mean(losses[:3]) > 0.9
    assert np.mean(losses[-5:]) < 0.7


def test_a_batch_in_parts_averages_its_gradients():
    learner = trainer()
    torch.manual_seed(7)
    loss = learner.step([batch(0), batch(1)])[0]["total_loss"]
    gradients = [p.grad.clone() for p in learner.network.parameters()]
    other = trainer()
    torch.manual_seed(7)
    losses = [other.network(batch(seed)["frames"]).loss for seed in (0, 1)]
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    expected = torch.autograd.grad(sum(losses) / 2, list(other.network.parameters()))
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_loss_that_is_not_finite_changes_nothing_but_the_iteration():
    learner = trainer()
    learner.step([batch()])
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    spoilt = batch(1)
    spoilt["frames"][:] = torch.nan
    assert not learner.step([spoilt])[2]
    assert all(torch.equal(value, before[name]) for name, value in learner.network.state_dict().items())
    assert learner.iteration == 2
    assert learner.step([batch(2)])[2]


def test_biases_and_norms_do_not_decay():
    learner = trainer(lr=0.1, weight_decay=0.5)
    decay = {id(p): group["weight_decay"] for group in learner.optimizer.param_groups for p in group["params"]}
    named = {name: decay[id(p)] for name, p in learner.network.named_parameters()}
    assert {name for name, value in named.items() if value == 0} == {
        name for name in named if name.endswith(".bias") or ".norm" in name
    }
    assert set(named.values()) == {0.0, 0.5}


def test_the_rate_rises_and_falls():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    schedule, rates = half_cosine(optimizer, 4, 12), []
    for _ in range(13):
        rates += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert [rates[i] for i in (0, 1, 4, 8, 12)] == pytest.approx([0, 0.5, 2, 1, 0])
    learner = trainer(lr=2.0, warmup=4, iterations=12)
    assert learner.rate == 0
    learner.step([batch()])
    assert learner.rate == pytest.approx(0.5)


def arguments(*words):
    return parse_arguments(["--videos", "v", *map(str, words)])


def filled(samples, world, *words):
    args = arguments(*words)
    fill_schedule(args, world, samples)
    return args


def test_defaults_are_the_published_ones():
    args = filled(240_000, 64)
    assert (args.total_batch, args.epochs, args.lr) == (4096, 1600, pytest.approx(2.4e-3))
    assert (args.iterations, args.warmup) == (1600 * 58, 40 * 58)
    assert (args.frame_gap, args.mask_ratio, args.attention_dropout, args.weight_decay) == (50, 0.75, 0.1, 0.05)


def test_a_short_run_rises_for_a_tenth_of_it():
    assert filled(400, 1, "-b", 4, "-i", 50).warmup == 5
    assert filled(400, 1, "-b", 4, "-i", 500, "--warmup", 1.5).warmup == 150


def test_a_batch_that_the_data_cannot_fill_is_refused():
    with pytest.raises(InputError, match="30 pairs, too few for a batch of 64; lower -b or raise --samples_per_video"):
        filled(30, 1)
    with pytest.raises(InputError, match="cannot be shared by 2 processes in 3 parts"):
        filled(300, 2, "--total_batch", 8, "--grad_accum", 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image_size", 100], "multiple of 16"),
        (["--frame_gap", 1], "--frame_gap: 1 is not a whole number from 2 to"),
        (["--mask_ratio", 1], "--mask_ratio"),
        (["--attention_dropout", 1], "--attention_dropout"),
        (["--decoder_width", 100, "--decoder_heads", 8], "multiple of 4 and of --decoder_heads"),
        (["--batch_size", 0], "--batch_size: 0 is not a whole number from 1 to"),
        (["--lr", 0], "--lr: 0 is not a number above 0"),
        (["--resume", "auto"], "needs the --id"),
        (["--id", "a", "--resume", "auto", "--load_model", "x.pth"], "leave out --load_model"),
        (["-i", 3, "--epochs", 2], "not allowed with"),
    ],
)
def test_wrong_arguments_are_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        arguments(*words)
    assert message in capsys.readouterr().err


def test_a_checkpoint_that_does_not_tell_an_argument_is_refused():
    args = argparse.Namespace(**dict.fromkeys(SAME_ON_RESUME, 1))
    recorded = dict.fromkeys(SAME_ON_RESUME, 1)
    check_same(args, recorded, SAME_ON_RESUME, Path("run.pth"))
    del recorded["mask_ratio"]
    with pytest.raises(InputError, match=r"--mask_ratio is 1 but run\.pth belongs to a run with None"):
        check_same(args, recorded, SAME_ON_RESUME, Path("run.pth"))
