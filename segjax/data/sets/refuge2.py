"""REFUGE and REFUGE2: fundus photographs with fovea, optic disc and cup, and glaucoma labels.

Source: J. I. Orlando et al., "REFUGE Challenge: A unified framework for evaluating automated
methods for glaucoma assessment from fundus photographs", Medical Image Analysis 59:101570, 2020;
H. Fang et al., "REFUGE2 Challenge: A Treasure Trove for Multi-Dimension Analysis and Evaluation in
Glaucoma Screening", arXiv:2202.08994, 2022. docs/datasets/refuge2.md describes the two layouts.
"""

import dataclasses
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from segjax.data import images, sources, tables
from segjax.data.features import EncodedImage
from segjax.data.sets import common
from segjax.errors import UserError

_CUP, _RIM, _OUTSIDE = 0, 128, 255  # grey levels of the masks
UNKNOWN = -1

# Headers differ from part to part, and so does the order of the columns.
_NAME = ("ImgName", "ImageName", "FileName", "Image Name", "Image")
_POINT = {"name": _NAME, "x": ("Fovea_X", "X"), "y": ("Fovea_Y", "Y")}
_LABEL = ("Glaucoma Label", "Label(Glaucoma=1)", "Glaucoma Risk", "Glaucoma", "Label")
_FOLDER_LABELS = {"glaucoma": 1, "non-glaucoma": 0}

# manual_dir may be the unpacked archive, the folder it was unpacked into, or one deeper inside.
_ROOTS = ("", "REFUGE2", "REFUGE2/REFUGE2")
_EXPECTED = (
    "the folder 'REFUGE2', or pairs such as 'REFUGE-Training400' and 'Annotation-Training400'"
)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Where a split lies: places in both layouts, relative to a root; the first found counts."""

    images: tuple[str, ...]
    truth: tuple[str, ...]
    masks: tuple[str, ...]
    fovea: tuple[str, ...]
    labels: tuple[str, ...] = ()


_FIRST_MASKS = ("Disc_Cup_Masks",)
_FIRST_FOVEA = ("Fovea_location", "Fovea_locations", "Glaucoma_label_and_Fovea_location")
_SECOND_MASKS = ("Disc_Masks", "Disc_Mask", "Disc_Cup_Masks")
_PARTS = {
    "train": _Part(
        ("Train/REFUGE1-train/Training400", "REFUGE-Training400", "Training400"),
        (
            "Train/REFUGE1-train",
            "Annotation-Training400",
            "Annotation-Training400/Annotation-Training400",
            ".",
        ),
        _FIRST_MASKS,
        _FIRST_FOVEA,
    ),
    "validation": _Part(
        ("Train/REFUGE1-val/REFUGE-Validation400", "REFUGE-Validation400"),
        (
            "Train/REFUGE1-val",
            "REFUGE-Validation400-GT",
            "REFUGE-Validation400-GT/REFUGE-Validation400-GT",
            ".",
        ),
        _FIRST_MASKS,
        _FIRST_FOVEA,
    ),
    "test": _Part(
        ("Train/REFUGE1-test/Test400", "REFUGE-Test400", "Test400"),
        ("Train/REFUGE1-test", "REFUGE-Test-GT", "REFUGE-Test-GT/REFUGE-Test-GT", "."),
        _FIRST_MASKS,
        _FIRST_FOVEA,
    ),
    "refuge2_validation": _Part(
        ("Validation/Images", "Images"),
        ("Validation", "."),
        _SECOND_MASKS,
        ("fovea",),
        ("glaucoma",),
    ),
    "refuge2_test": _Part(
        ("Test/refuge2-test", "refuge2-test"), ("Test", "."), _SECOND_MASKS, ("fovea",), ("task1",)
    ),
}

_CITATION = """@article{orlando2020refuge,
  title = {REFUGE Challenge: A unified framework for evaluating automated methods for glaucoma assessment from fundus photographs},
  author = {Orlando, Jos{\\'e} Ignacio and Fu, Huazhu and Barbosa Breda, Jo{\\~a}o and others},
  journal = {Medical Image Analysis}, volume = {59}, pages = {101570}, year = {2020},
}
@article{fang2022refuge2,
  title = {REFUGE2 Challenge: A Treasure Trove for Multi-Dimension Analysis and Evaluation in Glaucoma Screening},
  author = {Fang, Huihui and Li, Fei and Wu, Junde and Fu, Huazhu and Sun, Xu and others},
  journal = {arXiv preprint arXiv:2202.08994}, year = {2022},
}"""  # noqa: E501


class Refuge2(tfds.core.GeneratorBasedBuilder):
    """Fovea, optic disc and cup, and glaucoma labels of up to 2000 photographs in five parts."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="full", description="All annotations of every part found.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Register at https://refuge.grand-challenge.org/, download REFUGE2 (one archive) or the "
        "REFUGE parts, and unpack them into manual_dir, so that it holds the folder 'REFUGE2', or "
        "'REFUGE-Training400' and 'Annotation-Training400', 'REFUGE-Validation400' and "
        "'REFUGE-Validation400-GT', 'REFUGE-Test400' and 'REFUGE-Test-GT'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        mask = EncodedImage(shape=(None, None, 1))
        features = {
            "image": EncodedImage(shape=(None, None, 3)),
            "image_id": tfds.features.Text(),
            "fovea": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "disc": tfds.features.Tensor(shape=(2,), dtype=np.float32),
            "optic_disc": mask,
            "optic_cup": mask,
            "glaucoma": tfds.features.Scalar(dtype=np.int32),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fundus photographs for glaucoma screening, with disc, cup and fovea.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://refuge.grand-challenge.org/",
            citation=_CITATION,
        )

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """Photographs, masks and tables of every part that has masks."""
        found = {}
        for split, part in _PARTS.items():
            folder, masks = _first_folder(manual, part.images), _masks(manual, part)
            if folder and masks:
                places = {"images": folder, "masks": masks}
                for kind, place in places.items():
                    pictures = sources.below(place, common.IMAGES)
                    found |= {f"{split}/{kind}/{name}": path for name, path in pictures.items()}
                tables_in = [_table(masks.parent, names) for names in (part.fovea, part.labels)]
                found |= {f"{split}/{path.name}": path for path in tables_in if path}
        if not found:
            raise UserError(f"manual_dir {manual}: should hold {_EXPECTED}")
        return found

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        manual = common.manual_folder(dl_manager, _EXPECTED)
        splits, bare = {}, []
        for split, part in _PARTS.items():
            folder = _first_folder(manual, part.images)
            found = common.list_images(folder) if folder else {}
            if not found:
                continue
            masks = _masks(manual, part)
            if masks is None:
                # Some parts were given out as pictures alone while their challenge ran.
                logging.warning("refuge2: %s is left out, it has no folder of masks", folder)
                bare.append(str(folder))
                continue
            # Tables and names are checked here, for all splits, before any picture is decoded.
            splits[split] = _read_part(part, folder, found, masks)
        if not splits:
            came = f"; found only images without masks in {', '.join(bare)}" if bare else ""
            raise UserError(f"manual_dir {manual}: should hold {_EXPECTED}{came}")
        return splits

    def _generate_examples(self, examples):
        yield from examples


def _masks(manual: pathlib.Path, part: _Part) -> pathlib.Path | None:
    return _first_folder(manual, [f"{t}/{m}" for t in part.truth for m in part.masks])


def _first_folder(manual: pathlib.Path, places) -> pathlib.Path | None:
    candidates = (manual / root / place for root in _ROOTS for place in places)
    return next((folder for folder in candidates if folder.is_dir()), None)


def _read_part(
    part: _Part, folder: pathlib.Path, found: dict[str, pathlib.Path], masks: pathlib.Path
):
    """Reads and matches a part's tables and mask names; gives a generator of its examples."""
    # Beside the masks: with both layouts unpacked, tables and masks come from one of them
    table = _table(masks.parent, part.fovea)
    if table is None:
        raise UserError(f"{masks.parent}: no table {part.fovea[0]}.xlsx (or .csv)")
    rows = common.read_rows(table, _POINT | {"glaucoma": _LABEL}, optional=("glaucoma",))
    common.check_rows(found, folder, rows, table)
    mask_files = common.list_images(masks)
    common.check_masks(found, folder, mask_files)
    for name, path in found.items():
        if name not in mask_files:
            raise UserError(f"{masks}: no mask for the image {path}")
    labels = _labels(part, folder, found, masks.parent, table, rows)
    # A generator: pictures are decoded one at a time, while TFDS writes
    return (
        (path.stem, _example(path, mask_files[name], table, rows[name], labels[name]))
        for name, path in found.items()
    )


def _table(folder: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path | None:
    paths = (folder / f"{name}{kind}" for name in names for kind in (".xlsx", ".csv"))
    return next((path for path in paths if path.is_file()), None)


def _labels(part: _Part, folder, found, truth: pathlib.Path, table, rows) -> dict[str, int]:
    """Glaucoma by image name: from a table of its own, the fovea table, or the folder's name."""
    own = _table(truth, part.labels)
    if own is not None:
        table, rows = own, common.read_rows(own, {"name": _NAME, "glaucoma": _LABEL})
        common.check_rows(found, folder, rows, table)
    labels = {}
    for name, path in found.items():
        # A label table of its own has a label for every image: an empty cell there is a fault
        if rows[name]["glaucoma"] is not None or own is not None:
            labels[name] = tables.parse_class(table, rows[name], "glaucoma", 2)
        else:
            labels[name] = _FOLDER_LABELS.get(path.parent.name.lower(), UNKNOWN)
    return labels


def _example(
    path: pathlib.Path, mask_path: pathlib.Path, table: pathlib.Path, row: tables.Row, label: int
) -> dict:
    image, size = common.stored_image(path)
    grey = images.read_levels(mask_path, (_CUP, _RIM, _OUTSIDE))
    common.check_size(mask_path, grey, size)
    disc = grey <= _RIM
    # A disc in the corner of a picture is an inverted mask, of which all outside would be disc
    if not disc.any() or disc[0, 0]:
        raise UserError(
            f"{mask_path}: no disc in the mask; 0 (cup), 128 (rim) and 255 (outside) are expected"
        )
    rows, columns = np.nonzero(disc)
    return {
        "image": image,
        "image_id": path.stem,
        "fovea": tables.parse_point(table, row, size),
        # Half a pixel: the centre of pixel j lies at j + 0.5.
        "disc": np.array([columns.mean() + 0.5, rows.mean() + 0.5], np.float32),
        "optic_disc": disc[..., None].astype(np.uint8),
        "optic_cup": (grey == _CUP)[..., None].astype(np.uint8),
        "glaucoma": np.int32(label),
    }
