"""Segmentation of small lesions at full resolution."""

from segjax.tasks.lesion_segmentation.task import LesionSegmentation

__all__ = ["LesionSegmentation"]
