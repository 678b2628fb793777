"""What equality with published numbers means, whatever order a processor adds in.

Numbers of a network: within a few rounding errors of the largest value of their array. Whole runs: borders of the top-k
and of the arg max let the last bit decide, and the memory carries it on, so that a right run in single precision may
lie far from the published one. In double precision nothing hangs on the last bit: where the first differs, the second
decides, within the same limits.

PARITY_NOISE=1e-6 in the environment disturbs what the layers of these tests' networks give in single precision by that
share of their size, at random by PARITY_SEED, as another processor would at worst: all tests must pass then, too.
"""

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

ROUNDING = 5e-5  # of the largest value of an array
PIXELS = 5  # of a whole run, whose two largest probabilities lie closer together than the published ones are exact

Run = TypeVar("Run")


def as_asked(network: nn.Module) -> nn.Module:
    """The network, disturbed where the environment asks for it."""
    share = float(os.environ.get("PARITY_NOISE", 0))
    if share:
        generator = torch.Generator().manual_seed(int(os.environ.get("PARITY_SEED", 0)))

        def disturb(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor | None:
            if output.dtype != torch.float32:
                return None
            return output * (1 + share * torch.randn(output.shape, generator=generator))

        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(disturb)
    return network


def assert_close(ours: object, reference: np.ndarray, share: float = ROUNDING) -> None:
    """Every value lies within a share of the largest one, 1 at least, of the reference."""
    limit = share * max(1.0, float(np.abs(np.asarray(reference)).max()))
    np.testing.assert_allclose(np.asarray(ours), reference, atol=limit, rtol=0)


def assert_same_masks(
    ours: Tensor, masks: np.ndarray, probabilities: np.ndarray, limit: float = 1e-4, step: int = 6
) -> None:
    """A run has the masks and the probabilities of another one.

    Args:
        ours: (K+1,T,H,W).
        masks: (T,H,W), the row that is largest in the other run.
        probabilities: (K+1,T,H/step,W/step) of the other run; a row that is 0 on a whole frame does not count there,
            as its object has not come yet.
        limit: most difference of a probability.
        step: of the sub-sampling.
    """
    assert ours.shape[1:] == masks.shape
    assert (ours.argmax(0).numpy() != masks).sum() <= PIXELS
    counted = np.broadcast_to(probabilities.any(axis=(2, 3), keepdims=True), probabilities.shape)
    sampled = ours[:, :, ::step, ::step].numpy()
    np.testing.assert_allclose(sampled[counted], probabilities[counted], atol=limit, rtol=0)


@contextmanager
def double_precision(network: nn.Module) -> Iterator[nn.Module]:
    """A copy of a network in double precision, and nothing else that rounds to single precision."""
    with mock.patch.object(Tensor, "float", Tensor.double):
        yield copy.deepcopy(network).double()


def assert_run(run: Callable[[nn.Module, torch.dtype], Run], network: nn.Module, check: Callable[[Run], None]) -> None:
    """A whole run passes a check in single precision or else, where the last bit decided there, in double precision.

    Args:
        run: runs a network on inputs of a data type.
        network: in single precision.
        check: raises AssertionError where what `run` returned is not what was published.
    """
    try:
        check(run(network, torch.float32))
    except AssertionError:
        with double_precision(network) as exact:
            check(run(exact, torch.float64))
