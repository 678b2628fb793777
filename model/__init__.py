"""Networks and what they remember. The one list of networks is here."""

import inspect
from collections.abc import Mapping
from typing import Any

from model.dropmae import DropMAE
from model.dropseg import DropSeg
from model.droptrack import DropTrack
from model.interactive import ClickDecoder
from model.mask_propagation import MaskPropagation
from model.memory_network import MemoryNetwork
from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN
from model.stcn import STCN
from model.stm_cycle import STMCycle

Network = MemoryNetwork | DropMAE | ClickDecoder | DropTrack

NETWORKS: dict[str, type[MemoryNetwork]] = {
    network.arch: network for network in (QDMN, SmallQDMN, MaskPropagation, STCN, STMCycle, DropSeg)
}

# What has weights of its own but segments no video: what other networks begin with, what turns clicks into masks, and
# what finds boxes.
OTHERS: dict[str, type[DropMAE | ClickDecoder | DropTrack]] = {
    network.arch: network for network in (DropMAE, ClickDecoder, DropTrack)
}


def build_network(arch: str, **options: Any) -> MemoryNetwork:
    """Build a network by name.

    Args:
        arch: one of `NETWORKS`.
        options: the network's own keyword arguments.

    Raises:
        ValueError: no network has this name.
    """
    if arch not in NETWORKS:
        raise ValueError(f"there is no network {arch!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[arch](**options)


def fitting_options(arch: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that a network takes.

    Args:
        arch: one of `NETWORKS`.
        options: keyword arguments of any network.
    """
    taken = inspect.signature(NETWORKS[arch]).parameters
    return {name: value for name, value in options.items() if name in taken}
