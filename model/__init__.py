"""Networks, memory, losses and the trainer. The one list of networks is here."""

from torch import nn

from model.qdmn import QDMN

NETWORKS: dict[str, type[nn.Module]] = {QDMN.arch: QDMN}


def build_network(arch: str, **options: object) -> nn.Module:
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
