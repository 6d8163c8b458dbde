"""The arithmetic of segmentation losses in plain PyTorch, for machines without MONAI and kornia.

The equations are those of docs/losses.md; distances and diagrams come from the host.
"""

import pathlib
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch_losses import gradient_call, inputs

SMOOTH = 1e-5


def plain_calls(folder: pathlib.Path, device: str = "cpu") -> dict[str, dict[str, Callable]]:
    """name -> {'PyTorch': closure that makes value and gradient on the device and waits}."""
    z, y, _ = inputs(folder, device)
    losses = {
        "focal": focal,
        "dice": dice,
        "jaccard": jaccard,
        "generalized_dice": generalized_dice,
        "tversky": tversky,
        "focal_tversky": focal_tversky,
        "hausdorff_dt": hausdorff_dt,
        "hausdorff_er": hausdorff_er,
        "soft_cl_dice": soft_cl_dice,
    }
    return {
        name: {"PyTorch": gradient_call(z, lambda loss=loss: loss(z, y))}
        for name, loss in losses.items()
    }


def planes(z: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and one-hot labels, both `[b, c, h, w]`."""
    return torch.softmax(z, 1), F.one_hot(y, z.shape[1]).movedim(-1, 1).float()


def focal(z, y, gamma=2.0):
    """Cross entropy times (1 - p)^gamma, mean."""
    cross_entropy = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** gamma * cross_entropy).mean()


def counts(z, y):
    """Sums of p t, p and t for each image and class."""
    p, t = planes(z, y)
    return (p * t).sum((2, 3)), p.sum((2, 3)), t.sum((2, 3))


def dice(z, y):
    """1 - 2 pt / (p + t), mean over images and classes."""
    both, p, t = counts(z, y)
    return (1 - (2 * both + SMOOTH) / (p + t + SMOOTH)).mean()


def jaccard(z, y):
    """1 - pt / (p + t - pt), mean over images and classes."""
    both, p, t = counts(z, y)
    return (1 - (both + SMOOTH) / (p + t - both + SMOOTH)).mean()


def generalized_dice(z, y):
    """Dice of sums over classes, each weighed by one over its squared area, 0 if absent."""
    both, p, t = counts(z, y)
    weight = torch.where(t > 0, 1 / t.clamp(min=1) ** 2, 0.0)
    return (1 - 2 * (weight * both).sum(1) / (weight * (p + t)).sum(1)).mean()


def tversky_index(z, y, alpha=0.5, beta=0.5):
    """pt / (pt + alpha false positives + beta false negatives) for each image and class."""
    both, p, t = counts(z, y)
    return (both + SMOOTH) / (both + alpha * (p - both) + beta * (t - both) + SMOOTH)


def tversky(z, y):
    """1 - index, mean."""
    return (1 - tversky_index(z, y)).mean()


def focal_tversky(z, y):
    """(1 - index)^0.75, mean."""
    return ((1 - tversky_index(z, y)) ** 0.75).mean()


def distances(inside: torch.Tensor) -> torch.Tensor:
    """Distance of every pixel to the border of each plane, from SciPy, on the tensor's device."""
    planes = inside.cpu().numpy().reshape(-1, *inside.shape[2:])
    distance = ndimage.distance_transform_edt
    fields = [
        distance(plane) + distance(~plane) if plane.any() and not plane.all() else 0 * plane
        for plane in planes
    ]
    fields = np.stack(fields).astype(np.float32).reshape(inside.shape)
    return torch.from_numpy(fields).to(inside.device)


def hausdorff_dt(z, y, alpha=2.0):
    """Squared error times the distances of both masks to the power alpha, mean."""
    p, t = planes(z, y)
    with torch.no_grad():
        weight = distances(p > 0.5) ** alpha + distances(t > 0.5) ** alpha
    return ((p - t) ** 2 * weight).mean()


def hausdorff_er(z, y, erosions=10, alpha=2.0):
    """Squared error, eroded again and again by a cross; what lasts long weighs more."""
    p, t = planes(z, y)
    error, total, channels = (p - t) ** 2, 0, z.shape[1]
    cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]], device=z.device) / 5
    kernel = cross.expand(channels, 1, 3, 3)
    for k in range(erosions):
        eroded = F.relu(F.conv2d(error, kernel, padding=1, groups=channels) - 0.5)
        low, high = eroded.amin((2, 3), keepdim=True), eroded.amax((2, 3), keepdim=True)
        error = torch.where(high > low, (eroded - low) / (high - low).clamp(min=SMOOTH), eroded)
        total = total + error * (k + 1) ** alpha
    return total.mean()


def erode(x):
    """The lowest value along each axis's three pixels."""
    return -torch.maximum(F.max_pool2d(-x, (3, 1), 1, (1, 0)), F.max_pool2d(-x, (1, 3), 1, (0, 1)))


def skeleton(x, iterations):
    """What an opening takes away, again and again."""
    kept = F.relu(x - F.max_pool2d(erode(x), 3, 1, 1))
    for _ in range(iterations):
        x = erode(x)
        found = F.relu(x - F.max_pool2d(erode(x), 3, 1, 1))
        kept = kept + F.relu(found - kept * found)
    return kept


def soft_cl_dice(z, y, iterations=3):
    """1 - the harmonic mean of topology precision and sensitivity, mean."""
    p, t = planes(z, y)
    of_p, of_t = skeleton(p, iterations), skeleton(t, iterations)
    precision = ((of_p * t).sum((1, 2, 3)) + 1) / (of_p.sum((1, 2, 3)) + 1)
    sensitivity = ((of_t * p).sum((1, 2, 3)) + 1) / (of_t.sum((1, 2, 3)) + 1)
    return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()
