"""Small folders of pictures and masks, as people have them."""

import csv

import cv2
import numpy as np
from PIL import Image

SIZE = (20, 30)  # height, width


def picture(path, seed=0, size=SIZE):
    """A photograph of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    assert cv2.imwrite(str(path), array)
    return path


def mask(path, values=(0, 255), size=SIZE, palette=None):
    """Rows of equal bands, one a value; with a palette the values are its indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros(size, np.uint8)
    for value, rows in zip(values, np.array_split(np.arange(size[0]), len(values)), strict=True):
        array[rows] = value
    made = Image.fromarray(array)
    if palette is not None:
        made.putpalette(palette)
    made.save(path)
    return path


def coloured(path, colours, size=SIZE):
    """Bands of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.zeros((*size, 3), np.uint8)
    for colour, rows in zip(colours, np.array_split(np.arange(size[0]), len(colours)), strict=True):
        array[rows] = colour
    Image.fromarray(array).save(path)
    return path


def table(path, header, *rows):
    """A CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path
