import itertools

import jax
import numpy as np
import pytest

from segjax.data import order
from segjax.data.pipeline import Records, Resident, Streamed, gather, read_all, share_of

EXAMPLES = 11
WHOLE = slice(None)


def convert(example):
    number = example["number"]
    image = np.full((2, 3, 3), number, np.uint8)
    return {"image": image, "points": np.array([number, number / 7], np.float32)}


@pytest.fixture(scope="module")
def records():
    return Records([{"number": number} for number in range(EXAMPLES)], convert)


@pytest.fixture(scope="module")
def resident(records):
    return Resident(records, label="train")


@pytest.fixture(scope="module")
def streamed(records):
    return Streamed(records, threads=3, buffer=5)


def take(batches, count):
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def fields_of(split, batch):
    return gather(split.arrays, batch)


def assert_same(a, b):
    assert set(a) == set(b)
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_records_are_converted_and_measured(records):
    assert len(records) == EXAMPLES
    assert records[np.int32(4)]["points"][0] == 4
    assert records.megabytes() == pytest.approx(EXAMPLES * (18 + 8) / 2**20)


def test_read_all_stacks_in_order(records):
    arrays = read_all(records, label="train")
    assert arrays["image"].shape == (EXAMPLES, 2, 3, 3) and arrays["image"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["points"][:, 0], np.arange(EXAMPLES))


def test_an_error_in_a_record_reaches_the_reader(records):
    def broken(example):
        if example["number"] == 7:
            raise OSError("image 7 is torn")
        return convert(example)

    torn = Records([{"number": number} for number in range(EXAMPLES)], broken)
    with pytest.raises(OSError, match="image 7 is torn"):
        Resident(torn, label="train")
    with pytest.raises(Exception, match="image 7 is torn"):
        take(Streamed(torn, threads=2).train_batches(0, 0, EXAMPLES, WHOLE), 1)


@pytest.mark.parametrize("batch_size", [1, 4, 8, 16])
def test_training_batches_follow_the_order(resident, batch_size):
    batches = take(resident.train_batches(3, 0, batch_size, WHOLE), 6)
    for step, batch in enumerate(batches):
        expected = order.batch_indices(3, step, batch_size, EXAMPLES)
        np.testing.assert_array_equal(batch["index"], expected)
        np.testing.assert_array_equal(batch["slot"], np.arange(batch_size))
        np.testing.assert_array_equal(batch["weight"], np.ones(batch_size))
        np.testing.assert_array_equal(fields_of(resident, batch)["points"][:, 0], expected)


def test_every_example_comes_once_an_epoch(resident):
    batches = take(resident.train_batches(0, 0, 4, WHOLE), 2 * EXAMPLES)
    seen = np.concatenate([fields_of(resident, batch)["points"][:, 0] for batch in batches])
    for epoch in range(8):
        part = seen[epoch * EXAMPLES : (epoch + 1) * EXAMPLES]
        np.testing.assert_array_equal(np.sort(part), np.arange(EXAMPLES))


@pytest.mark.parametrize("start", [0, 1, 5, 1234])
@pytest.mark.parametrize("rows", [WHOLE, slice(2, 4)])
def test_streamed_gives_the_batches_of_resident(resident, streamed, start, rows):
    one = take(resident.train_batches(7, start, 4, rows), 7)
    other = take(streamed.train_batches(7, start, 4, rows), 7)
    for a, b in zip(one, other, strict=True):
        assert_same(fields_of(resident, a), fields_of(streamed, b))
        for name in ("slot", "weight"):
            assert_same({name: a[name]}, {name: b[name]})


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_a_later_start_is_the_continuation(request, kind):
    split = request.getfixturevalue(kind)
    undisturbed = take(split.train_batches(2, 0, 4, WHOLE), 9)
    resumed = take(split.train_batches(2, 6, 4, WHOLE), 3)
    for a, b in zip(undisturbed[6:], resumed, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("kind", ["resident", "streamed"])
def test_two_iterators_do_not_disturb_each_other(request, kind):
    split = request.getfixturevalue(kind)
    alone = take(split.train_batches(1, 0, 4, WHOLE), 4)
    first, second = (split.train_batches(seed, 0, 4, WHOLE) for seed in (1, 5))
    for expected in alone:
        next(second)
        assert_same(next(first), expected)
    first.close()
    second.close()


@pytest.mark.parametrize("batch_size", [4, 11, 16])
def test_evaluation_sees_every_example_once_and_pads_with_weight_0(resident, streamed, batch_size):
    one = list(resident.evaluation_batches(batch_size, WHOLE))
    other = list(streamed.evaluation_batches(batch_size, WHOLE))
    assert len(one) == len(other) == -(-EXAMPLES // batch_size)
    for a, b in zip(one, other, strict=True):
        assert_same(fields_of(resident, a), fields_of(streamed, b))
        assert_same({"w": a["weight"], "s": a["slot"]}, {"w": b["weight"], "s": b["slot"]})
    weight = np.concatenate([batch["weight"] for batch in one])
    seen = np.concatenate([fields_of(resident, batch)["points"][:, 0] for batch in one])
    np.testing.assert_array_equal(seen[weight > 0], np.arange(EXAMPLES))
    assert not weight[EXAMPLES:].any()


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_shares_of_processes_partition_the_batch(processes):
    rows = [np.arange(8)[share_of(8, process, processes)] for process in range(processes)]
    assert {len(share) for share in rows} == {8 // processes}
    np.testing.assert_array_equal(np.concatenate(rows), np.arange(8))


@pytest.mark.parametrize("kind", ["resident", "streamed"])
@pytest.mark.parametrize("mode", ["train", "evaluation"])
def test_processes_together_load_what_one_loads(request, kind, mode):
    split = request.getfixturevalue(kind)

    def batches(rows):
        if mode == "train":
            return take(split.train_batches(4, 3, 8, rows), 4)
        return list(split.evaluation_batches(8, rows))

    shares = [batches(share_of(8, process, 2)) for process in range(2)]
    for whole, *parts in zip(batches(WHOLE), *shares, strict=True):
        joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
        assert_same(joined, whole)


def test_gather_works_inside_jit(resident):
    batch = take(resident.train_batches(0, 0, 4, WHOLE), 1)[0]
    compiled = jax.jit(gather)(resident.arrays, batch)
    plain = gather(resident.arrays, batch)
    assert set(compiled) == {"image", "points"}
    for name in plain:
        np.testing.assert_array_equal(compiled[name], plain[name])
