"""What equality with published numbers means, whatever order a processor adds in.

Numbers of a network: within a few rounding errors of the largest value of their array. Whole runs: borders of the top-k
and of the arg max let the last bit decide, and the memory carries it on; a run must lie as near to the published one as
it lies to itself when its weights are changed by 1e-6 of their size.

MOVED_WEIGHTS=1e-6 in the environment moves the weights of every network of these tests by that share, as another
processor would at worst: all must pass then, too.
"""

import copy
import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

MOVE = 1e-6
SEEDS = (0, 1, 2)
MARGIN = 2.0
ROUNDING = 5e-5  # of the largest value of an array
PIXELS, PROBABILITY = 5, 1e-4  # within which nothing further is asked


def moved(network: nn.Module, share: float, seed: int) -> nn.Module:
    """A copy whose weights are changed by so large a share of their size, at random."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1 + share * torch.randn(weight.shape, generator=generator))
    return other


def as_asked(network: nn.Module) -> nn.Module:
    """The network, moved where the environment asks for it."""
    share = float(os.environ.get("MOVED_WEIGHTS", 0))
    return moved(network, share, seed=int(os.environ.get("MOVED_SEED", 7))) if share else network


def assert_close(ours: object, reference: np.ndarray, share: float = ROUNDING) -> None:
    """Every value lies within a share of the largest one, 1 at least, of the reference."""
    limit = share * max(1.0, float(np.abs(np.asarray(reference)).max()))
    np.testing.assert_allclose(np.asarray(ours), reference, atol=limit, rtol=0)


def differences(ours: Tensor, masks: np.ndarray, probabilities: np.ndarray, step: int) -> tuple[int, float]:
    """Differing pixels of the arg max, and the largest difference of probabilities.

    Args:
        ours: (K+1,T,H,W).
        masks: (T,H,W), which row is the largest.
        probabilities: (K+1,T,H/step,W/step); objects count from the frame on that first shows them.
        step: of the sub-sampling.
    """
    sampled = ours[:, :, ::step, ::step].numpy()
    counted = np.broadcast_to(probabilities.any(axis=(2, 3), keepdims=True), sampled.shape)
    largest = float(np.abs(sampled - probabilities)[counted].max())
    return int((ours.argmax(0).numpy() != masks).sum()), largest


def assert_same_run(
    run: Callable[[nn.Module], Tensor], network: nn.Module, masks: np.ndarray, probabilities: np.ndarray, step: int = 6
) -> None:
    """A run equals the published one.

    Args:
        run: gives the probabilities (K+1,T,H,W) of a network.
        network: the network.
        masks, probabilities, step: the published run, see `differences`.
    """
    ours = run(network)
    pixels, largest = differences(ours, masks, probabilities, step)
    if pixels <= PIXELS and largest <= PROBABILITY:
        return
    own = (ours.argmax(0).numpy(), ours[:, :, ::step, ::step].numpy())
    found = [differences(run(moved(network, MOVE, seed)), *own, step) for seed in SEEDS]
    most_pixels, most = (max(values) for values in zip(*found, strict=True))
    assert pixels <= max(PIXELS, MARGIN * most_pixels), f"{pixels} pixels differ, {most_pixels} of moved runs"
    assert largest <= max(PROBABILITY, MARGIN * most), (
        f"probabilities differ by {largest}, those of moved runs by {most}"
    )
