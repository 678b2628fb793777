"""MOSE, OVIS and BURST as training data: from their published layouts to a run that is interrupted and goes on."""

import re
import sys
from pathlib import Path

import pytest
import torch

from datasets.train.clip_sampler import SampleRequest
from datasets.train.sets import MEGA
from datasets.train.stages import ClipOptions, stage_data
from datasets.train.vos_dataset import VOSDataset
from model.weights.checkpoint import load_checkpoint
from scripts import check_data, make_synthetic, masks_of_json
from tests.helpers.light_network import KNOWN
from tests.helpers.training_runs import LIGHT, losses_of, only, train_here, write_training_data
from training.arguments import STAGES, parse_arguments
from util.errors import InputError


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Roots of the five sets of the stage; the masks of OVIS and BURST are made of their JSON."""
    root = tmp_path_factory.mktemp("today")
    for layout in ("mose", "ovis", "burst", "youtube"):
        val = [] if layout == "ovis" else ["--val", "0"]
        with pytest.MonkeyPatch.context() as patch:
            options = [
                "--videos",
                "1",
                "--frames",
                "16",
                "--size",
                "40",
                "56",
                "--clutter",
                "0",
                "--workers",
                "1",
                *val,
            ]
            patch.setattr(sys, "argv", ["x", "--output", str(root / layout), "--layout", layout, *options])
            make_synthetic.main()
    for layout, json, frames in (
        ("ovis", "annotations_train.json", "train"),
        ("burst", "annotations/train/train.json", "frames/train"),
    ):
        options = ["--json", root / layout / json, "--frames", root / layout / frames]
        masks_of_json.main([*map(str, options), "--output", str(root / layout / "train-vos"), "--annotated"])
    write_training_data(root / "data")
    places = {"davis": "data/DAVIS", "yv": "youtube", "mose": "mose", "ovis": "ovis", "burst": "burst"}
    return {f"{name}_root": root / place for name, place in places.items()}


def names(data):
    return [part.dataset.frames_root.parent for part in data.parts]


def test_stage_two_takes_them_only_where_they_are_given(roots):
    two = {name: roots[name] for name in ("davis_root", "yv_root")}
    assert len(stage_data(2, two).parts) == 2
    assert len(stage_data(2, {**two, "mose_root": roots["mose_root"]}).parts) == 3


def test_their_own_stage_takes_all_five_and_each_can_be_left_out(roots):
    data = stage_data(MEGA, roots, ClipOptions(image_size=(32, 32)))
    assert len(data.parts) == 5
    steps = [part.dataset.annotation_step for part in data.parts if isinstance(part.dataset, VOSDataset)]
    assert steps == [1, 5, 5, 3, 5]
    for index in range(4, len(data)):  # the last of DAVIS, which counts five times, and one of each other
        sample = data[SampleRequest(index, 0, 0, 100)]
        assert sample["frames"].shape == (3, 3, 32, 32) and not sample["rejected"]
    assert len(stage_data(MEGA, {**roots, "ovis_root": Path("none")}).parts) == 4


def test_every_published_network_has_the_stage():
    assert {arch: stages[MEGA].iterations for arch, stages in STAGES.items()} == dict.fromkeys(STAGES, 175_000)
    args = parse_arguments(["--stage", str(MEGA)])
    assert (args.mose_root, args.steps) == (Path("data/MOSE"), [140_000, 160_000])
    assert parse_arguments(["--stage", "2"]).mose_root == Path("none")


@KNOWN
def test_a_run_on_a_mix_with_mose_is_resumed_to_the_same_weights(roots, tmp_path, monkeypatch, capsys):
    options = [f"--{name}={root}" for name, root in roots.items() if name in ("davis_root", "mose_root")]
    arguments = [*LIGHT, "--stage", "2", *options, "--yv_root", "none", "-i", "4", "--checkpoint_interval", "2"]
    train_here(monkeypatch, tmp_path, *arguments, "--id", "run")
    capsys.readouterr()
    middle = only(tmp_path, "saves/*_run/*_previous.pth")
    train_here(monkeypatch, tmp_path, *arguments, "--id", "again", "--load_model", middle)
    assert list(losses_of(capsys.readouterr().out)) == [3, 4]
    whole, again = (load_checkpoint(only(tmp_path, f"saves/*_{run}/*_checkpoint.pth")) for run in ("run", "again"))
    assert all(torch.equal(value, again.network[name]) for name, value in whole.network.items())


def test_check_data_looks_over_them(roots, tmp_path, monkeypatch, capsys):
    options = [f"--{name}={roots[name]}" for name in ("mose_root", "ovis_root", "burst_root")]
    rest = [f"--{name}=none" for name in ("static_root", "bl_root", "davis_root", "yv_root")]
    monkeypatch.setattr(sys, "argv", ["check_data.py", *options, *rest, "--workers=1"])
    check_data.main()
    text = capsys.readouterr().out
    counts = {"MOSE": 16, "OVIS": 16, "BURST": 4}  # BURST has masks of each fifth frame
    for name, frames in counts.items():
        assert re.search(rf"^{name} +1 videos +{frames} +{frames} ", text, re.MULTILINE), text


@pytest.mark.parametrize("name", ["MOSE", "OVIS", "BURST"])
def test_a_set_that_is_not_there_is_named_with_the_remedy(roots, tmp_path, name):
    option = f"{name.lower()}_root"
    with pytest.raises(InputError, match=rf"{name} root .* --{option}"):
        stage_data(MEGA, {**roots, option: tmp_path})


def test_half_a_set_is_refused(tmp_path):
    (tmp_path / "train/JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match=r"MOSE: .* no Annotations"):
        stage_data(2, {"davis_root": Path("none"), "yv_root": Path("none"), "mose_root": tmp_path})


def convert(folder, content):
    (folder / "masks.json").write_text(content)
    options = ["--json", folder / "masks.json", "--frames", folder, "--output", folder / "out"]
    masks_of_json.main([*map(str, options)])


@pytest.mark.parametrize(
    "content", ["{}", '{"sequences": [{}]}', '{"videos": [], "annotations": [{"video_id": 3}]}', "[]"]
)
def test_json_of_another_kind_is_refused(tmp_path, content):
    with pytest.raises(InputError, match=r"masks\.json"):
        convert(tmp_path, content)


def test_json_whose_frames_are_missing_is_refused_and_leaves_nothing(tmp_path):
    video = '{"id": 1, "height": 4, "width": 4, "length": 1, "file_names": ["a/1.jpg"]}'
    with pytest.raises(InputError, match=r"a/1\.jpg of video a is missing"):
        convert(tmp_path, f'{{"videos": [{video}], "annotations": []}}')
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and not path.name.startswith(".")]
