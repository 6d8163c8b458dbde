"""Draws docs/images/lesions.png: `python docs/lesions_picture.py WORKDIR`.

WORKDIR is that of `experiments/microaneurysms/demo.py`. Close by, of a photograph that it has not
trained on: photograph, proposals, refined proposals, what is right, false and missed.
"""

import pathlib
import sys

import cv2
import numpy as np

from segjax.data.png import write_png
from segjax.data.synthetic.fundus import generate_fundus
from segjax.pipelines import definition, stages
from segjax.pipelines.fusion import fused
from segjax.pipelines.networks import Networks
from segjax.tasks.lesions.overlay import overlay, window

PATH = pathlib.Path(__file__).with_name("images") / "lesions.png"
SEED, SIZE = 20_000_007, 1024  # the demo's test photographs have the numbers from 20,000,000 on
SIDE, FACTOR, GAP = 200, 2, 8


def picture(workdir: pathlib.Path) -> np.ndarray:
    """Four panels side by side."""
    made = definition.read(workdir)
    row = made.row(made.predicted)
    trained = stages.open_all(made, workdir, list(made.stages))
    eye = generate_fundus(SEED, SIZE)
    image, true = eye["image"], eye["microaneurysms"][..., 0] > 0
    networks = Networks(made, trained, [row])
    maps = networks.maps(networks.prepared(image), image.shape[:2])
    proposed = fused([maps.by_name[name] for name in made.proposals], row.fusion)
    refined = maps.row(made, row.name)
    close = window(true, refined > 0.5, SIDE)
    grey = [np.repeat(np.uint8(255 * p[close])[..., None], 3, 2) for p in (proposed, refined)]
    large = [
        cv2.resize(panel, None, fx=FACTOR, fy=FACTOR, interpolation=cv2.INTER_NEAREST)
        for panel in (image[close], *grey, overlay(image, refined > 0.5, true)[close])
    ]
    spaced = [np.pad(p, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for p in large]
    return np.concatenate(spaced, axis=1)[:, :-GAP]


if __name__ == "__main__":
    write_png(PATH, picture(pathlib.Path(sys.argv[1])))
