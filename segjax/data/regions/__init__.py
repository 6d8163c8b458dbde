"""Eight regions of a fundus photograph, what is marked in them, and pictures of them."""

from segjax.data.regions.active import active_regions
from segjax.data.regions.annotators import Aggregate, aggregated
from segjax.data.regions.drawing import outlined
from segjax.data.regions.geometry import REGIONS, rasterised, region_map, union
from segjax.data.regions.lesions import Marked, marked
from segjax.data.regions.outlines import anchors, polygons

__all__ = [
    "REGIONS",
    "Aggregate",
    "Marked",
    "active_regions",
    "aggregated",
    "anchors",
    "marked",
    "outlined",
    "polygons",
    "rasterised",
    "region_map",
    "union",
]
