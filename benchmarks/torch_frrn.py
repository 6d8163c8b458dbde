"""The full-resolution residual network of type A in PyTorch, written from its description.

A peer of `benchmarks/train_step.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Units, pixels of a side that one of the pooled stream covers, channels in multiples of `base`
DOWN = ((3, 2, 2), (4, 4, 4), (2, 8, 8), (2, 16, 8))
UP = ((2, 8, 4), (2, 4, 4), (2, 2, 2))


def unit(c_in: int, c_out: int, window: int = 3, *, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(c_in, c_out, window, padding=window // 2, bias=False)]
    layers += [nn.BatchNorm2d(c_out, eps=1e-4, momentum=0.1)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class ResidualUnit(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(unit(c_in, c_out), unit(c_out, c_out, relu=False))
        same = c_in == c_out
        self.proj = nn.Identity() if same else nn.Conv2d(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x) + self.conv(x)


class FullResolutionUnit(nn.Module):
    def __init__(self, c_in: int, c_out: int, lanes: int, pooled: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(unit(c_in + lanes, c_out), unit(c_out, c_out))
        self.residual = nn.Conv2d(c_out, lanes, 1)
        self.pooled = pooled

    def forward(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(torch.cat([y, F.max_pool2d(z, self.pooled)], 1))
        return y, z + F.interpolate(self.residual(y), scale_factor=self.pooled, mode="nearest")


def doubled(x: Tensor) -> Tensor:
    """Linear between pixels and the next, along both axes: pixel i lies at 2 i."""
    for axis in (2, 3):
        last = x.narrow(axis, x.shape[axis] - 1, 1)
        following = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), last], axis)
        pairs = torch.stack([x, (x + following) / 2], axis + 1)
        x = pairs.flatten(axis, axis + 1)
    return x


class FRRN(nn.Module):
    def __init__(self, classes: int, base: int, lanes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(unit(3, base, 5), *[ResidualUnit(base, base) for _ in range(3)])
        self.split = unit(base, lanes, 1, relu=False)
        channels, levels = base, []
        for units, pooled, width in (*DOWN, *UP):
            level = []
            for _ in range(units):
                level.append(FullResolutionUnit(channels, width * base, lanes, pooled))
                channels = width * base
            levels.append(nn.ModuleList(level))
        self.levels = nn.ModuleList(levels)
        self.last = nn.Sequential(
            ResidualUnit(channels + lanes, base), ResidualUnit(base, base), ResidualUnit(base, base)
        )
        self.head = nn.Conv2d(base, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        z = self.split(y)
        for number, level in enumerate(self.levels):
            y = F.max_pool2d(y, 2) if number < len(DOWN) else doubled(y)
            for each in level:
                y, z = each(y, z)
        return self.head(self.last(torch.cat([doubled(y), z], 1)))
