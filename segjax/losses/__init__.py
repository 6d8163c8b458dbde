"""Losses. Every public function is one: arrays in, one value per image out, the caller reduces."""

from segjax.losses.localization import (
    coordinate_mean_squared_error,
    multiscale_softmax_cross_entropy,
)

__all__ = ["coordinate_mean_squared_error", "multiscale_softmax_cross_entropy"]
