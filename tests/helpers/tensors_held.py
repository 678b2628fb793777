"""How much memory an object holds on to."""

import gc

import torch
from torch import nn


def tensors_within(root):
    """Bytes of every tensor storage that an object holds, by address; networks do not count."""
    found, waiting, seen = {}, [root], set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, nn.Module | type):
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            found[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        waiting += gc.get_referents(thing) if isinstance(thing, dict | list | tuple | set) else []
        waiting += [vars(thing)] if hasattr(thing, "__dict__") else []
    return found


def bytes_within(root):
    """Bytes of all tensors that an object holds; networks do not count."""
    return sum(tensors_within(root).values())
