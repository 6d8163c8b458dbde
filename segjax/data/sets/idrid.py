"""IDRiD, the Indian Diabetic Retinopathy Image Dataset: 516 fundus photographs in three parts.

Source: P. Porwal et al., "Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for
Diabetic Retinopathy Screening Research", Data 3(3):25, 2018. The layout read here is that of the
official archives; docs/datasets/idrid.md describes it and its traps.
"""

import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow_datasets as tfds

from segjax.data import images, sources, tables
from segjax.data.features import EncodedImage
from segjax.data.sets import common, idrid_findings, idrid_lesions
from segjax.errors import UserError

# Lesion kinds in the order of the field `findings`: folder and file suffix of their masks.
LESIONS = {
    "microaneurysms": ("1. Microaneurysms", "MA"),
    "haemorrhages": ("2. Haemorrhages", "HE"),
    "hard_exudates": ("3. Hard Exudates", "EX"),
    "soft_exudates": ("4. Soft Exudates", "SE"),
}
MASKS = LESIONS | {"optic_disc": ("5. Optic Disc", "OD")}

_PARTS = {
    "localization": "C. Localization",
    "segmentation": "A. Segmentation",
    "grading": "B. Disease Grading",
}
# What the configs that take more than one part are made of.
_SEVERAL = {
    "findings": tuple(_PARTS.values()),
    "lesions": (_PARTS["segmentation"], _PARTS["grading"]),
}
_SPLITS = {"train": ("a. Training Set", "Training"), "test": ("b. Testing Set", "Testing")}
_IMAGES = "1. Original Images"
_NAME = ("Image No", "Image name", "Image")
_POINT = {"name": _NAME, "x": ("X- Coordinate", "X"), "y": ("Y - Coordinate", "Y")}
_GRADES = {
    "name": _NAME,
    "retinopathy_grade": ("Retinopathy grade",),
    "macular_edema_risk": ("Risk of macular edema",),
}
_GRADE_COUNTS = {"retinopathy_grade": 5, "macular_edema_risk": 3}

_CITATION = """@article{porwal2018idrid,
  title = {Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic Retinopathy Screening Research},
  author = {Porwal, Prasanna and Pachade, Samiksha and Kamble, Ravi and Kokare, Manesh and Deshmukh, Girish and Sahasrabuddhe, Vivek and Meriaudeau, Fabrice},
  journal = {Data}, volume = {3}, number = {3}, pages = {25}, year = {2018},
}"""  # noqa: E501


class Idrid(tfds.core.GeneratorBasedBuilder):
    """Points (part C), masks (A), grades (B); findings and lesions are made of several parts."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="localization", description="Fovea and disc centres, part C."),
        tfds.core.BuilderConfig(name="segmentation", description="Lesion and disc masks, part A."),
        tfds.core.BuilderConfig(name="grading", description="Disease grades, part B."),
        tfds.core.BuilderConfig(
            name="findings", description="Findings with their regions, part A and healthy eyes."
        ),
        tfds.core.BuilderConfig(
            name="lesions", description="Lesion masks, part A, and healthy photographs, part B."
        ),
    ]
    # Of `findings` the predicted fovea of each photograph of part A, (x, y) by its name.
    given: Mapping[str, tuple[float, float]] | None = None
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download IDRiD from https://ieee-dataport.org/open-access/"
        "indian-diabetic-retinopathy-image-dataset-idrid and unpack its archives into manual_dir, "
        "so that it holds the folders 'A. Segmentation', 'B. Disease Grading', 'C. Localization'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"image": EncodedImage(shape=(None, None, 3)), "image_id": tfds.features.Text()}
        if self.builder_config.name == "localization":
            features["fovea"] = tfds.features.Tensor(shape=(2,), dtype=np.float32)
            features["disc"] = tfds.features.Tensor(shape=(2,), dtype=np.float32)
        elif self.builder_config.name == "segmentation":
            features |= {name: EncodedImage(shape=(None, None, 1)) for name in MASKS}
            features["findings"] = tfds.features.Tensor(shape=(len(LESIONS),), dtype=np.uint8)
        elif self.builder_config.name == "findings":
            features |= idrid_findings.features()
        elif self.builder_config.name == "lesions":
            features |= idrid_lesions.features(LESIONS)
        else:
            features |= {
                name: tfds.features.ClassLabel(num_classes=count)
                for name, count in _GRADE_COUNTS.items()
            }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Fundus photographs of diabetic and healthy eyes, with expert annotations.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://idrid.grand-challenge.org/",
            citation=_CITATION,
            license="CC BY 4.0",
        )

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """The photographs, masks and tables of the parts that this config reads."""
        endings, config = (*common.IMAGES, ".csv"), self.builder_config.name
        if config in _PARTS:
            return sources.below(_part_folder(manual, _PARTS[config]), endings)
        parts = {name: _part_folder(manual, name) for name in _SEVERAL[config]}
        found = {
            f"{part}/{name}": path
            for part, folder in parts.items()
            for name, path in sources.below(folder, endings).items()
        }
        if config == "lesions":
            return {name: path for name, path in found.items() if idrid_lesions.is_read(name)}
        return found

    # --- what `idrid/findings` takes of a trained run ---------------------------------------------

    @property
    def more_flags(self) -> str:
        """What `segjax data prepare` takes for it beside --manual_dir."""
        return " --fovea RUN" if self.builder_config.name == "findings" else ""

    def to_predict(self, manual: pathlib.Path) -> list[pathlib.Path]:
        """The photographs whose fovea a run has to predict: those of part A."""
        folder = _part_folder(manual, _PARTS["segmentation"]) / _IMAGES
        return list(common.list_images(folder / _SPLITS["train"][0]).values())

    def notes(self) -> dict[str, str]:
        """The predicted points, to be kept beside the records."""
        given = self.given
        return {} if given is None else {idrid_findings.POINTS: idrid_findings.note(given)}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        config = self.builder_config.name
        # Tables and names are checked here, for all splits, before any picture is stored
        make = getattr(self, f"_{config}")
        if config in _SEVERAL:
            named = " and ".join(map(repr, _SEVERAL[config]))
            return make(common.manual_folder(dl_manager, f"the folders {named}"))
        name = _PARTS[config]
        part = _part_folder(common.manual_folder(dl_manager, f"the folder {name!r}"), name)
        return {split: make(part, *given) for split, given in _photographs(part).items()}

    def _generate_examples(self, examples):
        yield from examples

    def _localization(self, part: pathlib.Path, folder: pathlib.Path, found: dict, word: str):
        return _examples(found, _points(part, folder, found, word))

    def _segmentation(self, part: pathlib.Path, folder: pathlib.Path, found: dict, word: str):
        truth = part / "2. All Segmentation Groundtruths" / folder.name
        files = {kind: _mask_files(truth, kind, folder, found) for kind in MASKS}
        return _examples(found, lambda name, size: _masks(files, name, size))

    def _grading(self, part: pathlib.Path, folder: pathlib.Path, found: dict, word: str):
        path = _table(part / "2. Groundtruths", f"IDRiD_Disease Grading_{word} Labels")
        rows = _rows(path, _GRADES, folder, found)
        # All are parsed now: a wrong cell is named before the first picture is decoded
        grades = {
            name: {key: tables.parse_class(path, row, key, n) for key, n in _GRADE_COUNTS.items()}
            for name, row in rows.items()
        }
        return _examples(found, lambda name, size: grades[name])

    def _findings(self, manual: pathlib.Path):
        """Part A with its masks, and the healthy eyes of part B with the points of part C.

        The official training sets alone: the test set of part A has numbers of its own.
        """
        folder, word = _SPLITS["train"]
        parts = {kind: _part_folder(manual, part) for kind, part in _PARTS.items()}
        found = {kind: common.list_images(part / _IMAGES / folder) for kind, part in parts.items()}
        fovea = idrid_findings.check_fovea(self.given, found["segmentation"])
        truth = parts["segmentation"] / "2. All Segmentation Groundtruths" / folder
        place = parts["segmentation"] / _IMAGES / folder
        masks = {kind: _mask_files(truth, kind, place, found["segmentation"]) for kind in MASKS}
        healthy = self._healthy(parts["grading"], found["grading"], word)
        scales = idrid_findings.same_photographs(healthy, found["localization"])
        there = parts["localization"] / _IMAGES / folder
        points = _points(parts["localization"], there, found["localization"], word)

        def of_part_a(name: str, size: tuple[int, int]) -> dict:
            stem = found["segmentation"][name].stem
            return idrid_findings.of_masks(stem, _masks(masks, name, size), fovea[stem])

        def of_part_b(name: str, size: tuple[int, int]) -> dict:
            smaller = tuple(round(v / scales[name]) for v in size)
            return idrid_findings.of_healthy(**points(name, smaller), scale=scales[name])

        both = _examples(found["segmentation"], of_part_a), _examples(healthy, of_part_b)
        return {"train": itertools.chain(*both)}

    def _lesions(self, manual: pathlib.Path):
        """Part A with the masks of its lesions, and the healthy photographs of part B.

        Of part B the official training set alone: its numbers begin anew in its test set.
        """
        part, of_grades = (_part_folder(manual, name) for name in _SEVERAL["lesions"])
        marked = _photographs(part)
        masks = {split: _lesion_files(part, *given) for split, (*given, _) in marked.items()}
        _, graded, word = _photographs(of_grades)["train"]
        healthy = self._healthy(of_grades, graded, word)
        if not healthy:
            raise UserError(f"{of_grades}: no photograph of the training set is graded 0, healthy")
        found = {split: photographs for split, (_, photographs, _) in marked.items()}
        healthy = idrid_lesions.different(found, healthy)

        def of_split(split: str):
            def annotate(name: str, size: tuple[int, int]) -> dict:
                return idrid_lesions.of_masks(LESIONS, _masks(masks[split], name, size))

            return _examples(found[split], annotate)

        examples = _examples(healthy, lambda _, size: idrid_lesions.of_healthy(LESIONS, size))
        return {split: of_split(split) for split in found} | {idrid_lesions.HEALTHY: examples}

    def _healthy(self, part: pathlib.Path, found: dict, word: str) -> dict[str, pathlib.Path]:
        """The photographs of part B that are graded 0."""
        path = _table(part / "2. Groundtruths", f"IDRiD_Disease Grading_{word} Labels")
        rows = _rows(path, _GRADES, part / _IMAGES / _SPLITS["train"][0], found)
        grade = "retinopathy_grade"
        grades = {n: tables.parse_class(path, r, grade, 5) for n, r in rows.items()}
        return {name: image for name, image in found.items() if grades[name] == 0}


def _photographs(part: pathlib.Path) -> dict[str, tuple[pathlib.Path, dict, str]]:
    """By split its folder, the photographs in it, and the word for it in names of tables."""
    splits = {}
    for split, (folder_name, word) in _SPLITS.items():
        folder = part / _IMAGES / folder_name
        if found := common.list_images(folder) if folder.is_dir() else {}:
            splits[split] = folder, found, word
        # The test set may be missing; what has no training set is the wrong folder
        elif split == "train":
            raise UserError(f"{folder}: no images; the training set must be there")
    return splits


def _examples(found: dict[str, pathlib.Path], annotate) -> Iterator[tuple[str, dict]]:
    """Decodes one image after another; `annotate(name, size)` gives its further fields."""
    for name, path in found.items():
        image, size = common.stored_image(path)
        yield path.stem, {"image": image, "image_id": path.stem, **annotate(name, size)}


def _points(
    part: pathlib.Path, folder: pathlib.Path, found: dict, word: str
) -> Callable[[str, tuple[int, int]], dict[str, np.ndarray]]:
    """`points(name, size)` of part C: the centres of fovea and disc, checked against a size."""
    truth = part / "2. Groundtruths"
    files = {
        "fovea": _table(truth / "2. Fovea Center Location", f"IDRiD_Fovea_Center_{word} Set"),
        "disc": _table(truth / "1. Optic Disc Center Location", f"IDRiD_OD_Center_{word} Set"),
    }
    rows = {name: _rows(path, _POINT, folder, found) for name, path in files.items()}

    def points(name: str, size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {p: tables.parse_point(files[p], rows[p][name], size) for p in files}

    return points


def _part_folder(manual: pathlib.Path, part: str) -> pathlib.Path:
    """The folder of a part: in manual_dir, doubled by an unpacker, or manual_dir itself."""
    for folder in (manual / part / part, manual / part, manual):
        if (folder / _IMAGES).is_dir():
            return folder
    raise UserError(f"manual_dir {manual}: should hold the folder {part!r} with {_IMAGES!r} in it")


def _table(folder: pathlib.Path, name: str) -> pathlib.Path:
    """The table whose file name contains `name`; some are prefixed 'a. ', some are not."""
    found = [p for p in sorted(folder.glob(f"*{name}*.csv")) if not p.name.startswith(".")]
    if len(found) != 1:
        came = f"there are {len(found)}" if found else "there is none"
        raise UserError(f"{folder}: one table {name}*.csv is expected, {came}")
    return found[0]


def _rows(path: pathlib.Path, columns: dict, folder: pathlib.Path, found: dict) -> dict:
    """The table's rows by image name, one for each image; other rows are remarks."""
    rows = common.read_rows(path, columns)
    # Names are in lower case by now (`tables.rows_by_name`)
    rows = {name: row for name, row in rows.items() if name.startswith("idrid_")}
    common.check_rows(found, folder, rows, path)
    return rows


def _mask_files(
    truth: pathlib.Path, kind: str, folder: pathlib.Path, found: dict
) -> dict[str, pathlib.Path]:
    """Mask files of a kind by image name. A lesion's may be missing, the disc's may not."""
    folder_name, suffix = MASKS[kind]
    masks_in = truth / folder_name
    if not masks_in.is_dir():
        raise UserError(f"{masks_in}: the folder of masks is missing")
    files = {
        name.removesuffix(f"_{suffix.lower()}"): path
        for name, path in common.list_images(masks_in).items()
    }
    common.check_masks(found, folder, files)
    for name, image in found.items():
        # IDRiD leaves out the file of a lesion that a picture does not have; every eye has a disc
        if kind not in LESIONS and name not in files:
            raise UserError(f"{masks_in / f'{image.stem}_{suffix}.tif'}: the mask is missing")
    return files


def _lesion_files(
    part: pathlib.Path, folder: pathlib.Path, found: dict
) -> dict[str, dict[str, pathlib.Path]]:
    """The masks of all lesions in a split of part A, by kind and image name; there must be one."""
    truth = part / "2. All Segmentation Groundtruths" / folder.name
    files = {kind: _mask_files(truth, kind, folder, found) for kind in LESIONS}
    if not any(files.values()):
        raise UserError(f"{truth}: no photograph has the mask of a lesion")
    return files


def _masks(
    files: dict[str, dict[str, pathlib.Path]], name: str, size: tuple[int, int]
) -> dict[str, np.ndarray]:
    width, height = size
    masks = {}
    for kind, paths in files.items():
        if name in paths:
            masks[kind] = images.read_mask(paths[name])[..., None]
            common.check_size(paths[name], masks[kind], size)
        else:
            masks[kind] = np.zeros((height, width, 1), np.uint8)
    findings = np.array([masks[kind].any() for kind in LESIONS], np.uint8)
    return {**masks, "findings": findings}
