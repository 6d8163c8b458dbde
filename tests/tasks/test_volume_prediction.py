"""Which files are a case of a volume predictor, and what its prediction is called."""

import itertools
import pathlib

import numpy as np
import pytest

from segjax.data.outputs import check_names
from segjax.errors import UserError
from segjax.tasks.volume_segmentation.task import VolumeSegmentation
from tests.data.fake_volumes import write


def predictor(channels=1):
    return VolumeSegmentation(channels=channels, normalization=("zscore",) * channels).predictor()


def named(*names, channels=1):
    """The names of the label volumes of these files."""
    made = predictor(channels)
    return [made.outputs(case)[0] for case in made.cases([*map(pathlib.Path, names)])]


@pytest.mark.parametrize(
    "given, wanted",
    [
        (["scan.nii.gz"], ["scan.nii.gz"]),
        (["scan.nii"], ["scan.nii.gz"]),
        (["a/liver_07_0000.nii.gz", "b/liver_08_0000.nii"], ["liver_07.nii.gz", "liver_08.nii.gz"]),
        # A channel has four digits, and a case may end in some
        (["p_000.nii.gz", "p_00000.nii.gz", "_0000.nii.gz"], None),
        (["patient_0012.nii.gz"], None),
        # Numbers of a series, for channels begin at 0
        (["s_0001.nii.gz", "s_0002.nii.gz"], None),
        (["s_0000.nii.gz", "t_0001.nii.gz"], ["s.nii.gz", "t_0001.nii.gz"]),
    ],
)
def test_one_channel(given, wanted):
    """As nnU-Net has it: CASE_0000.nii.gz is predicted into CASE.nii.gz; others keep their name."""
    assert named(*given) == (given if wanted is None else wanted)


def test_several_channels_for_a_model_of_one():
    """Unless the run was evaluated on cases whose names end in four digits, too."""
    files = [pathlib.Path(f"s_000{n}.nii.gz") for n in (1, 0)]
    made = predictor()
    with pytest.raises(UserError, match="s_0000.nii.gz: the model takes 1 channel, case s has 2"):
        made.cases(files)
    made.known_cases = ["a_003", "s_0004"]
    assert list(made.cases(files)) == ["s_0001", "s_0000"]


def test_several_channels(tmp_path):
    for case, channel in itertools.product("ab", range(2)):
        write(tmp_path / f"{case}_000{channel}.nii.gz", np.zeros((4, 4, 3), np.float32), (1, 1, 1))
    write(tmp_path / "whole_0000.nii.gz", np.zeros((4, 4, 3, 2), np.float32), (1, 1, 1))
    wanted = ["a.nii.gz", "b.nii.gz", "whole_0000.nii.gz"]
    assert named(*sorted(tmp_path.iterdir()), channels=2) == wanted


def test_channels_whose_names_are_written_in_other_letters(tmp_path):
    for channel, name in enumerate(("é", "e\u0301")):
        array = np.zeros((4, 4, 3), np.float32)
        write(tmp_path / f"{name}_000{channel}.nii.gz", array, (1, 1, 1))
    assert named(*sorted(tmp_path.iterdir()), channels=2) == ["é.nii.gz"]


@pytest.mark.parametrize(
    "one, two",
    [
        ("s.nii.gz", "s_0000.nii.gz"),
        ("a/s_0000.nii.gz", "b/s_0000.nii.gz"),
        ("a/s_0000.nii.gz", "b/s_0000.nii"),
        ("s_0000.nii.gz", "S.nii"),
    ],
)
def test_two_of_one_name_are_refused_by_name(one, two):
    made = predictor()
    with pytest.raises(UserError) as caught:
        paths = made.cases([pathlib.Path(one), pathlib.Path(two)])
        check_names((name, paths[case][0]) for case in paths for name in made.outputs(case))
    assert one in str(caught.value) and two in str(caught.value)
