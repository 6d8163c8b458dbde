"""ACDC, the Automated Cardiac Diagnosis Challenge: cine MR of 150 hearts at two phases.

Source: O. Bernard et al., "Deep Learning Techniques for Automatic MRI Cardiac Multi-structures
Segmentation and Diagnosis: Is the Problem Solved?", IEEE Transactions on Medical Imaging
37(11):2514-2525, 2018. docs/datasets/acdc.md describes the layout and its traps.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterator

import tensorflow_datasets as tfds
from absl import logging

from segjax.data import sources
from segjax.data.sets import common, volume_features
from segjax.errors import UserError

PHASES = ("ED", "ES")
GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
UNKNOWN = -1  # the group, where Info.cfg names none

# manual_dir may be the folder of training and testing, or one or two above it.
_ROOTS = ("", "database/", "ACDC/", "ACDC/database/")
_EXPECTED = "ACDC/database/training with a folder for each patient, such as patient001"

_CITATION = """@article{bernard2018acdc,
  title = {Deep Learning Techniques for Automatic {MRI} Cardiac Multi-structures Segmentation and Diagnosis: Is the Problem Solved?},
  author = {Bernard, Olivier and Lalande, Alain and Zotti, Clement and Cervenansky, Frederick and others},
  journal = {IEEE Transactions on Medical Imaging}, volume = {37}, number = {11}, pages = {2514--2525}, year = {2018},
}"""  # noqa: E501


@dataclasses.dataclass(frozen=True)
class _Case:
    """One heart at one phase."""

    patient: str
    phase: str
    group: str | int
    image: pathlib.Path
    labels: pathlib.Path


class Acdc(tfds.core.GeneratorBasedBuilder):
    """Right ventricle, myocardium and left ventricle at end diastole (ED) and end systole (ES)."""

    CLASSES = ("RV", "M", "LV")
    MODALITIES = ("MR",)
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="full", description="Every labelled phase, as it is.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Download ACDC from https://humanheart-project.creatis.insa-lyon.fr/database/ and unpack "
        "it into manual_dir, so that it holds the folder 'ACDC/database/training'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = volume_features.volume_features(len(self.MODALITIES))
        features["phase"] = tfds.features.ClassLabel(names=list(PHASES))
        # -1, UNKNOWN, is what TFDS takes for a label that is not given
        features["group"] = tfds.features.ClassLabel(names=list(GROUPS))
        return tfds.core.DatasetInfo(
            builder=self,
            description="Short-axis cine MR of healthy and diseased hearts, with labels.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://www.creatis.insa-lyon.fr/Challenge/acdc/",
            citation=_CITATION,
        )

    @staticmethod
    def patient(name: str) -> str:
        """The patient of a case, which has one at each phase: patient001_ED is of patient001."""
        return name.rpartition("_")[0]

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """Info.cfg and the labelled frames of each patient; of the test set where it is read."""
        training = _training(manual)
        testing = _testing(training)
        labelled = any(list(folder.glob("*_gt.nii.gz")) for folder in testing)
        folders = {"training": _patients(training).values(), "testing": testing if labelled else ()}
        return {
            f"{part}/{folder.name}/{name}": path
            for part, found in folders.items()
            for folder in found
            for name, path in sources.below(folder, (".cfg", ".gz")).items()
            if name == "Info.cfg" or "_frame" in name
        }

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        training = _training(common.manual_folder(dl_manager, _EXPECTED))
        # Every Info.cfg and every name is checked here, before a volume is read.
        patients = _patients(training)
        halves = {
            # By patient: the two phases of one heart are alike, and must not stand on both sides
            "train": [path for number, path in patients.items() if number % 2 == 0],
            "validation": [path for number, path in patients.items() if number % 2],
        }
        rule = "even patients are for training, odd ones for validation"
        volume_features.check_halves(halves, training, rule)
        splits = {split: _cases(folders) for split, folders in halves.items()}
        if test := _test_cases(training):
            splits["test"] = test
        return {split: self._generate_examples(cases) for split, cases in splits.items()}

    def _generate_examples(self, cases: list[_Case]) -> Iterator[tuple[str, dict]]:
        known = range(len(self.CLASSES) + 1)
        for case in cases:
            image, labels = volume_features.read_case([case.image], case.labels, known=known)
            name = f"{case.patient}_{case.phase}"
            yield (
                name,
                volume_features.volume_example(
                    image,
                    labels,
                    image_id=name,
                    patient=case.patient,
                    phase=case.phase,
                    group=case.group,
                ),
            )


def _training(manual: pathlib.Path) -> pathlib.Path:
    """The folder of the training patients."""
    # Root by root, the plain folder before the doubled one; the first with patients counts
    places = [place for root in _ROOTS for place in _nested(f"{root}training")]
    return volume_features.first_folder(manual, places, "patient*", _EXPECTED)


def _nested(place: str) -> tuple[str, str]:
    """A folder, and the same in one of its own name, as some unpackers leave it."""
    return place, f"{place}/{place.rpartition('/')[2]}"


def _patients(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The folders of patients by number."""
    found = {}
    for path in sorted(folder.glob("patient*")):
        number = re.fullmatch(r"patient(\d{3})", path.name)
        if number and path.is_dir():
            found[int(number[1])] = path
    return found


def _cases(folders: list[pathlib.Path], *, labelled: bool = True) -> list[_Case]:
    """Both phases of every patient; the images are there, and the labels unless told otherwise."""
    cases = []
    for folder in folders:
        # Info.cfg decides which frame is which phase: frame 01 is not always end diastole
        frames, group = _read_info(folder / "Info.cfg")
        for phase, frame in frames.items():
            image = folder / f"{folder.name}_frame{frame:02d}.nii.gz"
            labels = image.with_name(image.name.replace(".nii", "_gt.nii"))
            cases.append(_Case(folder.name, phase, group, image, labels))
    for case in cases:
        named = f", which {case.image.parent / 'Info.cfg'} names as {case.phase}"
        volume_features.check_files([case.image], named)
        if labelled:
            volume_features.check_files([case.labels])
    return cases


def _testing(training: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the test patients, beside the training set."""
    # From a doubled training/training one goes up two folders
    above = training.parent.parent if training.parent.name == "training" else training.parent
    found = [_patients(above / place) for place in _nested("testing")]
    return next((list(patients.values()) for patients in found if patients), [])


def _test_cases(training: pathlib.Path) -> list[_Case]:
    """The cases of the test patients, none when they are missing or unlabelled."""
    folders = _testing(training)
    cases = _cases(folders, labelled=False)
    if not any(case.labels.is_file() for case in cases):
        if cases:  # the challenge gave the test images out without labels at first
            logging.warning("acdc: %s is left out, it has no labels", folders[0].parent)
        return []
    # Labels of some cases only are a broken download, not the unlabelled test set
    volume_features.check_files([case.labels for case in cases])
    return cases


def _read_info(path: pathlib.Path) -> tuple[dict[str, int], str | int]:
    """The frame of each phase, and the group, of a file of lines such as `ED: 1`."""
    volume_features.check_files([path])
    # Keys and values are ASCII; whatever else stands there must not stop the reading
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    info = {key.strip(): value.strip() for key, _, value in pairs}
    frames = {}
    for phase in PHASES:
        text = info.get(phase, "")
        if not re.fullmatch("[0-9]+", text):
            came = f"{text!r}" if phase in info else "none"
            raise UserError(f"{path}: the line '{phase}: frame' is expected, with a number; {came}")
        frames[phase] = int(text)
    if frames["ED"] == frames["ES"]:
        raise UserError(f"{path}: ED and ES are both frame {frames['ED']}")
    group = info.get("Group") or UNKNOWN
    if group not in (*GROUPS, UNKNOWN):
        raise UserError(f"{path}: Group is {group!r}; taken are {', '.join(GROUPS)}")
    return frames, group
