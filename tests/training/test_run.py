"""How the runs of the training scripts begin."""

from argparse import Namespace

import pytest
import torch

from training.run import begin


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
