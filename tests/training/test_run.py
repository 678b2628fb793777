"""How the runs of the training scripts begin."""

from argparse import Namespace

import pytest
import torch

from model.weights.checkpoint import Checkpoint, save_checkpoint
from training.run import begin, find_checkpoint
from util.errors import InputError


@pytest.fixture
def switches():
    """TF32 as it was, when the test is over."""
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    yield lambda: [place.allow_tf32 for place in places]
    for place, allowed in zip(places, before, strict=True):
        place.allow_tf32 = allowed


@pytest.mark.parametrize("tf32", [True, False])
def test_a_run_begins_as_it_is_told(switches, tf32):
    process = begin(Namespace(device="cpu", local_rank=0, tf32=tf32, seed=5))
    drawn = torch.rand(3)
    assert (process.device.type, process.world) == ("cpu", 1)
    assert switches() == [tf32, tf32]
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize("arch", ["qdmn", "dropmae"])
def test_a_run_goes_on_with_networks_of_its_script_alone(tmp_path, arch):
    path = tmp_path / "run_checkpoint.pth"
    save_checkpoint(path, Checkpoint(arch, {}, {"weight": torch.zeros(1)}, optimizer={}, iteration=7))
    args = Namespace(load_model=path, resume=None)
    found = find_checkpoint(args, ["stcn", arch])
    assert found is not None and found[0] == path and found[1].iteration == 7
    with pytest.raises(InputError, match=f"run_checkpoint.pth belongs to a run of {arch}; resume it with the script"):
        find_checkpoint(args, ["stcn"])
