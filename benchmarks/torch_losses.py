"""The peers of benchmarks/losses.py: what PyTorch users call today for each loss.

MONAI, kornia and GUDHI are taken where they are installed.
"""

import pathlib
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from host_peers import gudhi, optional
from scipy import ndimage

kornia = optional("kornia")
monai = optional("monai.losses")


def torch_calls(folder: pathlib.Path, device: str = "cpu") -> dict[str, dict[str, Callable]]:
    """name -> {peer: closure that makes value and gradient on the device and waits for them}."""
    z, y, ready = inputs(folder, device)
    labels, classes = np.load(folder / "labels.npy"), z.shape[1]

    def backward(loss):
        return gradient_call(z, loss)

    calls = {
        "cross_entropy": {"PyTorch": backward(lambda: F.cross_entropy(z, y))},
        "top_k_cross_entropy": {"PyTorch": backward(lambda: top_k(z, y))},
        "lovasz_softmax": {"authors": backward(lambda: lovasz(z, y))},
        "region_wise": {
            "authors": backward(lambda: region_wise(z, rectified(labels, classes).to(device)))
        },
        "boundary": {"authors": backward(lambda: boundary(z, signed(labels, classes).to(device)))},
        "region_wise, ready maps": {"authors": backward(lambda: region_wise(z, ready))},
        "boundary, ready maps": {"authors": backward(lambda: boundary(z, ready))},
        "active_contour": {"authors": backward(lambda: active_contour(z, y))},
    }
    if gudhi:
        calls["topological"] = {"GUDHI": backward(lambda: topological(z, y))}
    if kornia:
        calls["lovasz_softmax"]["kornia"] = backward(
            lambda: kornia.losses.lovasz_softmax_loss(z, y)
        )
        erosions = kornia.losses.HausdorffERLoss(k=10).to(device)
        calls["hausdorff_er"] = {
            "kornia": backward(lambda: erosions(torch.softmax(z, 1), y[:, None]))
        }
    return calls | (monai_calls(z, y) if monai else {})


def inputs(folder: pathlib.Path, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits `[b, c, h, w]` that want a gradient, labels `[b, h, w]`, ready maps as the logits."""

    def channels_first(name: str) -> torch.Tensor:
        array = np.moveaxis(np.load(folder / f"{name}.npy"), -1, 1)
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    labels = torch.from_numpy(np.load(folder / "labels.npy").astype(np.int64)).to(device)
    return channels_first("logits").requires_grad_(), labels, channels_first("maps")


def gradient_call(z: torch.Tensor, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """A closure that makes the loss and its gradient by z, and waits for them."""

    def call() -> None:
        z.grad = None
        loss().backward()
        if z.is_cuda:
            torch.cuda.synchronize()

    return call


def monai_calls(z: torch.Tensor, y: torch.Tensor) -> dict[str, dict[str, Callable]]:
    """The losses of MONAI by segjax's names."""
    options = {"softmax": True, "to_onehot_y": True}

    def of_monai(loss: type, **more) -> dict[str, Callable]:
        made = loss(**more)
        return {"MONAI": gradient_call(z, lambda: made(z, y[:, None]))}

    tversky = monai.TverskyLoss(reduction="none", **options)
    center_line = monai.SoftclDiceLoss(iter_=3)
    return {
        "focal": of_monai(monai.FocalLoss, use_softmax=True, to_onehot_y=True),
        "dice": of_monai(monai.DiceLoss, **options),
        "jaccard": of_monai(monai.DiceLoss, jaccard=True, **options),
        "generalized_dice": of_monai(monai.GeneralizedDiceLoss, **options),
        "tversky": of_monai(monai.TverskyLoss, **options),
        "focal_tversky": {
            "MONAI": gradient_call(z, lambda: (tversky(z, y[:, None]) ** 0.75).mean())
        },
        "hausdorff_dt": of_monai(monai.HausdorffDTLoss, **options),
        "soft_cl_dice": {
            "MONAI": gradient_call(
                z,
                lambda: center_line(
                    torch.softmax(z, 1), F.one_hot(y, z.shape[1]).movedim(-1, 1).float()
                ),
            )
        },
    }


def top_k(z, y, fraction=0.1):
    """Cross entropy over the hardest tenth of the batch."""
    values = F.cross_entropy(z, y, reduction="none").flatten()
    return torch.topk(values, int(fraction * values.numel()), sorted=False).values.mean()


def lovasz(z, y):
    """Lovász-softmax of each image: one sort a class."""
    probs = torch.softmax(z, 1).flatten(2)
    y, total = y.flatten(1), 0
    for p, t in zip(probs, y, strict=True):
        found = []
        for k in range(p.shape[0]):
            foreground = (t == k).float()
            if foreground.sum() == 0:
                continue
            errors, order = torch.sort((foreground - p[k]).abs(), descending=True)
            foreground = foreground[order]
            union = foreground.sum() + (1 - foreground).cumsum(0)
            index = 1 - (foreground.sum() - foreground.cumsum(0)) / union
            found.append(torch.dot(errors, torch.diff(index, prepend=index.new_zeros(1))))
        total = total + sum(found) / len(found)
    return total / len(probs)


def signed(labels: np.ndarray, classes: int) -> torch.Tensor:
    """Distance maps on the host: negative inside, positive outside."""
    maps = np.zeros((len(labels), classes, *labels.shape[1:]), np.float32)
    for b in range(len(labels)):
        for k in range(classes):
            inside = labels[b] == k
            if inside.any():
                outer = ndimage.distance_transform_edt(~inside)
                maps[b, k] = outer - ndimage.distance_transform_edt(inside)
    return torch.from_numpy(maps)


def rectified(labels: np.ndarray, classes: int) -> torch.Tensor:
    """Rectified region-wise maps on the host."""
    maps = np.ones((len(labels), classes, *labels.shape[1:]), np.float32)
    for b in range(len(labels)):
        for k in range(classes):
            inside = labels[b] == k
            if inside.any():
                depth = ndimage.distance_transform_edt(inside)
                maps[b, k] = np.where(inside, -depth / depth.max(), 1)
    return torch.from_numpy(maps)


def region_wise(z, maps):
    """Softmax times map, mean."""
    return (torch.softmax(z, 1) * maps).mean()


def boundary(z, maps):
    """Softmax times signed distance over the foreground classes, mean."""
    return (torch.softmax(z, 1)[:, 1:] * maps[:, 1:]).mean()


def active_contour(z, y):
    """Length and region of each foreground class."""
    total = 0
    for k in range(1, z.shape[1]):
        u, v = torch.softmax(z, 1)[:, k], (y == k).float()
        dx, dy = torch.diff(u, dim=1)[:, :, :-1], torch.diff(u, dim=2)[:, :-1, :]
        length = torch.sqrt(dx**2 + dy**2 + 1e-8).mean()
        total = total + length + (u * (v - 1) ** 2).mean() + ((1 - u) * v**2).mean()
    return total


def topological(z, y, threshold=0.03):
    """Components of each foreground class: diagrams by GUDHI, values gathered by PyTorch."""
    probs, total = torch.softmax(z, 1), 0
    for b in range(z.shape[0]):
        for k in range(1, z.shape[1]):
            f = probs[b, k]
            wanted = len(pairs((y[b] != k).double().cpu().numpy()))
            birth, death = pairs(1 - f.detach().double().cpu().numpy()).T
            flat = f.flatten()
            values = torch.stack([flat[birth], flat[death]], 1)
            order = torch.argsort(values[:, 0] - values[:, 1], descending=True)
            values = values[order]
            kept, gone = values[:wanted], values[wanted:]
            gone = gone[gone[:, 0] - gone[:, 1] > threshold]
            target = torch.tensor([1.0, 0.0], device=z.device)
            total = (
                total + ((kept - target) ** 2).sum() + ((gone[:, 0] - gone[:, 1]) ** 2).sum() / 2
            )
    return total / (z.shape[0] * (z.shape[1] - 1))


def pairs(image: np.ndarray) -> np.ndarray:
    """Birth and death pixels `[n, 2]` of the finite components of the sublevel filtration."""
    complex_ = gudhi.CubicalComplex(top_dimensional_cells=image)
    complex_.persistence()
    regular = complex_.cofaces_of_persistence_pairs()[0]
    found = regular[0] if regular else np.zeros((0, 2), np.int64)
    # GUDHI counts pixels column by column.
    column, row = np.divmod(found, image.shape[0])
    return row * image.shape[1] + column
