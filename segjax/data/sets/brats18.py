"""BraTS 2018, the Brain Tumour Segmentation challenge: four MR sequences of 210 glioblastomas.

Source: B. H. Menze et al., "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)", IEEE
Transactions on Medical Imaging 34(10):1993-2024, 2015, and its data of 2018.
docs/datasets/brats18.md describes the layout. Channel order, classes and division are those of
Valverde and Tohka (2022).
"""

import pathlib
from collections.abc import Iterator

import tensorflow_datasets as tfds

from segjax.data.sets import common, volume_features

_SUFFIXES = ("t2", "t1", "t1ce", "flair")  # of MODALITIES
# The files leave label 3 out; classes are stored without a gap
_KNOWN = (0, 1, 2, 4)
_REMAP = {4: 3}
_ORDER = (0, 1, 2)  # the axes of the official files, slices last
_ROOTS = ("HGG", "MICCAI_BraTS_2018_Data_Training/HGG", "")
_EXPECTED = "the folder 'HGG' (in 'MICCAI_BraTS_2018_Data_Training') with a folder for each case"

_CITATION = """@article{menze2015brats,
  title = {The Multimodal Brain Tumor Image Segmentation Benchmark ({BRATS})},
  author = {Menze, Bjoern H. and Jakab, Andras and Bauer, Stefan and Kalpathy-Cramer, Jayashree and others},
  journal = {IEEE Transactions on Medical Imaging}, volume = {34}, number = {10}, pages = {1993--2024}, year = {2015},
}
@article{bakas2017advancing,
  title = {Advancing The Cancer Genome Atlas glioma {MRI} collections with expert segmentation labels and radiomic features},
  author = {Bakas, Spyridon and Akbari, Hamed and Sotiras, Aristeidis and Bilello, Michel and others},
  journal = {Scientific Data}, volume = {4}, pages = {170117}, year = {2017},
}"""  # noqa: E501


class Brats18(tfds.core.GeneratorBasedBuilder):
    """Necrosis and non-enhancing core, oedema, and enhancing core of high-grade gliomas."""

    CLASSES = ("NCR_NET", "ED", "ET")
    MODALITIES = ("T2", "T1", "T1ce", "FLAIR")
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="hgg", description="The high-grade gliomas of the training.")
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Request the training data of BraTS 2018 at https://www.med.upenn.edu/sbia/brats2018/, "
        "and unpack them into manual_dir, so that it holds 'MICCAI_BraTS_2018_Data_Training/HGG'."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = volume_features.volume_features(len(self.MODALITIES))
        return tfds.core.DatasetInfo(
            builder=self,
            description="MR of brains with high-grade glioma in four sequences, with labels.",
            features=tfds.features.FeaturesDict(features),
            homepage="https://www.med.upenn.edu/sbia/brats2018.html",
            citation=_CITATION,
        )

    def source_files(self, manual: pathlib.Path) -> dict[str, pathlib.Path]:
        """The four images and the labels of every case."""
        cases = _cases(_folder(manual))
        files = [path for case in cases for path in (*_images(case), _labels(case))]
        return {f"{path.parent.name}/{path.name}": path for path in files if path.is_file()}

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        folder = _folder(common.manual_folder(dl_manager, _EXPECTED))
        cases = _cases(folder)
        for case in cases:
            volume_features.check_files([*_images(case), _labels(case)])
        # The published halves: those of the list sorted by name
        splits = {"train": cases[::2], "validation": cases[1::2]}
        rule = "cases are dealt out in turn, by name"
        volume_features.check_halves(splits, folder, rule)
        return {split: self._generate_examples(cases) for split, cases in splits.items()}

    def _generate_examples(self, cases: list[pathlib.Path]) -> Iterator[tuple[str, dict]]:
        for case in cases:
            image, labels = volume_features.read_case(
                _images(case), _labels(case), known=_KNOWN, remap=_REMAP, order=_ORDER
            )
            name, patient = case.name, self.patient(case.name)
            yield (
                name,
                volume_features.volume_example(image, labels, image_id=name, patient=patient),
            )

    @staticmethod
    def patient(name: str) -> str:
        """The patient of a case: the last part of its name counts the scans of one."""
        return name.rpartition("_")[0]


def _folder(manual: pathlib.Path) -> pathlib.Path:
    """The folder of the cases."""
    return volume_features.first_folder(manual, _ROOTS, "Brats18_*", _EXPECTED)


def _cases(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the cases by name."""
    return sorted(path for path in folder.glob("Brats18_*") if path.is_dir())


def _images(case: pathlib.Path) -> list[pathlib.Path]:
    return [case / f"{case.name}_{suffix}.nii.gz" for suffix in _SUFFIXES]


def _labels(case: pathlib.Path) -> pathlib.Path:
    return case / f"{case.name}_seg.nii.gz"
