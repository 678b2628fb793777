"""ResNet encoders up to stride 16 (He et al., CVPR 2016), with extra input channels for masks."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.layers.convolution import object_conv

# Convolution biases, and the batch counters that files of older torch versions lack: both start at 0.
MAY_BE_MISSING = ("conv1.bias", "conv2.bias", "conv3.bias", "downsample.0.bias", "num_batches_tracked")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the first carries the stride."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, *, bias: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; the 3x3 carries the stride."""

    expansion = 4
    strides_first = False

    def __init__(self, in_channels: int, width: int, stride: int, *, bias: bool = True) -> None:
        super().__init__()
        first, second = (stride, 1) if self.strides_first else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, width, 1, stride=first, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=bias)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class BottleneckV1(Bottleneck):
    """The first 1x1 convolution carries the stride, as in the paper; for weights that were trained so."""

    strides_first = True


class Backbone(NamedTuple):
    """The kind of block, and how many of them the stages at strides 4, 8 and 16 have."""

    block: type[BasicBlock] | type[Bottleneck]
    depths: tuple[int, int, int]


BACKBONES = {
    "resnet18": Backbone(BasicBlock, (2, 2, 2)),
    "resnet34": Backbone(BasicBlock, (3, 4, 6)),
    "resnet50": Backbone(Bottleneck, (3, 4, 6)),
    "resnet50_v1": Backbone(BottleneckV1, (3, 4, 6)),
    "resnet101": Backbone(Bottleneck, (3, 4, 23)),
}

WIDTHS = (64, 128, 256)  # of the stages' 3x3 convolutions


def _shortcut(in_channels: int, out_channels: int, stride: int, bias: bool) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


class ImageEncoder(nn.Module):
    """Encodes images in stages that end with features at strides 4, 8 and 16."""

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module

    def freeze(self, last: str) -> None:
        """Keep the weights of everything up to and including a stage, `layer1` to `layer3`."""
        layers = ("layer1", "layer2", "layer3")
        for name, module in self.named_children():
            if name not in layers[layers.index(last) + 1 :]:
                module.requires_grad_(False)


class ResNetEncoder(ImageEncoder):
    """ResNet without its last stage and classifier.

    Starts from Kaiming-normal filters and residual branches that are silent; `load_imagenet` puts trained weights
    in.

    Args:
        backbone: one of `BACKBONES`.
        extra_channels: input channels behind RGB, for masks.
        bias: whether convolutions have a bias, as in the published QDMN weights; torchvision's have none.

    Attributes:
        precise_entry: do the first convolution and the first block without autocast; for inference in bf16, whose
            errors mostly arise there.
    """

    precise_entry = False
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential

    def __init__(self, backbone: str = "resnet50", *, extra_channels: int = 0, bias: bool = True) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"there is no backbone {backbone!r}; choose one of {', '.join(BACKBONES)}")
        block, depths = BACKBONES[backbone]
        self.backbone = backbone
        self.channels = tuple(width * block.expansion for width in WIDTHS)
        in_channels = WIDTHS[0]
        self.conv1 = nn.Conv2d(3 + extra_channels, in_channels, 7, stride=2, padding=3, bias=bias)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for number, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), 1):
            blocks = []
            for index in range(depth):
                stride = 2 if number > 1 and index == 0 else 1
                blocks.append(block(in_channels, width, stride, bias=bias))
                in_channels = width * block.expansion
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, BasicBlock | Bottleneck):
                nn.init.zeros_((module.bn2 if isinstance(module, BasicBlock) else module.bn3).weight)

    def forward(self, image: Tensor, planes: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode images, or each object's view of them.

        Args:
            image: (B,3,H,W).
            planes: each object's masks (B*K,extra,H,W), where there are extra channels.

        Returns:
            Features at strides 4, 8 and 16, of `self.channels` channels; B or B*K of each.
        """
        with torch.autocast(image.device.type, enabled=False) if self.precise_entry else nullcontext():
            x = self.conv1(image) if planes is None else object_conv(self.conv1, planes, image, shared_first=True)
            x = self.layer1[0](self.maxpool(self.relu(self.bn1(x))))
        f4 = self.layer1[1:](x)
        f8 = self.layer2(f4)
        return f4, f8, self.layer3(f8)

    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Copy torchvision ResNet weights; the convolution biases become 0.

        The filters of the extra input channels are orthogonal, as in the published code of QDMN.

        Raises:
            ValueError: an entry is missing or has another shape.
        """
        state = {k: torch.zeros_like(v) for k, v in self.state_dict().items()}
        for key, target in state.items():
            if key in weights:
                source = weights[key].to(target)
                target = state[key] = (
                    append_input_channels(source, self.conv1.in_channels) if key == "conv1.weight" else source
                )
            elif not key.endswith(MAY_BE_MISSING):
                raise ValueError(f"entry {key} is missing")
            if target.shape != self.state_dict()[key].shape:
                raise ValueError(f"entry {key} has shape {tuple(target.shape)}")
        self.load_state_dict(state)


def append_input_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Widen first-layer filters (O,I,h,w) to `in_channels` inputs with an orthogonal matrix (O,(in_channels-I)*h*w)."""
    extra = in_channels - weight.shape[1]
    if extra <= 0:
        return weight
    appended = torch.empty(weight.shape[0], extra, *weight.shape[2:], dtype=weight.dtype)
    nn.init.orthogonal_(appended)
    return torch.cat([weight, appended.to(weight.device)], 1)
