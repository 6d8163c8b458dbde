"""The plain U-Net of nnU-Net in PyTorch, 2-D: the peer of `segjax.models.PlainUNet`.

Units of convolution, instance norm and leaky ReLU; transposed convolutions upwards; a head at every
resolution of the decoder. As many parameters as the network of segjax.
"""

import torch
from torch import Tensor, nn


def unit(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1),
        nn.InstanceNorm2d(c_out, affine=True),
        nn.LeakyReLU(0.01, inplace=True),
    )


class PlainUNet(nn.Module):
    def __init__(self, c_in: int, features: tuple[int, ...], classes: int) -> None:
        super().__init__()
        widths = [c_in, *features]
        self.down = nn.ModuleList(
            nn.Sequential(unit(widths[i], c, 2 if i else 1), unit(c, c))
            for i, c in enumerate(features)
        )
        # From the lowest level of the decoder up.
        pairs = list(zip(features[:-1], features[1:], strict=True))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(low, c, 2, stride=2) for c, low in pairs)
        self.decode = nn.ModuleList(nn.Sequential(unit(2 * c, c), unit(c, c)) for c, _ in pairs)
        self.heads = nn.ModuleList(nn.Conv2d(c, classes, 1) for c, _ in pairs)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Logits `[b, classes, h, w]`, full resolution first."""
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        logits = []
        levels = zip(self.up, self.decode, self.heads, skips[-2::-1], strict=True)
        for up, decode, head, skip in levels:
            x = decode(torch.cat([up(x), skip], 1))
            logits.insert(0, head(x))
        return logits
