"""The cellpose U-Net in PyTorch, written from its description, with the published key names.

The peer of `benchmarks/train_step.py` and the origin of `tests/models/goldens/cellpose.npz`.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


def unit(c_in: int, c_out: int, window: int = 3, *, relu: bool = True) -> nn.Sequential:
    layers = [nn.BatchNorm2d(c_in, eps=1e-5, momentum=0.05)]
    layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers, nn.Conv2d(c_in, c_out, window, padding=window // 2))


class DownBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.proj = unit(c_in, c_out, 1, relu=False)
        self.conv = nn.ModuleDict(
            {f"conv_{t}": unit(c_in if t == 0 else c_out, c_out) for t in range(4)}
        )

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        h = self.proj(x) + conv["conv_1"](conv["conv_0"](x))
        return h + conv["conv_3"](conv["conv_2"](h))


class StyleConv(nn.Module):
    def __init__(self, channels: int, style_channels: int) -> None:
        super().__init__()
        self.conv = unit(channels, channels)
        self.full = nn.Linear(style_channels, channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x + self.full(style)[:, :, None, None])


class UpBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, style_channels: int) -> None:
        super().__init__()
        self.proj = unit(c_in, c_out, 1, relu=False)
        self.conv = nn.ModuleDict({"conv_0": unit(c_in, c_out)})
        for t in (1, 2, 3):
            self.conv[f"conv_{t}"] = StyleConv(c_out, style_channels)

    def forward(self, x: Tensor, skip: Tensor, style: Tensor) -> Tensor:
        conv = self.conv
        h = self.proj(x) + conv["conv_1"](conv["conv_0"](x) + skip, style)
        return h + conv["conv_3"](conv["conv_2"](h, style), style)


class Group(nn.Module):
    """Blocks under one more name, so that the keys read `downsample.down.res_down_0...`."""

    def __init__(self, name: str, blocks: dict[str, nn.Module]) -> None:
        super().__init__()
        setattr(self, name, nn.Sequential(OrderedDict(blocks)))


class CellposeUNet(nn.Module):
    def __init__(self, c_in: int, features: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        widths = [c_in, *features]
        up = [*features, features[-1]]
        self.downsample = Group(
            "down",
            {f"res_down_{i}": DownBlock(widths[i], c) for i, c in enumerate(features)},
        )
        self.upsample = Group(
            "up",
            {f"res_up_{k}": UpBlock(up[k + 1], c, up[-1]) for k, c in enumerate(features)},
        )
        self.output = unit(features[0], outputs, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = []
        for i, block in enumerate(self.downsample.down):
            x = block(x if i == 0 else F.max_pool2d(x, 2))
            maps.append(x)
        style = x.mean((2, 3))
        style = style / (style**2).sum(1, keepdim=True).sqrt()
        for k in reversed(range(len(maps))):
            x = x if k == len(maps) - 1 else F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.upsample.up[k](x, maps[k], style)
        return self.output(x), style
