"""Training runs of train_droptrack.py."""

import random
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train_droptrack
from model.droptrack import DropTrack
from model.weights.checkpoint import load_checkpoint, load_tracker
from tests.helpers.droptrack_networks import SMALL, SMALL_SIZE
from tests.helpers.pictures import boxes, write_pair
from tests.helpers.training_runs import losses_of, only
from tests.helpers.warm_processes import complete, start_all
from training import box_arguments
from training.box_arguments import PRESETS, fill_schedule, parse_arguments
from training.box_trainer import BoxTrainer
from util.errors import InputError

pytestmark = pytest.mark.slow

NETWORK = ["--backbone", "vit_fixture", "--template_size", 32, "--search_size", 64, "--head_channels", 16]
NETWORK += ["--elimination_blocks", 1, 2, 3, "--no_pretrained_backbone"]
SHORT = ["-b", 4, "--samples_per_epoch", 8, "--epochs", 3, "--keep_start", 1, "--keep_warmup", 1, "--least_frames", 4]
SHORT += ["--least_visible", 2, "--num_workers", 0, "--device", "cpu", "--log_interval", 1, "--val_datasets"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A video of two objects and a picture of one."""
    root = tmp_path_factory.mktemp("data")
    for i in range(4):
        name = f"pair/{i:05}"
        write_pair(root / f"masks/JPEGImages/{name}.jpg", root / f"masks/Annotations/{name}.png", boxes(1, 2))
    write_pair(root / "static/ecssd/a.jpg", root / "static/ecssd/a.png", boxes(255))
    return root


@pytest.fixture(scope="module", autouse=True)
def small_backbone():
    """The commands know the small transformer, and add up in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with SMALL_SIZE, pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_arguments, "BACKBONES", (*box_arguments.BACKBONES, SMALL["backbone"]))
        yield
    torch.set_num_threads(threads)


def train(monkeypatch, folder, data, *arguments):
    """Run the script in a folder."""
    monkeypatch.chdir(folder)
    words = ["--data", data, "--datasets", "MASKS", "STATIC", *NETWORK, *SHORT, *arguments]
    monkeypatch.setattr(sys, "argv", ["train_droptrack.py", *map(str, words)])
    train_droptrack.main()


def final(folder, name="run"):
    return load_checkpoint(only(folder, f"saves/*_{name}/*_checkpoint.pth"))


def assert_equal_states(first, second):
    assert first.iteration == second.iteration
    assert [key for key in first.network if not torch.equal(first.network[key], second.network[key])] == []
    for number, entries in first.optimizer["state"].items():
        assert all(torch.equal(value, second.optimizer["state"][number][name]) for name, value in entries.items())
    assert first.scheduler == second.scheduler


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        more = ["--picture_interval", 3, "--val_epoch_interval", 2, "--val_samples", 3, "--val_datasets", "STATIC"]
        train(patch, folder, data, "--id", "run", "--save_last", 2, *more)
    return folder


def test_a_run_writes_losses_pictures_validation_and_weights(uninterrupted):
    folder = uninterrupted
    events = EventAccumulator(str(only(folder, "log/*_run"))).Reload()
    for name in ("total_loss", "giou_loss", "l1_loss", "centre_loss", "iou", "keep_rate", "lr"):
        assert [event.step for event in events.Scalars(f"train/{name}")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Scalars("train/validation_iou")] == [4, 6]
    pictures = events.Images("train/template_search_score")
    assert [(picture.step, picture.width) for picture in pictures] == [(3, 3 * 66 + 2), (6, 3 * 66 + 2)]
    assert sorted(path.name.rpartition("_")[2] for path in folder.glob("saves/*_run/*_[0-9].pth")) == ["4.pth", "6.pth"]
    network = load_tracker(only(folder, "saves/*_run/*_best.pth"), torch.device("cpu"))
    assert isinstance(network, DropTrack) and network.search_size == 64


def test_a_run_that_was_killed_three_times_ends_in_the_same_weights(data, uninterrupted, tmp_path, monkeypatch, capsys):
    class Killed(BaseException):
        pass

    step = BoxTrainer.step
    left = random.Random(5).sample(range(1, 7), 3)

    def step_until_killed(trainer, batches):
        if trainer.iteration + 1 in left:
            left.remove(trainer.iteration + 1)
            raise Killed
        return step(trainer, batches)

    monkeypatch.setattr(BoxTrainer, "step", step_until_killed)
    arguments = ["--id", "run", "--resume", "auto", "--checkpoint_interval", 2]
    for _ in range(3):
        with pytest.raises(Killed):
            train(monkeypatch, tmp_path, data, *arguments)
    train(monkeypatch, tmp_path, data, *arguments)
    assert not left
    assert max(losses_of(capsys.readouterr().out)) == 6
    folders = {path.parent for path in tmp_path.glob("saves/*/*_checkpoint.pth")}
    (last,) = [path for folder in folders for path in folder.glob("*_checkpoint.pth")]
    assert_equal_states(load_checkpoint(last), final(uninterrupted))


def test_another_run_is_refused(data, uninterrupted, tmp_path, monkeypatch):
    path = only(uninterrupted, "saves/*_run/*_checkpoint.pth")
    for name, value in (("--lr", 1e-3), ("--max_gap", 9), ("--grad_clip", 0)):
        with pytest.raises(InputError, match=f"{name} is .* but"):
            train(monkeypatch, tmp_path, data, "--load_model", path, name, value)
    moved = [f"MASKS={data}/masks", f"STATIC={data}/static"]
    train(monkeypatch, tmp_path, data, "--load_model", path, "--datasets", *moved)  # which may lie elsewhere


def test_two_processes_share_a_batch_and_one_folder(data, tmp_path):
    words = [*NETWORK[2:], "--backbone", "vit_ti16", *SHORT, "-b", 2, "--epochs", 1, "--datasets", "MASKS", "STATIC"]
    words += ["--data", data, "--id", "run", "--save_dir", "out", "--val_datasets", "STATIC", "--val_samples", 3]
    output = complete(start_all(2, train_droptrack.main, tmp_path, words, ["tests.helpers.weight_files:NARROW_VIT"]))
    assert "batch 4 (2 processes x 1 parts x 2)" in output
    assert "validation after iteration 2: iou 0." in output
    assert load_checkpoint(only(tmp_path, "out/saves/*_run/*_checkpoint.pth")).iteration == 2


def test_a_run_may_begin_with_a_tracker_of_other_sizes(data, uninterrupted, tmp_path, monkeypatch, capsys):
    weights = only(uninterrupted, "saves/*_run/*_6.pth")
    words = [word for word in NETWORK if word != "--no_pretrained_backbone"]
    monkeypatch.chdir(tmp_path)
    words = ["--data", data, "--datasets", "MASKS", *words, *SHORT, "--search_size", 96, "--load_network", weights]
    monkeypatch.setattr(sys, "argv", ["train_droptrack.py", *map(str, [*words, "--epochs", 1])])
    train_droptrack.main()
    assert "all of a tracker" in capsys.readouterr().out


def test_videos_may_be_listed(data, tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("pair\n")
    train(monkeypatch, tmp_path, data, "--lists", "MASKS=list.txt", "--epochs", 1)
    (tmp_path / "list.txt").write_text("other\n")
    with pytest.raises(InputError, match="holds no wanted video"):
        train(monkeypatch, tmp_path, data, "--lists", "MASKS=list.txt")
    with pytest.raises(InputError, match=r"list of videos none\.txt does not exist; check --lists"):
        train(monkeypatch, tmp_path, data, "--lists", "MASKS=none.txt")


def arguments(*words):
    return parse_arguments(["--no_pretrained_backbone", *map(str, words)])


def test_presets_hold_the_published_values():
    args = arguments()
    assert [str(entry) for entry in args.datasets] == ["LASOT", "GOT10K_vottrain", "COCO17", "TRACKINGNET"]
    assert (args.epochs, args.lr_drop_epochs, args.keep_warmup, args.ratio) == (300, [240], 80, [1, 1, 1, 1])
    args = arguments("--config", "vitb_384_mae_ce_32x4_got10k_ep100", "--keep_warmup", 7)
    assert [str(entry) for entry in args.datasets] == ["GOT10K_train_full"]
    assert (args.epochs, args.lr_drop_epochs, args.keep_warmup) == (100, [80], 7)
    assert len(PRESETS) == 2


def test_every_block_that_eliminates_keeps_the_published_share_unless_told():
    assert arguments().keep_rates == [0.7, 0.7, 0.7]
    assert arguments("--elimination_blocks", 1, 2).keep_rates == [0.7, 0.7]
    assert arguments("--elimination_blocks").keep_rates == []


def test_a_batch_larger_than_an_epoch_is_refused():
    with pytest.raises(InputError, match="--samples_per_epoch 9 are too few for a batch of 32"):
        fill_schedule(arguments("--samples_per_epoch", 9), 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--search_size", 100], "multiples of 16"),
        (["--keep_rates", 0.7], "--keep_rates needs a rate for each of --elimination_blocks"),
        (["--keep_rates", 0.7, 0.7, 0], "0 is not a number above 0"),
        (["--datasets", "COCO", "--ratio", 1], "COCO is none of LASOT"),
        (["--datasets", "COCO17", "LASOT", "--ratio", 1], "--ratio needs a number for each of --datasets"),
        (["--ratio", 0, 0, 0, 0], "--ratio must be above 0 for one of them"),
        (["--lists", "TNL2K=a.txt"], "--lists TNL2K=a.txt is of none of --datasets"),
        (["--lists", "LASOT"], "--lists LASOT names no file; write NAME=FILE"),
        (["--backbone_weights", "a.pth"], "give one of them"),
        (["--drop_path", 1], "--drop_path must be less than 1"),
        (["--resume", "auto"], "--resume needs the --id"),
    ],
)
def test_wrong_arguments_are_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        arguments(*words)
    assert message in capsys.readouterr().err
