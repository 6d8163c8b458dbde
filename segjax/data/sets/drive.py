"""DRIVE, Digital Retinal Images for Vessel Extraction: 40 fundus photographs with vessel masks.

Source: J. Staal et al., "Ridge-based vessel segmentation in color images of the retina", IEEE
Transactions on Medical Imaging 23(4):501-509, 2004. The layout read here is that of the official
archives; docs/datasets/drive.md describes it and its traps.
"""

import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from segjax.data import images, sources
from segjax.data.features import EncodedImage
from segjax.data.sets import common
from segjax.errors import UserError

HELD_OUT = 4  # photographs at the end of the training set that become `validation`
_FOLDERS = ("training", "test")
# Field, folder, and how its files end: NN_manual1.gif, NN_training_mask.gif.
_FIRST = ("1st_manual", "_manual1.gif")
_SECOND = ("2nd_manual", "_manual2.gif")

_CITATION = """@article{staal2004ridge,
  title = {Ridge-based vessel segmentation in color images of the retina},
  author = {Staal, Joes and Abr{\\`a}moff, Michael D. and Niemeijer, Meindert and Viergever, Max A. and van Ginneken, Bram},
  journal = {IEEE Transactions on Medical Imaging}, volume = {23}, number = {4}, pages = {501--509}, year = {2004},
}"""  # noqa: E501


class Drive(tfds.core.GeneratorBasedBuilder):
    """Vessels as outlined by one or two observers, and the field of view."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="full", description="The whole set.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download DRIVE from https://drive.grand-challenge.org/ and unpack its archives into "
        "manual_dir, so that it holds the folder 'training' and, if there, 'test'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        mask = EncodedImage(shape=(None, None, 1), dtype=np.uint8)
        features = {
            "image": EncodedImage(shape=(None, None, 3), dtype=np.uint8),
            "image_id": tfds.features.Text(),
            "vessels": mask,
            "vessels_second_observer": mask,
            "has_second_observer": tfds.features.Scalar(dtype=np.uint8),
            "field_of_view": mask,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fundus photographs of a screening programme with hand-drawn vessels.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://drive.grand-challenge.org/",
            citation=_CITATION,
        )

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """The photographs and masks of the training set, and of the test set where it is read."""
        root = _root(manual)
        parts = ["training", "test"] if _has_test(root) else ["training"]
        return {
            f"{part}/{name}": path
            for part in parts
            for name, path in sources.below(root / part, (*common.IMAGES, ".gif")).items()
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        root = _root(common.manual_folder(dl_manager, "the folder 'training'"))
        cases = _cases(root / "training", "training")
        if len(cases) <= HELD_OUT:
            raise UserError(
                f"{root / 'training' / 'images'}: {len(cases)} images; more than {HELD_OUT} are "
                f"needed, for the last {HELD_OUT} become the validation split"
            )
        splits = {"train": cases[:-HELD_OUT], "validation": cases[-HELD_OUT:]}
        if _has_test(root):
            splits["test"] = _cases(root / "test", "test")
        return {split: self._generate_examples(found) for split, found in splits.items()}

    def _generate_examples(self, cases: list[dict]) -> Iterator[tuple[str, dict]]:
        for files in cases:
            image, size = common.stored_image(files["image"])
            first, field = (_mask(files[name], size) for name in ("vessels", "field_of_view"))
            known = files["second"] is not None
            # TFDS has no absent pictures: an empty mask stands in, told apart by
            # `has_second_observer`
            second = _mask(files["second"], size) if known else np.zeros_like(first)
            name = files["image"].stem
            yield (
                name,
                {
                    "image": image,
                    "image_id": name,
                    "vessels": first,
                    "vessels_second_observer": second,
                    "has_second_observer": np.uint8(known),
                    "field_of_view": field,
                },
            )


def _has_test(root: pathlib.Path) -> bool:
    """Whether the test set has outlines, which the challenge keeps to itself."""
    return (root / "test" / _FIRST[0]).is_dir()


def _root(manual: pathlib.Path) -> pathlib.Path:
    """The folder that holds `training`: manual_dir, a folder DRIVE in it, or training itself."""
    for folder in (manual, manual / "DRIVE", manual.parent):
        if (folder / "training" / "images").is_dir():
            # manual_dir may be `training` itself; any other folder beside a `training` was not
            # meant
            if folder != manual.parent or manual.name == "training":
                return folder
    raise UserError(f"manual_dir {manual}: should hold the folder 'training' with 'images' in it")


def _cases(folder: pathlib.Path, word: str) -> list[dict]:
    """The files of each photograph, by its number; all of them are there."""
    found = common.list_images(folder / "images") if (folder / "images").is_dir() else {}
    if not found:
        raise UserError(f"{folder / 'images'}: no images")
    cases = []
    for path in (found[name] for name in sorted(found)):
        number = re.fullmatch(rf"(\d+)_{word}", path.stem)
        if number is None:
            raise UserError(f"{path}: takes a name like 21_{word}.tif")
        cases.append(
            {
                "image": path,
                "vessels": folder / _FIRST[0] / f"{number[1]}{_FIRST[1]}",
                "second": folder / _SECOND[0] / f"{number[1]}{_SECOND[1]}",
                "field_of_view": folder / "mask" / f"{path.stem}_mask.gif",
            }
        )
    # Only the test set has a second observer; where the folder is there, it has to be complete
    if not (folder / _SECOND[0]).is_dir():
        cases = [case | {"second": None} for case in cases]
    _check_files(folder, cases)
    return cases


def _check_files(folder: pathlib.Path, cases: list[dict]) -> None:
    """Raises UserError for the first mask that is missing, or has no photograph."""
    masks = [path for case in cases for path in list(case.values())[1:] if path is not None]
    for path in masks:
        if not path.is_file():
            raise UserError(f"{path}: the mask is missing")
    for inside in sorted({path.parent for path in masks}):
        for path in sorted(inside.glob("*.gif")):
            if path not in masks and not path.name.startswith("."):
                raise UserError(f"{folder / 'images'}: no image for the mask {path}")


def _mask(path: os.PathLike, size: tuple[int, int]) -> np.ndarray:
    mask = images.read_mask(path)[..., None]
    common.check_size(path, mask, size)
    return mask
