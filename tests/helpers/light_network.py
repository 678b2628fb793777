"""A network that is trained in no time and whose checkpoints take no room."""

from unittest import mock

from torch import nn

from examples.tiny_network import WIDTH, TinyNetwork
from model import NETWORKS


class LightNetwork(TinyNetwork):
    """With a quality scorer, and with statistics that a resumed run must find again."""

    arch = "light"

    def __init__(self, *, key_dim: int = 8, value_dim: int = 8, quality_head: bool = True) -> None:
        super().__init__(key_dim=key_dim, value_dim=value_dim, quality_head=quality_head)
        self.options.pop("score_activation")
        self.query_encoder.layer3.append(nn.BatchNorm2d(4 * WIDTH))


# As long as it is entered, the network can be built by its name.
KNOWN = mock.patch.dict(NETWORKS, {LightNetwork.arch: LightNetwork})
