"""A CUDA device that is made up: its tensors have shapes and a device, but no values.

Reading a value, or an operation whose shape depends on values, raises; so does mixing devices. What goes between host
and device in a way for which a host waits is noted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)


class Waits(TorchDispatchMode):
    """Notes the operations for which a host waits, without a value being read: copies, and indices that are sent."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        kinds = {x.device.type for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor) and x.ndim}
        if {"cpu", "cuda"} <= kinds:
            names = [argument.name for argument in function._schema.arguments]
            if not {**dict(zip(names, args, strict=False)), **kwargs}.get("non_blocking"):
                self.found.append(str(function))
        return result


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Within, tensors on `GPU` can be made and worked with on any machine."""
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        patch("torch.cuda.current_stream", MagicMock()),
        patch.object(Tensor, "pin_memory", lambda self: self),
    ):
        yield


def on_gpu(network: nn.Module) -> nn.Module:
    """A network, moved in place to the device that is made up; only within `fake_gpu`."""

    def sent(x: Tensor) -> Tensor:
        return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=GPU)

    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(sent(parameter), requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, sent(buffer))
    return network


def empty(*shape: int, **options) -> Tensor:
    """A tensor of the device that is made up."""
    return torch.empty(shape, device=GPU, **options)
