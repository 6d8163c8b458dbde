"""What `segjax landscape` can draw, and the flags of each kind. Imports nothing heavy."""

import argparse
import pathlib
from dataclasses import dataclass

from segjax.errors import UserError
from segjax.launch.flags import Flag, values_of


@dataclass(frozen=True)
class Kind:
    """One kind of picture: what it shows, how to read it, and its flags."""

    summary: str
    reading: str
    flags: dict[str, Flag]


SEVERAL = ("cross_entropy", "dice", "region_wise", "boundary", "hausdorff_dt")
LOSS = (
    "losses by name, your own as package.module:loss, with options after a colon: focal:gamma=3 "
    "region_wise:maps=signed"
)


def _shape(summary: str, reading: str) -> Kind:
    flags = {
        "loss": Flag(SEVERAL, LOSS, nargs="+", metavar="NAME"),
        "size": Flag(64, "side of the image in pixels", 16),
        "radius": Flag(12.0, "of the true disc, in pixels, at most a quarter of the size", 2),
        "steps": Flag(33, "number of predictions", 2),
    }
    return Kind(summary, reading + " Each loss is moved and scaled to [0, 1].", flags)


KINDS = {
    "position": Kind(
        "Localisation losses against the predicted position.",
        "Flat parts give no direction: softmax cross entropy punishes every wrong position alike,\n"
        "the multiscale one in steps, the squared error evenly.",
        {
            "classes": Flag(256, "positions along the axis, a power of two", 8),
            "target": Flag(70, "the true position", 0),
            "side": Flag(64, "side of the map in the lower row, a power of two", 8),
        },
    ),
    "shift": _shape(
        "Segmentation losses against the shift of the predicted disc.",
        "Overlap losses are flat once the discs no longer touch; losses of distance are not.",
    ),
    "grow": _shape(
        "Segmentation losses against the radius of the predicted disc.",
        "The two slopes at the true radius say whether too small or too large costs more.",
    ),
    "hole": _shape(
        "Segmentation losses against the radius of a hole in the predicted disc.",
        "How late a loss notices a hole.",
    ),
    "simplex": Kind(
        "Losses of one pixel over all softmax vectors of three classes; class 3 is true.",
        "Arrows: where descent moves the softmax vector. Needs the extra `notebooks`.",
        {
            "loss": Flag(("cross_entropy", "focal", "region_wise"), LOSS, None, "+", "NAME"),
            "vector": Flag((4.0, 7.0, -2.0), "the pixel's map, for losses of maps", nargs=3),
        },
    ),
    "training": Kind(
        "Negative gradient components of the region-wise loss while a small network learns.",
        "More than one at a pixel means that a wrong class is being raised with the right one.",
        {
            "maps": Flag(("boundary", "rectified"), "of segjax.maps", None, "+", "NAME"),
            "size": Flag(48, "side of the drawn image in pixels", 16),
            "steps": Flag(150, "updates", 1),
        },
    ),
    "parameters": Kind(
        "The loss around the parameters of a trained work folder, and its largest curvatures.",
        "Random directions, scaled filter by filter; eigenvalues of the Hessian by Lanczos.",
        {
            "split": Flag("train", "of the run's data", metavar="NAME"),
            "examples": Flag(8, "images that the loss is the mean over", 1),
            "reach": Flag(1.0, "how far to go, in lengths of the filters", 1e-6),
            "points": Flag(21, "along each side: points^2 evaluations", 3),
            "eigenvalues": Flag(5, "how many; 0 leaves them out", 0),
            "seed": Flag(0, "of the directions", 0),
        },
    ),
}

EXAMPLES = """\
examples:
  segjax landscape position --target 70
  segjax landscape shift --loss dice boundary hausdorff_dt:alpha=1 --output shift.png
  segjax landscape grow --loss dice mymodule:loss:power=2
  segjax landscape simplex --loss cross_entropy region_wise --vector 1 1 -0.6
  segjax landscape training --maps boundary rectified
  segjax landscape parameters --workdir work/demo --points 15
"""


def options(args: argparse.Namespace) -> dict[str, object]:
    """The checked values of a kind's flags, by name; UserError for a number out of range."""
    values = values_of(KINDS[args.kind].flags, args)
    return {"losses" if name == "loss" else name: value for name, value in values.items()}


def output(args: argparse.Namespace) -> pathlib.Path:
    """Where the picture goes; UserError for another kind of file."""
    path = args.output or pathlib.Path(f"landscape_{args.kind}.png")
    if path.suffix.lower() != ".png":
        raise UserError(f"--output {path}: takes a file name that ends in .png")
    return path
