"""Photographs for tasks on lesions: what a set must have, which are healthy, what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from segjax.errors import UserError
from segjax.tasks.lesion_segmentation import LesionSegmentation
from tests.tasks import lesions as shared

PATCH = (16, 24)


def made(**options):
    chosen = {"image_size": PATCH, "gain": 0.0, "healthy_centres": 500, "epoch_batches": 4}
    return LesionSegmentation(**(chosen | options))


def source_of(task, tmp_path, **changes):
    experiment = shared.experiment(task, tmp_path, **changes)
    return task.source(experiment)


# --- what a set must have -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, word",
    [
        ({"target": "microaneurism"}, "'microaneurism'.*did you mean 'microaneurysms'"),
        ({"target": "grade"}, "'grade' is no mask"),
        ({"target": "image"}, "'image' is no mask"),
        ({"healthy": "grad=0"}, "'grad'.*did you mean 'grade'"),
        ({"healthy": "findings=0"}, "healthy='findings=0': 'findings' does not hold one number"),
        ({"healthy": "image_id=0"}, "healthy='image_id=0': 'image_id' does not hold one number"),
        ({"healthy": "microaneurysms=0"}, "'microaneurysms' does not hold one number"),
    ],
)
def test_fields_that_do_not_fit_are_named(options, word):
    with pytest.raises(UserError, match=word):
        made(**options).check_features(shared.Data().features, "config.data.name='fake'")


def test_fields_that_fit():
    for healthy, fields in (("", ()), ("grade=0", ("grade",))):
        task = made(healthy=healthy)
        task.check_features(shared.Data().features, "here")
        assert task.fields == ("image", "image_id", "microaneurysms", *fields)


def lacking(kind):
    """The photographs of the split without those of a kind, `healthy` or `lesions`."""
    keep = {"healthy": [0, 2, 4], "lesions": [1, 3]}[kind]
    return tuple(shared.SPLIT[index] for index in keep)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("healthy", ["", "grade=0"])
def test_a_split_without_lesions_is_named_before_photographs_are_prepared(split, healthy, tmp_path):
    data = shared.Data(
        **{"train": shared.SPLIT, "validation": shared.SPLIT, split: lacking("lesions")}
    )
    task = made(healthy=healthy)
    with pytest.raises(UserError) as caught:
        task.check_place(shared.experiment(task, tmp_path, data=data))
    wanted = f"config.data.splits.{split}='{split}[:90%]': no photograph has microaneurysms"
    assert str(caught.value) == wanted
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("healthy", ["", "grade=0", "grade=7"])
def test_a_training_split_without_healthy_photographs_is_named(healthy, tmp_path):
    # Of photographs without a mask none is left; of grade 7 there is none anyway
    train = shared.SPLIT if healthy == "grade=7" else lacking("healthy")[: 2 if not healthy else 3]
    data, task = shared.Data(train=train, validation=shared.SPLIT), made(healthy=healthy)
    rule = f"task_options.healthy={healthy}" if healthy else "with an empty mask"
    wanted = rf"config.data.splits.train='train\[:90%\]': no photograph is healthy \({rule}\)"
    with pytest.raises(UserError, match=wanted):
        task.check_place(shared.experiment(task, tmp_path, data=data))


def test_a_validation_may_do_without_healthy_photographs(tmp_path):
    data, task = shared.Data(train=shared.SPLIT, validation=lacking("healthy")), made()
    task.check_place(shared.experiment(task, tmp_path, data=data))


def test_kinds_are_looked_for_no_longer_than_needed(tmp_path):
    read = []

    class Watched(shared.Data):
        def open(self, split, fields):
            assert fields == ("microaneurysms",)  # images stay encoded
            for example in self.splits[split]:
                read.append(example["image_id"])
                yield example

    for healthy, wanted in (("", ["eye0", "eye1", "eye0"]), ("grade=0", ["eye0", "eye0"])):
        read.clear()
        task = made(healthy=healthy)
        task.check_place(shared.experiment(task, tmp_path, data=Watched()))
        assert [name.decode() for name in read] == wanted


def test_a_patch_larger_than_the_photographs_is_named_before_they_are_prepared(tmp_path):
    for options, word in (
        ({"image_size": (41, 41)}, "eye0: 56x40 pixels are smaller than a patch of 41x41"),
        ({"scale": 0.5, "image_size": (24, 24)}, "eye0: 28x20 pixels at scale 0.5 are smaller"),
    ):
        task = made(**options)
        experiment = shared.experiment(task, tmp_path)
        with pytest.raises(UserError, match=rf"{word}.*config.data.image_size"):
            task.check_place(experiment)
        with pytest.raises(UserError, match=word):
            task.open_photographs(experiment, "train")


def test_a_later_small_photograph_is_named_as_soon_as_it_is_read(tmp_path):
    read = []
    task = made(image_size=(40, 47))  # eye3 is 45 wide

    def watched():
        for example in shared.SPLIT:
            read.append(example["image_id"])
            yield example

    data = SimpleNamespace(**vars(shared.Data()), open=lambda *_: watched(), expression=str)
    with pytest.raises(UserError, match="eye3: 45x64 pixels are smaller than a patch of 47x40"):
        task.open_photographs(shared.experiment(task, tmp_path, data=data), "train")
    assert read[-1] == b"eye3"


def test_photographs_prepared_for_smaller_patches_are_held_to_this_one(tmp_path):
    small, large = made(image_size=(8, 8)), made(image_size=(40, 47))
    data = shared.Data()
    small.open_photographs(shared.experiment(small, tmp_path, data=data), "train")
    with pytest.raises(UserError, match="eye3: 45x64"):
        large.open_photographs(shared.experiment(large, tmp_path, data=data), "train")


def test_a_batch_of_one_has_no_room_for_both_kinds(tmp_path):
    task = made()
    with pytest.raises(UserError, match="config.data.batch_size=1: takes at least 2"):
        task.check_place(shared.experiment(task, tmp_path, batch_size=1))


# --- photographs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule, wanted",
    [("", [False, True, False, True, True]), ("grade=0", [False, True, False, True, False])],
)
def test_who_is_healthy(rule, wanted):
    found = [made(healthy=rule).read(example, 0.0 if rule else None) for example in shared.SPLIT]
    assert [marked.is_healthy for marked in found] == wanted
    for marked, example in zip(found, shared.SPLIT, strict=True):
        assert marked.lesions.dtype == bool
        np.testing.assert_array_equal(marked.lesions, example["microaneurysms"][..., 0] > 0)
        np.testing.assert_array_equal(marked.image, example["image"])


def test_masks_of_any_number_above_0_are_lesions():
    given = shared.example(5, lesions=[(20, 20)])
    given["microaneurysms"] *= 255
    assert made().read(given, None).lesions.sum() == 9


def test_a_contradiction_is_named():
    given = shared.example(7, lesions=[(20, 20)], grade=0)
    with pytest.raises(UserError, match="eye7: has microaneurysms, and is healthy by .*grade=0"):
        made(healthy="grade=0").read(given, 0.0)


def test_photographs_of_a_split_and_their_candidates(tmp_path):
    task = made(healthy="grade=0", healthy_centres=100)
    experiment = shared.experiment(task, tmp_path)
    photographs = task.open_photographs(experiment, "train")
    assert [p.name for p in photographs] == [f"eye{n}" for n in range(5)]
    lesions, healthy = task.candidates(experiment, "train", photographs)
    photograph, pixel = lesions.at(np.arange(len(lesions)))
    wanted = [
        (index, *place)
        for index, example in enumerate(shared.SPLIT)
        for place in np.argwhere(example["microaneurysms"][..., 0])
    ]
    np.testing.assert_array_equal(np.column_stack([photograph, pixel]), wanted)
    photograph, pixel = healthy.at(np.arange(len(healthy)))
    # The fifth has no lesion, but is not healthy: other signs of the disease may show there
    assert np.unique(photograph, return_counts=True)[1].tolist() == [100, 100]
    assert set(photograph) == {1, 3}
    assert task.open_photographs(experiment, "train")[0].image.tobytes() == (
        shared.SPLIT[0]["image"].tobytes()
    )


def test_lesions_that_a_scale_leaves_out_are_named(tmp_path):
    dot = shared.example(0, (40, 56))
    dot["microaneurysms"][10, 10] = 1
    task = made(scale=0.5, image_size=(8, 8))
    experiment = shared.experiment(task, tmp_path, data=shared.Data(train=(dot, shared.SPLIT[1])))
    with pytest.raises(UserError, match="no photograph has microaneurysms at scale 0.5"):
        task.source(experiment)


@pytest.mark.parametrize(
    "resident, megabytes, wanted",
    [("yes", 1, True), ("no", 2048, False), ("auto", 2048, True), ("auto", 3, False)],
)
def test_photographs_lie_on_the_device_where_their_array_fits(
    resident, megabytes, wanted, tmp_path
):
    # One array: each takes the room of the highest and of the widest, 4 MB together
    sizes = [(1000, 16), (16, 524)]
    photographs = [SimpleNamespace(labels=np.zeros(size, np.uint8)) for size in sizes]
    task = made()
    settings = {"resident": resident, "resident_megabytes": megabytes}
    experiment = shared.experiment(task, tmp_path, **settings)
    assert task.is_resident(experiment, photographs) is wanted
