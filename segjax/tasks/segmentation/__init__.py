"""Segmentation of photographs."""

from segjax.tasks.segmentation.task import Segmentation as Segmentation
