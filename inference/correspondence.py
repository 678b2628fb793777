"""Dense correspondences between two frames, from the keys of a network that reads a memory (MiVOS, CVPR 2021)."""

import torch
from torch import Tensor

from model.memory.read import Memory, MemoryReader
from model.memory_network import MemoryNetwork


@torch.inference_mode()
def transfer(
    network: MemoryNetwork, source: Tensor, target: Tensor, features: Tensor, *, top_k: int | None = None
) -> Tensor:
    """Carry a map from a source frame over to a target frame.

    Every cell of the target takes the mean of the source's features, weighted by the softmax of its affinity with the
    source's cells. Keys that see masks see empty ones.

    Args:
        network: in evaluation mode.
        source, target: frames (1,3,H,W), normalised; H and W are multiples of 16.
        features: of the source, (1,C,H/16,W/16), such as a mask or a network's features.
        top_k: most similar source cells that count; None for all.

    Returns:
        (1,C,H/16,W/16) of the target.
    """
    empty = torch.zeros_like(source[:, :1])
    key = network.encode_memory(source, empty).key
    query = network.encode_query(target, torch.ones_like(empty))
    values = features.flatten(2).transpose(1, 2).unsqueeze(1)
    reader = MemoryReader(top_k=top_k, similarity=network.similarity)
    return reader(Memory(key, values), query.key).squeeze(1)


def correspondence(network: MemoryNetwork, source: Tensor, target: Tensor) -> Tensor:
    """The weights that `transfer` uses, (1,n,n) for n = H/16 * W/16: shares of the source cells in the target cells.

    Each column, which belongs to a target cell, sums to one.
    """
    height, width = source.shape[-2] // 16, source.shape[-1] // 16
    cells = torch.eye(height * width, device=source.device).unflatten(1, (height, width)).unsqueeze(0)
    return transfer(network, source, target, cells).flatten(2)
