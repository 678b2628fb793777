"""Networks, memory, losses and the trainer. The one list of networks is here."""

import inspect
from collections.abc import Mapping

from torch import nn

from model.dropmae import DropMAE
from model.dropseg import DropSeg
from model.mask_propagation import MaskPropagation
from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN
from model.stcn import STCN
from model.stm_cycle import STMCycle

NETWORKS: dict[str, type[nn.Module]] = {
    network.arch: network for network in (QDMN, SmallQDMN, MaskPropagation, STCN, STMCycle, DropSeg)
}

PRETRAINING: dict[str, type[nn.Module]] = {
    DropMAE.arch: DropMAE
}  # what other networks begin with; they segment nothing


def build_network(arch: str, **options: object) -> nn.Module:
    """Build a network by name.

    Args:
        arch: one of `NETWORKS` or of `PRETRAINING`.
        options: the network's own keyword arguments.

    Raises:
        ValueError: no network has this name.
    """
    networks = NETWORKS | PRETRAINING
    if arch not in networks:
        raise ValueError(f"there is no network {arch!r}; choose one of {', '.join(NETWORKS)}")
    return networks[arch](**options)


def fitting_options(arch: str, options: Mapping[str, object]) -> dict[str, object]:
    """Those of the options that a network takes.

    Args:
        arch: one of `NETWORKS`.
        options: keyword arguments of any network.
    """
    taken = inspect.signature(NETWORKS[arch]).parameters
    return {name: value for name, value in options.items() if name in taken}
