"""A folder as the Medical Segmentation Decathlon has it, and what is asked of a prepared one."""

import json

import numpy as np
import pytest

from segjax.data import own, store
from tests.data.folders.test_volumes import SHAPE, labels_of, prepare, records, write

CHANNELS = ("FLAIR", "T1w", "t1gd", "T2w")
CASES = 5


def image_of(seed, channels=4):
    """Voxels `[x, y, z, channel]`."""
    return np.random.default_rng(seed).normal(size=(*SHAPE, channels)).astype(np.float32)


@pytest.fixture
def brains(tmp_path):
    """Five cases of four channels in one file each, as the Decathlon has them."""
    root = tmp_path / "Task01_BrainTumour"
    for n in range(CASES):
        write(root / "imagesTr" / f"BRATS_{n:03d}.nii.gz", image_of(n))
        write(root / "labelsTr" / f"BRATS_{n:03d}.nii.gz", labels_of(n))
        write(root / "imagesTs" / f"BRATS_{n + 50:03d}.nii.gz", image_of(n + 50))
        # As an archive that macOS has packed leaves them
        (root / "imagesTs" / f"._BRATS_{n + 50:03d}.nii.gz").write_bytes(b"\0\5\26\7")
    names = [f"BRATS_{n:03d}.nii.gz" for n in range(CASES)]
    listed = [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names]
    content = {
        "name": "BRATS",
        "tensorImageSize": "4D",
        "modality": {str(n): name for n, name in enumerate(CHANNELS)},
        "labels": {"0": "background", "1": "edema", "2": "enhancing tumour"},
        "training": listed,
        "test": [f"./imagesTs/BRATS_{n + 50:03d}.nii.gz" for n in range(CASES)],
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def change(root, **changes):
    content = json.loads((root / "dataset.json").read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(kept))


def refused(root, capfd, *messages, words=()):
    """One line, status 2, nothing stored, nothing written into the folder."""
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    capfd.readouterr()
    assert prepare(root, *words) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("segjax: ") and errors.count("\n") == 1, errors
    for message in messages:
        assert message in errors, errors
    assert own.names(root.parent / "data") == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def stored(root):
    return records(root, "train") | records(root, "validation")


def made(root):
    return store.builder("livers", str(root.parent / "data"))
