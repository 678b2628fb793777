"""A network of one's own, as docs/extending.md has it: registered, trained, streamed, saved."""

import re
import shutil
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from datasets.train import sets, stages
from datasets.train.sets import TrainingSet, VideoClips, davis_skips
from datasets.train.vos_dataset import VOSDataset
from examples.tiny_network import TinyNetwork
from inference.chunks import plan_chunks
from inference_core import InferenceCore
from inference_core_yv import InferenceCoreYV
from model import NETWORKS, build_network, fitting_options
from model.memory import options as memory_options
from model.memory.options import YOUTUBE_MEMORY, MemoryOptions
from model.memory.read import MemoryReader, stack_entries
from model.weights.checkpoint import Checkpoint, load_network, save_checkpoint
from predictor import VideoPredictor
from scripts import check_data
from tests.helpers.streams import HEIGHT, WIDTH, assert_distributions, assert_same, clip
from tests.helpers.training_runs import SMALL, losses_of, only, write_training_data
from training import arguments as training_arguments
from training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The line that makes a network known."""
    monkeypatch.setitem(NETWORKS, "tiny", TinyNetwork)


@pytest.fixture(params=[False, True], ids=["plain", "quality head"])
def network(request):
    torch.manual_seed(0)
    return build_network("tiny", quality_head=request.param).eval()


def batch(objects):
    frames, masks = clip(3)
    masks = masks[:, :objects].unsqueeze(0)
    labels = (masks * torch.arange(1, objects + 1).view(1, 1, -1, 1, 1)).amax(2).long()
    return {"frames": frames.unsqueeze(0), "masks": masks, "labels": labels, "selector": torch.ones(1, objects)}


def test_shapes_are_those_of_the_contract(network):
    frames, masks = clip(2)
    query = network.encode_query(frames, masks[:, :1])
    cells = (HEIGHT // 16, WIDTH // 16)
    assert query.key.shape == (2, network.options["key_dim"], *cells)
    assert query.value.shape == (2, network.options["value_dim"], *cells)
    entry = network.encode_memory(frames, masks)
    positions = cells[0] * cells[1]
    assert entry.key.shape == (2, 2, positions, network.options["key_dim"])
    assert entry.value.shape == (2, 2, positions, network.options["value_dim"])
    assert entry.quality is None if network.quality_scorer is None else entry.quality.shape == (2, 2)
    reader = MemoryReader(top_k=network.top_k, similarity=network.similarity)
    assert network.segment(query, stack_entries([entry]), reader).shape == (2, 2, HEIGHT, WIDTH)


def test_a_frame_that_was_encoded_already_gives_the_same_memory(network):
    frames, masks = clip(1)
    fresh = network.encode_memory(frames, masks)
    shared = network.encode_memory(frames, masks, network.encode_query(frames, masks[:, :1]))
    assert_same(fresh[:2], shared[:2])


@pytest.mark.parametrize("objects", [1, 2])
def test_a_training_step_changes_every_weight(network, objects):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    losses, output, updated = Trainer(network, CPU, lr=1e-3).step([batch(objects)])
    assert updated
    assert losses["total_loss"].isfinite()
    assert (output.quality is None) == (network.quality_scorer is None)
    kept = [name for name, value in network.state_dict().items() if torch.equal(before[name], value)]
    assert kept == []


def test_steps_on_one_clip_lower_its_loss():
    torch.manual_seed(0)
    trainer = Trainer(build_network("tiny"), CPU, lr=3e-3)
    losses = [trainer.step([batch(2)])[0]["total_loss"].item() for _ in range(20)]
    assert statistics.median(losses[-5:]) < 0.7 * losses[0]


def test_both_cores_stream_a_clip(network):
    frames, masks = clip(7)
    core = InferenceCore(network, MemoryOptions(mem_every=2))
    assert_distributions([core.step(image, masks[0] if t == 0 else None) for t, image in enumerate(frames)], [2] * 7)
    assert len(core.report.quality) == (0 if network.quality_scorer is None else 2)
    core = InferenceCoreYV(network, replace(YOUTUBE_MEMORY, mem_every=2))
    given = {0: (masks[0, :1], [5]), 3: (masks[3, 1:], [9])}
    assert_distributions([core.step(image, *given.get(t, ())) for t, image in enumerate(frames)], [1] * 3 + [2] * 4)
    assert core.objects == (5, 9)


def test_objects_may_be_worked_on_one_at_a_time(network):
    frames, masks = clip(4)
    together, apart = (
        torch.stack([core.step(image, masks[0] if t == 0 else None) for t, image in enumerate(frames)])
        for core in (InferenceCore(network), InferenceCore(network, object_chunk=1))
    )
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_a_checkpoint_gives_the_same_network(network, tmp_path):
    save_checkpoint(tmp_path / "tiny.pth", Checkpoint(network.arch, network.options, network.state_dict()))
    loaded = load_network(tmp_path / "tiny.pth", CPU)
    assert isinstance(loaded, TinyNetwork)
    assert loaded.options == network.options
    frames, masks = clip(4)
    runs = [
        [core.step(image, masks[0] if t == 0 else None) for t, image in enumerate(frames)]
        for core in (InferenceCore(network), InferenceCore(loaded))
    ]
    assert_same(*runs)


def test_options_that_it_does_not_take_are_left_out():
    options = {"backbone": "resnet50", "multi_object": True, "quality_head": True}
    assert fitting_options("tiny", options) == {"quality_head": True}


def test_memory_can_be_planned(network):
    assert plan_chunks(network, (HEIGHT, WIDTH), objects=2, slots=5, available_bytes=1e9).objects == 2


@pytest.mark.parametrize("options", [[], ["--quality_head"], ["--freeze", "layer1"]])
def test_train_trains_it(tmp_path, monkeypatch, capsys, options):
    static = write_training_data(tmp_path / "data")["static"]
    monkeypatch.chdir(tmp_path)
    arguments = [*SMALL, *static, "--arch", "tiny", "--id", "tiny", "-i", "2", *options]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    train.main()
    assert sorted(losses_of(capsys.readouterr().out)) == [1, 2]
    network = load_network(only(tmp_path, "saves/*_tiny/*_2.pth"), CPU)
    assert (network.quality_scorer is not None) == ("--quality_head" in options)


def test_a_policy_of_ones_own_decides_what_is_kept(monkeypatch):
    """The policy that docs/extending.md shows."""
    page = (Path(__file__).parents[1] / "docs/extending.md").read_text()
    names = dict(vars(memory_options))
    exec(re.search(r"class Best\(Policy\):.*?(?=\n\n\n)", page, re.DOTALL).group(), names)
    monkeypatch.setitem(memory_options.POLICIES, "best", names["Best"]())
    torch.manual_seed(0)
    predictor = VideoPredictor(TinyNetwork(quality_head=True).eval(), policy="best", capacity=2, mem_every=1)
    frames = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), np.uint8)
    predictor.start(frames[0], np.arange(48 * 64).reshape(48, 64) % 2)
    quality, kept = {}, []
    for position, frame in enumerate(frames[1:], start=1):
        predictor.step(frame)
        (report,) = predictor._core.report.banks
        if len(kept) == 2:
            worst = min(kept, key=quality.get)
            assert report.evicted == worst
            kept.remove(worst)
        quality[position] = report.relative_quality
        kept.append(position)
        assert report.memory_frames == (0, *kept)
    with pytest.raises(ValueError, match="scorer"):
        VideoPredictor(TinyNetwork().eval(), policy="best").start(frames[0], np.ones((48, 64), np.uint8))


def own_train(root, max_skip, **options):
    return VOSDataset(root / "frames", root / "masks", max_skip=max_skip, **options)


def test_a_data_set_of_ones_own_is_trained_on_and_checked(tmp_path, monkeypatch, capsys):
    """The entry that docs/extending.md shows."""
    entry = TrainingSet("own", "own_root", Path("data/own"), (2, 3), VideoClips(own_train, davis_skips))
    known = (*sets.TRAINING_SETS, entry)
    for module in (sets, stages, training_arguments, train, check_data):
        monkeypatch.setattr(module, "TRAINING_SETS", known)
    data = write_training_data(tmp_path / "data")["davis"]
    source = Path(data[data.index("--davis_root") + 1])
    own = tmp_path / "own"
    for ours, theirs in (("frames", "JPEGImages"), ("masks", "Annotations")):
        shutil.copytree(next(source.rglob(theirs)) / "480p", own / ours)
    monkeypatch.chdir(tmp_path)
    roots = ["--own_root", str(own), "--davis_root", "none", "--yv_root", "none"]
    arguments = [*SMALL, *roots, "--stage", "2", "--arch", "tiny", "--id", "own", "-i", "1", "--samples_per_video", "2"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    train.main()
    assert list(losses_of(capsys.readouterr().out)) == [1]
    monkeypatch.setattr(sys, "argv", ["check_data.py", *roots, "--static_root", "none", "--bl_root", "none"])
    check_data.main()
    assert re.search(r"^own +\d+ videos", capsys.readouterr().out, re.MULTILINE)
