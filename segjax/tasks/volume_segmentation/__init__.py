"""Segmentation of volumes slice by slice."""

from segjax.tasks.volume_segmentation.task import VolumeSegmentation as VolumeSegmentation
