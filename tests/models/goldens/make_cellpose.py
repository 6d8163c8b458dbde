"""Writes cellpose.npz: a small cellpose U-Net run by PyTorch. Needs PyTorch 2.13.

python tests/models/goldens/make_cellpose.py
"""

import pathlib
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "benchmarks"))

from torch_cellpose import CellposeUNet  # noqa: E402

KERNELS = ("downsample.down.res_down_0.conv.conv_1.2.weight", "upsample.up.res_up_3.proj.1.weight")


def main() -> None:
    torch.manual_seed(0)
    net = CellposeUNet(3, (4, 8, 12, 16), outputs=2)
    with torch.no_grad():
        for name, buffer in net.named_buffers():  # Statistics that tell mean and variance apart.
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        for value in net.parameters():  # Batch-norm scales and biases, off 1 and 0.
            if value.ndim == 1:
                value.add_(0.2 * torch.randn_like(value))
    arrays = {f"state/{key}": value.numpy().copy() for key, value in net.state_dict().items()}
    image = torch.rand(2, 3, 32, 40)
    weight = torch.randn(2, 2, 32, 40)
    for mode in ("eval", "train"):
        net.train(mode == "train")
        net.zero_grad()
        x = image.clone().requires_grad_()
        logits, style = net(x)
        (logits * weight).sum().backward()
        arrays[f"{mode}/logits"] = logits.detach().permute(0, 2, 3, 1).numpy()
        arrays[f"{mode}/style"] = style.detach().numpy()
        arrays[f"{mode}/grad/image"] = x.grad.permute(0, 2, 3, 1).numpy()
        parameters = dict(net.named_parameters())
        for key in KERNELS:
            arrays[f"{mode}/grad/{key}"] = parameters[key].grad.numpy().copy()
    for name in ("running_mean", "running_var"):
        key = f"downsample.down.res_down_1.conv.conv_0.0.{name}"
        arrays[f"after/{key}"] = net.state_dict()[key].numpy()
    arrays["image"] = image.permute(0, 2, 3, 1).numpy()
    arrays["weight"] = weight.permute(0, 2, 3, 1).numpy()
    np.savez_compressed(HERE / "cellpose.npz", **arrays)


if __name__ == "__main__":
    main()
