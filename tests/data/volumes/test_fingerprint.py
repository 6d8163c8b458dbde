"""The fingerprint: crops, sizes, foreground statistics, and its JSON."""

import dataclasses
import json

import numpy as np
import pytest

from segjax.data.volumes import fingerprint as fp
from segjax.errors import UserError

CLASSES = ("ring", "core")


def volume(seed=0, shape=(6, 20, 30), channels=2, margin=((1, 1), (3, 2), (4, 5))):
    """An image that is zero in its margin, and labels 0..2 inside."""
    rng = np.random.default_rng(seed)
    inner = tuple(n - a - b for n, (a, b) in zip(shape, margin, strict=True))
    image = np.pad(rng.uniform(1, 9, (*inner, channels)), (*margin, (0, 0))).astype(np.float32)
    labels = np.pad(rng.integers(0, 3, inner), margin).astype(np.uint8)
    return image, labels, (5.0, 1.5, 1.25)


def made(volumes=None, **changes):
    volumes = [volume(0), volume(1, (5, 18, 24))] if volumes is None else volumes
    names = {"dataset": "fake", "classes": CLASSES, "modalities": ("T1", "T2"), **changes}
    return fp.compute(iter(volumes), **names)


def test_the_crop_is_the_box_of_the_union_of_channels():
    image = np.zeros((5, 6, 7, 2))
    image[1, 2, 3, 0] = -4
    image[3, 4, 2, 1] = 1
    box, inside = fp.crop_to_nonzero(image)
    assert box == (slice(1, 4), slice(2, 5), slice(2, 4))
    assert inside.shape == (3, 3, 2) and inside.sum() == 2


def test_holes_are_inside_and_bays_are_outside():
    image = np.zeros((5, 7, 7, 1))
    image[1:4, 1:6, 1:6] = 1
    image[2, 3, 3] = 0  # enclosed on all sides
    image[2, 3, 5] = 0  # open to the right
    box, inside = fp.crop_to_nonzero(image)
    assert box == (slice(1, 4), slice(1, 6), slice(1, 6))
    assert inside[1, 2, 2] and not inside[1, 2, 4]
    assert inside.sum() == inside.size - 1


def test_an_empty_volume_is_kept_whole():
    box, inside = fp.crop_to_nonzero(np.zeros((2, 3, 4, 1)))
    assert box == (slice(0, 2), slice(0, 3), slice(0, 4))
    assert inside.shape == (2, 3, 4) and not inside.any()


def test_the_numbers_are_those_of_the_cropped_cases():
    volumes = [volume(0), volume(1, (5, 18, 24))]
    result = made(volumes)
    assert result.cases == 2
    assert result.sizes == ((4, 15, 21), (3, 13, 15))
    assert result.spacings == ((5.0, 1.5, 1.25),) * 2
    assert result.reductions == pytest.approx((4 * 15 * 21 / 3600, 3 * 13 * 15 / (5 * 18 * 24)))
    for channel, found in enumerate(result.intensities):
        tenth = np.concatenate(
            [image[..., channel][labels > 0][::10] for image, labels, _ in volumes]
        )
        expected = {
            "median": np.median(tenth),
            "mean": tenth.mean(dtype=float),
            "sd": tenth.std(dtype=float),
            "min": tenth.min(),
            "max": tenth.max(),
            "percentile_99_5": np.percentile(tenth.astype(float), 99.5),
            "percentile_00_5": np.percentile(tenth.astype(float), 0.5),
        }
        assert dataclasses.asdict(found) == pytest.approx(expected, rel=1e-6)


def test_spacings_lose_the_noise_of_single_precision():
    image, labels, _ = volume()
    assert made([(image, labels, np.float32([9.8, 1.4, 1.25]))]).spacings == ((9.8, 1.4, 1.25),)


def test_what_is_ignored_is_no_foreground():
    image, labels, spacing = volume()
    ignored = labels.copy()
    ignored[2:4] = 255
    image[2:4] *= 1000  # which would show in every number
    found = made([(image, ignored, spacing)])
    without = np.where(ignored == 255, 0, ignored)
    assert found == made([(image, without, spacing)])
    assert found.intensities[0].max < 10
    assert made([(image, labels, spacing)]).intensities[0].max > 1000


def test_volumes_are_read_one_at_a_time():
    alive = []

    def stream():
        for seed in range(3):
            alive.append(seed)
            yield volume(seed)

    assert made(stream()).cases == len(alive) == 3


def test_json_brings_back_the_same_record():
    record = made()
    text = record.to_json()
    assert fp.Fingerprint.from_json(text, source="f.json") == record
    assert len(text.splitlines()) == len(dataclasses.fields(record)) + 2
    assert json.loads(text)["sizes"] == [[4, 15, 21], [3, 13, 15]]


def test_the_digest_tells_records_apart():
    assert made().digest() == made().digest() != made(dataset="other").digest()
    assert len(made().digest()) == 16


def changed(**changes):
    return json.dumps({**json.loads(made().to_json()), **changes})


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "Expecting value"),
        (made().to_json()[:200], "damaged"),
        ("[1]", "content"),
        ("{}", "is missing"),
        (changed(extra=1), "'extra' is unknown"),
        (changed(cases="2"), "cases"),
        (changed(cases=True), "cases"),
        (changed(sizes=[[1, 2]]), "sizes"),
        (changed(sizes=4), "sizes"),
        (changed(reductions=[float("nan")]), "reductions"),
        (changed(intensities=[{}]), "'max' is missing"),
    ],
)
def test_damaged_json_names_the_file_and_the_field(text, word):
    with pytest.raises(UserError, match="somewhere/f.json: damaged") as error:
        fp.Fingerprint.from_json(text, source="somewhere/f.json")
    assert word in str(error.value) and "\n" not in str(error.value)


def test_whole_numbers_may_stand_for_lengths():
    text = changed(spacings=[[5, 1, 1], [5, 1, 1]])
    record = fp.Fingerprint.from_json(text, source="f")
    assert record.spacings[0] == (5.0, 1.0, 1.0) and type(record.spacings[0][0]) is float


def with_value(place, value):
    image, labels, spacing = volume()
    image, labels, spacing = image.copy(), labels.copy(), list(spacing)
    {"image": image, "labels": labels, "spacing": spacing}[place][0] = value
    return [(image, labels, spacing)]


@pytest.mark.parametrize(
    "volumes, word",
    [
        ([], "no case"),
        ([(volume()[0], np.zeros((6, 20, 30), np.uint8), (1, 1, 1))], "ring, core"),
        ([volume(channels=1)], "case 0: 1 channels"),
        ([volume(), (volume()[0], volume()[1][1:], (1, 1, 1))], "case 1"),
        (with_value("labels", 3), "label 3"),
        (with_value("image", np.nan), "finite"),
        (with_value("spacing", 0.0), "spacing"),
        (with_value("spacing", np.inf), "spacing"),
    ],
)
def test_what_does_not_fit_is_named(volumes, word):
    with pytest.raises(UserError, match="^fake: ") as error:
        made(volumes)
    assert word in str(error.value)
