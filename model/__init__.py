"""Networks, memory, losses and the trainer. The one list of networks is here."""

from torch import nn

from model.qdmn import QDMN
from model.qdmn_small import SmallQDMN

NETWORKS: dict[str, type[nn.Module]] = {network.arch: network for network in (QDMN, SmallQDMN)}
PRESETS = {"published": QDMN.arch, "small": SmallQDMN.arch}


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


def build_preset(preset: str, *, multi_object: bool = True, **options: object) -> nn.Module:
    """Build a network by the name of its size.

    Args:
        preset: `published`, QDMN as in the paper, or `small`, a light form with one image encoder.
        multi_object: whether the memory encoder sees the other objects; the small form always does.
        options: the network's own keyword arguments.

    Raises:
        ValueError: there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if preset == "published":
        options["multi_object"] = multi_object
    return build_network(PRESETS[preset], **options)
