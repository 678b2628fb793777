"""A network that is trained in no time and whose checkpoints take no room.

As a script it is train.py that knows the network: python tests/helpers/light_network.py --arch light ...
"""

import sys
from pathlib import Path

import pytest
from torch import nn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import train
from examples.tiny_network import WIDTH, TinyNetwork
from model import NETWORKS
from util.errors import run


class LightNetwork(TinyNetwork):
    """With a quality scorer, and with statistics that a resumed run must find again."""

    arch = "light"

    def __init__(self, *, key_dim: int = 8, value_dim: int = 8, quality_head: bool = True) -> None:
        super().__init__(key_dim=key_dim, value_dim=value_dim, quality_head=quality_head)
        self.options.pop("score_activation")
        self.query_encoder.layer3.append(nn.BatchNorm2d(4 * WIDTH))


def register(patch: pytest.MonkeyPatch) -> None:
    """Make the network known, until `patch` is undone."""
    patch.setitem(NETWORKS, LightNetwork.arch, LightNetwork)


if __name__ == "__main__":
    register(pytest.MonkeyPatch())
    run(train.main)
