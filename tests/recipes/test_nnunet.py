"""Sizes and plans of nnU-Net as options of model, data and task."""

import dataclasses

import pytest

from segjax.config.defaults import base
from segjax.data.volumes.fingerprint import Intensity
from segjax.data.volumes.plan import Plan
from segjax.errors import UserError
from segjax.recipes.nnunet import Size, follow, take_size
from segjax.tasks.volume_segmentation import VolumeSegmentation

CLASSES, MODALITIES = ("RV", "LV"), ("MR", "CT")


def plan_of(version="v1", dataset="acdc"):
    rows = [
        Intensity(**{f.name: 10.0 * row + i for i, f in enumerate(dataclasses.fields(Intensity))})
        for row in range(2)
    ]
    return Plan(
        dataset=dataset,
        version=version,
        fingerprint="f",
        classes=CLASSES,
        modalities=MODALITIES,
        transposition=(2, 0, 1),
        spacing=(5.0, 1.5, 1.25),
        median_shape=(9, 256, 216),
        patch_size=(64, 48),
        strides=((1, 1), (2, 2)),
        kernels=((3, 3), (1, 3)),
        features=(32, 64),
        batch_size=12,
        normalization=("zscore", "CT"),
        use_mask=(True, False),
        intensities=tuple(rows),
        data="digest",
    )


def test_a_size_gives_strides_and_widths():
    size = Size(patch=(256, 224), pools=(3, 2), features=16, most_features=40)
    assert size.strides == ((1, 1), (2, 2), (2, 2), (2, 1))
    assert size.widths == (16, 32, 40, 40)


def test_a_size_becomes_task_model_and_patches():
    config = base()
    size = Size(patch=(64, 48), pools=(2, 1), pixel_spacing=(1.5, 1.25), batch_size=3)
    take_size(config, size, CLASSES, MODALITIES)
    assert config.data.image_size == (64, 48) and config.data.batch_size == 3
    assert (config.model.features, config.model.strides) == (size.widths, size.strides)
    assert config.model.classes == 3 and not (config.model.up_bias or config.model.head_bias)
    task = VolumeSegmentation(**config.task_options)
    assert (task.channels, task.pixel_spacing) == (2, (1.5, 1.25))
    assert task.normalization == ("zscore", "zscore")
    assert config.data.augment.to_dict() == VolumeSegmentation.augmentations()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_plan_takes_the_place_of_the_size(tmp_path, version):
    config, plan, path = base(), plan_of(version), tmp_path / "plan.json"
    path.write_text(plan.to_json())
    config.data.name = "acdc"
    take_size(config, Size(patch=(32, 32), pools=(3, 3)), CLASSES, MODALITIES)
    follow(config, path)
    assert config.data.image_size == (64, 48) and config.data.batch_size == 12
    assert config.data.plan_digest == "digest"
    for name in ("features", "strides", "kernels"):
        assert config.model[name] == getattr(plan, name)
    assert config.model.up_bias == config.model.head_bias == (version == "v2")
    task = VolumeSegmentation(**config.task_options)
    assert (task.slice_axis, task.pixel_spacing) == (2, (1.5, 1.25))
    assert (task.normalization, task.within_nonzero) == (plan.normalization, (True, False))
    row = plan.intensities[1]
    wanted = (row.mean, row.sd, row.percentile_00_5, row.percentile_99_5)
    assert task.intensities[1] == wanted


def test_a_plan_of_another_set_is_refused(tmp_path):
    config, path = base(), tmp_path / "plan.json"
    path.write_text(plan_of(dataset="kits19").to_json())
    config.data.name = "acdc"
    with pytest.raises(UserError, match=r"plan=.*plan\.json: is a plan of kits19, .* is on acdc"):
        follow(config, path)
