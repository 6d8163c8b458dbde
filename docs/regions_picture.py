"""Draws docs/images/regions.png: `python docs/regions_picture.py`.

The eight regions on two generated photographs, of a right and a left eye; three are marked, one of
them for two findings.
"""

import pathlib

import numpy as np

from segjax.data.contact_sheet import mask_colour
from segjax.data.png import write_png
from segjax.data.regions import outlined
from segjax.data.synthetic.fundus import generate_fundus

PATH = pathlib.Path(__file__).with_name("images") / "regions.png"
SIZE = 384
ONE, OTHER = map(mask_colour, ("hard_exudates", "haemorrhages"))
MARKED = {"macula": [ONE, OTHER], "superior_temporal": [ONE], "inferior_nasal": [OTHER]}


def picture() -> np.ndarray:
    """Both eyes beside each other: the first generated one, and the first of the other side."""
    eyes = (generate_fundus(seed, SIZE) for seed in range(100))
    sides: dict[bool, dict] = {}
    for eye in eyes:
        sides.setdefault(bool(eye["disc"][0] > eye["fovea"][0]), eye)
        if len(sides) == 2:
            break
    drawn = [outlined(e["image"], e["disc"], e["fovea"], marked=MARKED) for e in sides.values()]
    return np.concatenate(drawn, axis=1)


if __name__ == "__main__":
    write_png(PATH, picture())
