"""Localisation of a point through a heat map."""

from segjax.tasks.localization.task import Localization as Localization
