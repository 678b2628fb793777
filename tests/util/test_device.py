"""Asking a device, and sending to it."""

import subprocess
import sys

import pytest
import torch

from util.tensors import from_device, to_device

pytestmark = pytest.mark.slow

PAGES = """
import resource, sys, torch
from util.device import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory(torch.device("cpu"))
for number in range(60):
    if number == 40:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_freed_memory_is_used_again():
    def new_pages(choice):
        command = [sys.executable, "-c", PAGES, choice]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert new_pages("keep") < new_pages("leave") / 2


def test_what_is_sent_and_fetched_stays_the_same():
    tensor = torch.arange(6).view(2, 3)
    wait = from_device(to_device(tensor, torch.device("cpu")))
    assert torch.equal(wait(), tensor)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_gpu_what_is_fetched_later_is_not_what_came_after():
    device = torch.device("cuda")
    tensor = to_device(torch.arange(1 << 20), device)
    wait = from_device(tensor)
    tensor.zero_()
    assert torch.equal(wait(), torch.arange(1 << 20))
