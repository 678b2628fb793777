"""tracking/train.py: the published options, and what becomes of them."""

import sys
from pathlib import Path

import pytest

import train_droptrack
from tests.helpers.failures import failure_line
from tracking import paths, train
from training.box_arguments import parse_arguments
from util.errors import InputError

CONFIG = "vitb_384_mae_ce_32x4_got10k_ep100"
PUBLISHED = ["--script", "ostrack", "--config", CONFIG, "--save_dir", "output", "--use_lmdb", "0", "--use_wandb", "0"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "LOCAL", tmp_path / "local.json")
    monkeypatch.setattr(train, "read_paths", lambda: paths.read_paths(tmp_path / "local.json"))
    weights = tmp_path / "pretrained_models/DropMAE.pth"
    weights.parent.mkdir()
    weights.touch()
    return tmp_path


def test_the_published_command_starts_a_launcher_with_arguments_that_are_understood():
    launcher, words = train.command_of([*PUBLISHED, "--mode", "multiple", "--nproc_per_node", "4"])
    assert launcher == ["-m", "torch.distributed.run", "--nproc_per_node=4", "--standalone"]
    args = parse_arguments(words)
    assert (args.config, args.id, args.resume, args.save_dir) == (CONFIG, CONFIG, "auto", Path("output"))
    assert args.backbone_weights == Path("pretrained_models/DropMAE.pth") and args.data == Path("data")


def test_several_machines_meet_at_one_place():
    more = ["--mode", "multi_node", "--nproc_per_node", "8", "--rank", "1", "--world-size", "2", "--ip", "10.0.0.1"]
    launcher, _ = train.command_of([*PUBLISHED, *more])
    assert launcher[3:] == ["--nnodes=2", "--node_rank=1", "--master_addr=10.0.0.1", "--master_port=20000"]


def test_paths_that_were_written_down_are_used(folder):
    told = paths.Paths(folder, folder / "sets", folder / "results")
    paths.write_paths(told, folder / "local.json")
    assert paths.read_paths(folder / "local.json") == told
    words = [*PUBLISHED[:4], "--mode", "single", "--epochs", "3", "--no_pretrained_backbone"]
    args = parse_arguments(train.command_of(words)[1])
    assert (args.data, args.save_dir, args.epochs) == (folder / "sets", folder / "results", 3)
    (folder / "local.json").write_text("[1]")
    with pytest.raises(InputError, match=r"local\.json is damaged; run tracking/create_default_local_file\.py again"):
        train.command_of(words)


def test_options_without_effect_are_named(capsys):
    train.command_of([*PUBLISHED, "--mode", "single", "--config_prv", "baseline", "--script_prv", "ostrack"])
    assert capsys.readouterr().out == "without effect: --script_prv, --config_prv\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--use_lmdb", "1"], "--use_lmdb 1 is not offered: frames are read from folders"),
        (["--use_wandb", "1"], "--use_wandb 1 is not offered: reports are written to TensorBoard"),
        (["--distill", "1"], "--distill 1 is not offered"),
        (["--mode", "multiple"], "--mode multiple needs --nproc_per_node"),
    ],
)
def test_what_is_not_offered_is_refused_with_its_reason(words, message):
    with pytest.raises(InputError, match=message):
        train.command_of([*PUBLISHED, *words])


def test_weights_to_begin_with_are_never_guessed(folder):
    (folder / "pretrained_models/other.pth").touch()
    with pytest.raises(InputError, match=r"pretrained_models holds 2 files of weights; .* --backbone_weights FILE"):
        train.command_of([*PUBLISHED, "--mode", "single"])
    words = train.command_of([*PUBLISHED, "--mode", "single", "--backbone_weights", "a.pth"])[1]
    assert parse_arguments(words).backbone_weights == Path("a.pth")


def test_one_process_trains_here(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.py", *PUBLISHED, "--mode", "single", "--device", "cpu"])
    line = failure_line(capsys, train.main)
    assert "data/got10k does not exist" in line
    assert sys.argv[0].endswith("train_droptrack.py")
    assert train_droptrack.__name__ in sys.modules
    assert not (folder / "output").exists()
