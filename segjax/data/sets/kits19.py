"""KiTS19, the Kidney Tumour Segmentation challenge: abdominal CT of 210 labelled patients.

Source: N. Heller et al., "The KiTS19 Challenge Data: 300 Kidney Tumor Cases with Clinical Context,
CT Semantic Segmentations, and Surgical Outcomes", arXiv:1904.00445, 2019. docs/datasets/kits19.md
describes the layout. The config `paper` and the division follow Valverde and Tohka (2022).
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from segjax.data.sets import common, volume_features
from segjax.data.volumes.nifti import Volume
from segjax.errors import UserError

LABELLED = 210  # cases from this number on are the challenge's test set, given out without labels

# The axes of the official files: slices from head to foot, rows from the front, columns.
_ORDER = (2, 1, 0)
_ROOTS = ("", "data", "kits19/data", "kits19")
_EXPECTED = "the repository 'kits19' with a folder for each case, such as 'data/case_00000'"
_FILES = _IMAGE, _LABELS = "imaging.nii.gz", "segmentation.nii.gz"
_FETCH = "; `python3 -m starter_code.get_imaging` in the repository fetches the images"

_CITATION = """@article{heller2019kits19,
  title = {The {KiTS19} Challenge Data: 300 Kidney Tumor Cases with Clinical Context, {CT} Semantic Segmentations, and Surgical Outcomes},
  author = {Heller, Nicholas and Sathianathen, Niranjan and Kalapara, Arveen and Walczak, Edward and others},
  journal = {arXiv preprint arXiv:1904.00445}, year = {2019},
}"""  # noqa: E501


@dataclasses.dataclass(eq=False, kw_only=True)
class Kits19Config(tfds.core.BuilderConfig):
    """What is kept of a case.

    Attributes:
        size: height and width that the labelled slices are resized to, the others being dropped;
            None keeps everything as it is.
    """

    size: int | None = None


class Kits19(tfds.core.GeneratorBasedBuilder):
    """Kidneys and kidney tumours in CT with contrast agent."""

    CLASSES = ("kidney", "tumor")
    MODALITIES = ("CT",)
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        Kits19Config(name="paper", description="Labelled slices, 256 by 256 pixels.", size=256),
        Kits19Config(name="full", description="Every slice, as it is."),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Clone https://github.com/neheller/kits19 into manual_dir and fetch the images as its "
        "README says, so that manual_dir holds 'kits19/data/case_00000/imaging.nii.gz'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = volume_features.volume_features(len(self.MODALITIES))
        return tfds.core.DatasetInfo(
            builder=self,
            description="Abdominal CT before the removal of a kidney tumour, with labels.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://kits19.grand-challenge.org/",
            citation=_CITATION,
            license="CC BY-NC-SA",
        )

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """Image and labels of every labelled case."""
        files = [case / name for case in _cases(_folder(manual)).values() for name in _FILES]
        return {f"{path.parent.name}/{path.name}": path for path in files if path.is_file()}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        folder = _folder(common.manual_folder(dl_manager, _EXPECTED))
        splits = {"train": [], "validation": []}
        for number, case in _cases(folder).items():
            volume_features.check_files([case / _LABELS])
            volume_features.check_files([case / _IMAGE], _FETCH)
            splits["validation" if number % 2 else "train"].append(case)
        rule = f"of the cases below {LABELLED}, even ones are for training, odd ones for validation"
        volume_features.check_halves(splits, folder, rule)
        return {split: self._generate_examples(cases) for split, cases in splits.items()}

    def _generate_examples(self, cases: list[pathlib.Path]) -> Iterator[tuple[str, dict]]:
        known = range(len(self.CLASSES) + 1)
        for case in cases:
            label_path = case / _LABELS
            image, labels = volume_features.read_case(
                [case / _IMAGE], label_path, known=known, order=_ORDER
            )
            if size := self.builder_config.size:
                # Nothing would be left: all slices without a label are dropped
                if not labels.array.any():
                    raise UserError(f"{label_path}: no slice has a label")
                image, labels = _labelled_slices(image, labels, size)
            yield (
                case.name,
                volume_features.volume_example(
                    image, labels, image_id=case.name, patient=case.name
                ),
            )


def _folder(manual: pathlib.Path) -> pathlib.Path:
    """The folder of the cases."""
    return volume_features.first_folder(manual, _ROOTS, "case_*", _EXPECTED)


def _cases(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The folders of the labelled cases by number."""
    names = {path: re.fullmatch(r"case_(\d{5})", path.name) for path in folder.glob("case_*")}
    found = {int(name[1]): path for path, name in sorted(names.items()) if name}
    return {number: path for number, path in found.items() if number < LABELLED}


def _labelled_slices(image: Volume, labels: Volume, size: int) -> tuple[Volume, Volume]:
    """The slices with a label, each resized to `size` by `size` pixels.

    The file's axes are in `_ORDER`, so the slices lie along the last axis of the arrays.
    Images are resized by Pillow's bicubic filter, which averages when it shrinks; labels take the
    nearest value. Spacing and affine follow; slices dropped between labelled ones leave no gap.
    """
    width, height, _ = labels.array.shape
    kept = np.flatnonzero(labels.array.any(axis=(0, 1)))
    scale = np.array([width / size, height / size, 1])
    spacing = (image.spacing * scale).astype(np.float32)
    # An index of the new volume, in the file's order, to one of the old: centres of pixels stay.
    to_old = np.diag([*scale[::-1], 1])
    to_old[:3, 3] = (scale[::-1] - 1) / 2
    # Along the slices only the first kept one is right: a matrix cannot leave out those between.
    to_old[0, 3] = kept[0]
    affine = image.affine @ to_old

    def resized(array: np.ndarray, method: Image.Resampling) -> np.ndarray:
        planes = (Image.fromarray(np.ascontiguousarray(array[:, :, k])) for k in kept)
        return np.stack([np.asarray(plane.resize((size, size), method)) for plane in planes], -1)

    # Pillow resizes float32 planes (mode F) without rounding them
    voxels = resized(image.array[..., 0], Image.Resampling.BICUBIC)[..., None]
    classes = resized(labels.array, Image.Resampling.NEAREST)
    return Volume(voxels, spacing, affine), Volume(classes, spacing, affine)
