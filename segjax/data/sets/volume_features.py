"""What builders of volume sets share: the fields of an example, and reading one case."""

import pathlib
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from segjax.data.volumes import nifti
from segjax.data.volumes.nifti import Volume
from segjax.errors import UserError


def volume_features(channels: int) -> dict[str, tfds.features.FeatureConnector]:
    """The fields that every set of volumes has; see docs/datasets/acdc.md for their meaning.

    Voxels are float32 and compressed: the two lower bytes of whole numbers are zeros, so this takes
    about a fifth more room than storing 16-bit integers, and floats need no second way.
    """
    packed = tfds.features.Encoding.ZLIB
    exact = tfds.features.Encoding.BYTES  # float64 would be rounded to float32 otherwise
    return {
        "image": tfds.features.Tensor(
            shape=(None, None, None, channels), dtype=np.float32, encoding=packed
        ),
        "labels": tfds.features.Tensor(shape=(None, None, None), dtype=np.uint8, encoding=packed),
        "spacing": tfds.features.Tensor(shape=(3,), dtype=np.float32),
        "affine": tfds.features.Tensor(shape=(4, 4), dtype=np.float64, encoding=exact),
        "image_id": tfds.features.Text(),
        "patient": tfds.features.Text(),
    }


def volume_example(
    image: Volume, labels: Volume, *, image_id: str, patient: str, **further: object
) -> dict[str, object]:
    """An example of an image `[d, h, w, c]` and its labels `[d, h, w]`, with further fields."""
    return {
        "image": image.array,
        "labels": labels.array,
        "spacing": image.spacing,
        "affine": image.affine,
        "image_id": image_id,
        "patient": patient,
        **further,
    }


def read_case(
    image_paths: Sequence[pathlib.Path],
    label_path: pathlib.Path,
    *,
    known: Collection[int],
    remap: Mapping[int, int] | None = None,
    order: Sequence[int] | None = None,
    channels: int | None = None,
    said: str = "the set has",
) -> tuple[Volume, Volume]:
    """Reads a case: the image `[d, h, w, c]`, a channel a file, and its labels `[d, h, w]`.

    With `channels` a single file may hold all of them; `said` tells messages who says how many.

    With an `order`, as in `nifti.in_order`, the axes are brought into it by the affine; without,
    they stay as they are, and the slices lie along the file's last one, as far as spacing tells.

    Raises:
        UserError: a file is bad, does not lie on the voxel grid of the first image, holds another
            number of channels, or has its slices along another axis.
    """
    image = nifti.read_image(image_paths, channels or len(image_paths), said)
    labels = nifti.read_labels(label_path, known, remap)
    nifti.check_pair(image_paths[0], image, label_path, labels)
    if order is None:
        # A set whose files have one order of axes: another one is noticed by its spacing
        nifti.check_slices(image_paths[0], image, axis=0)
        return image, labels
    return tuple(nifti.in_order(image_paths[0], volume, order) for volume in (image, labels))


def first_folder(
    manual: pathlib.Path, places: Sequence[str], inside: str, expected: str
) -> pathlib.Path:
    """The first of `places` below `manual` that holds a match of `inside`, or a UserError."""
    for place in places:
        if any(path.is_dir() for path in (manual / place).glob(inside)):
            return manual / place
    raise UserError(f"manual_dir {manual}: should hold {expected}")


def check_files(paths: Sequence[pathlib.Path], hint: str = "") -> None:
    """Raises UserError for the first file that is missing."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: the file is missing{hint}")


def check_halves(splits: Mapping[str, Sequence[object]], folder: pathlib.Path, rule: str) -> None:
    """Raises UserError when a split of a set that is divided by `rule` has no case."""
    for split, cases in splits.items():
        if not cases:
            raise UserError(f"{folder}: no case for the split {split}; {rule}")
