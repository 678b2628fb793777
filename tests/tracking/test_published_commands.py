"""The published test commands from a shell history, one after the other, and what they refuse."""

import zipfile

import pytest
import torch

from lib.test.utils import transform_got10k
from model.droptrack import DropTrack
from model.weights.checkpoint import Checkpoint, save_checkpoint, save_published
from tests.helpers.box_runs import LASOT_NAMES, make_trees
from tests.helpers.failures import failure_line
from tests.helpers.result_files import files_below
from tests.helpers.weight_files import NARROW_VIT
from tracking import analysis_results, create_default_local_file, paths, results, test

CONFIG = "vitb_384_mae_ce_32x4_got10k_ep100"
FOLDER = f"test/tracking_results/ostrack/{CONFIG}"


@pytest.fixture(autouse=True, scope="module")
def narrow():
    """Trackers that need little time and room."""
    with NARROW_VIT:
        yield


@pytest.fixture(scope="module")
def network(narrow):
    torch.manual_seed(0)
    return DropTrack(backbone="vit_ti16", template_size=32, search_size=64, head_channels=16).eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_trees(tmp_path_factory.mktemp("data"))


@pytest.fixture
def save_dir(tmp_path, data, network, monkeypatch):
    """The folder of results after create_default_local_file.py, with weights of training by the published code."""
    monkeypatch.setattr(paths, "LOCAL", tmp_path / "local.json")
    for module in (test, analysis_results, transform_got10k):
        monkeypatch.setattr(module, "read_paths", lambda: paths.read_paths(tmp_path / "local.json"))
    words = ["--workspace_dir", tmp_path, "--data_dir", data, "--save_dir", tmp_path / "output"]
    create_default_local_file.main([*map(str, words)])
    weights = tmp_path / f"output/checkpoints/train/ostrack/{CONFIG}/OSTrack_ep0100.pth.tar"
    weights.parent.mkdir(parents=True)
    save_published(weights, network)
    return tmp_path / "output"


def track(*words):
    test.main(["ostrack", CONFIG, *map(str, words), "--device", "cpu"])


def test_lasot_is_tracked_and_analysed(save_dir, capsys):
    track("--dataset", "lasot", "--threads", 0, "--num_gpus", 4)
    assert files_below(save_dir / FOLDER) == sorted(f"{n}{end}.txt" for n in LASOT_NAMES for end in ("", "_time"))
    assert (save_dir / FOLDER / "made-1.txt").read_text().splitlines()[0] == "8\t16\t16\t16"
    capsys.readouterr()
    analysis_results.main(["--config", CONFIG, "--dataset_name", "lasot"])
    assert CONFIG in capsys.readouterr().out
    assert (save_dir / "test/result_plots/lasot/boxes-lasot.png").is_file()
    track("--dataset", "lasot")
    assert "3 finished videos skipped" in capsys.readouterr().out


def test_got10k_is_tracked_and_packed_and_nothing_is_lost(save_dir):
    track("--dataset_name", "got10k_test", "--runid", 7)
    folder = save_dir / f"{FOLDER}_007"
    before = files_below(folder)
    transform_got10k.main(["--tracker_name", "ostrack", "--cfg_name", f"{CONFIG}_007"])
    names = [f"GOT-10k_Test_{number:06}" for number in (1, 2, 3)]
    assert before == sorted(f"got10k/{name}{end}.txt" for name in names for end in ("", "_time"))
    with zipfile.ZipFile(folder / "got10k_submit.zip") as packed:
        assert packed.namelist() == [f"{name}/{name}_{end}.txt" for name in names for end in ("001", "time")]
        assert packed.read(f"{names[0]}/{names[0]}_001.txt").decode().splitlines()[0] == "8,16,16,16"
    assert files_below(folder) == sorted([*before, "got10k_submit.zip"])


@pytest.mark.parametrize(("sequence", "name"), [("1", "made-2"), ("made-3", "made-3")])
def test_one_sequence(save_dir, sequence, name):
    track("--dataset", "lasot", "--sequence", sequence, "--debug", 1)
    assert files_below(save_dir / FOLDER) == [f"{name}.txt", f"{name}_time.txt"]
    assert len(list(save_dir.rglob("*.mp4"))) == 1


def test_several_processes_are_launched_with_their_gpus(save_dir, monkeypatch):
    launched = []

    def run(command, env, check):
        launched.append((command, env))
        return type("Done", (), {"returncode": 3})()

    monkeypatch.setattr(test.subprocess, "run", run)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(SystemExit) as stopped:
        track("--dataset", "lasot", "--threads", 4, "--num_gpus", 2)
    ((command, environment),) = launched
    assert stopped.value.code == 3 and "--nproc_per_node=4" in command and "lasot" in command
    assert environment["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_the_newest_weights_are_taken_and_released_ones_last(save_dir, network):
    where = paths.read_paths(paths.LOCAL)
    published = save_dir / f"checkpoints/train/ostrack/{CONFIG}/OSTrack_ep0100.pth.tar"
    assert results.newest_weights(where, CONFIG) == published
    run = save_dir / f"saves/Nov27_10.00.00_{CONFIG}"
    run.mkdir(parents=True)
    for ending in ("checkpoint", "100", "200"):
        path = run / f"{run.name}_{ending}.pth"
        save_checkpoint(path, Checkpoint(network.arch, network.options, network.state_dict()))
    assert results.newest_weights(where, CONFIG).name.endswith("_200.pth")
    (save_dir / "OSTrack_alldata_300E.pth.tar").touch()
    assert results.newest_weights(where, "vitb_384_mae_ce_32x4_ep300").name == "OSTrack_alldata_300E.pth.tar"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dataset", "vot22"), "VOT is run by its own toolkit"),
        (("--dataset", "lasot", "--sequence", "9"), "numbers go from 0 to 2"),
        (("--dataset", "tnl2k"), "tnl2k does not exist"),
        (("--dataset", "lasot", "--model", "none.pth"), "none.pth does not exist"),
    ],
)
def test_what_cannot_be_is_one_line(save_dir, capsys, words, message):
    assert message in failure_line(capsys, lambda: track(*words))


def test_no_weights_and_no_results_are_named(save_dir, capsys):
    line = failure_line(capsys, lambda: test.main(["ostrack", "mine", "--dataset", "lasot"]))
    assert "there are no weights of mine" in line and "OSTrack_alldata_300E" in line
    assert "has no results" in failure_line(capsys, lambda: analysis_results.main([]))
    words = ["--tracker_name", "ostrack", "--cfg_name", "mine"]
    assert "there are no results" in failure_line(capsys, lambda: transform_got10k.main(words))
