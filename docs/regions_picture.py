"""Draws docs/images/regions.png: `python docs/regions_picture.py`.

The eight regions on two generated photographs, of a right and a left eye; three are marked, one of
them for two findings.
"""

import itertools
import pathlib

import numpy as np

from segjax.data.contact_sheet import mask_colour
from segjax.data.png import write_png
from segjax.data.regions import outlined, region_map
from segjax.data.synthetic.fundus import generate_fundus

PATH = pathlib.Path(__file__).with_name("images") / "regions.png"
SIZE = 384
LEAST = 0.03  # of the picture that each region is
ONE, OTHER = map(mask_colour, ("hard_exudates", "haemorrhages"))
MARKED = {"macula": [ONE, OTHER], "superior_temporal": [ONE], "inferior_nasal": [OTHER]}


def picture() -> np.ndarray:
    """A right and a left eye, the first ones that show all eight regions."""
    sides: dict[bool, dict] = {}
    for seed in itertools.count():
        eye = generate_fundus(seed, SIZE)
        regions = region_map(eye["disc"], eye["fovea"], SIZE, SIZE)
        if np.bincount(regions.ravel(), minlength=8).min() > LEAST * regions.size:
            sides.setdefault(bool(eye["disc"][0] < eye["fovea"][0]), eye)
        if len(sides) == 2:
            break
    eyes = (sides[False], sides[True])
    drawn = [outlined(e["image"], e["disc"], e["fovea"], marked=MARKED) for e in eyes]
    return np.concatenate(drawn, axis=1)


if __name__ == "__main__":
    write_png(PATH, picture())
