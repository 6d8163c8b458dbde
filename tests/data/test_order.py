import subprocess
import sys

import numpy as np
import pytest

from segjax.data import order


def epoch_of(seed, epoch, batch_size, examples, steps):
    joined = [order.batch_indices(seed, step, batch_size, examples) for step in range(steps)]
    return np.concatenate(joined)[epoch * examples : (epoch + 1) * examples]


@pytest.mark.parametrize(
    "examples, batch_size", [(7, 3), (8, 8), (10, 4), (3, 8), (1, 4), (413, 8)]
)
def test_every_example_comes_once_an_epoch(examples, batch_size):
    steps = -(-3 * examples // batch_size)
    for epoch in range(3):
        seen = epoch_of(5, epoch, batch_size, examples, steps)
        np.testing.assert_array_equal(np.sort(seen), np.arange(examples))


def test_epochs_and_seeds_are_shuffled_differently():
    first, second = (epoch_of(0, epoch, 50, 100, 4) for epoch in range(2))
    other = epoch_of(1, 0, 50, 100, 4)
    assert not np.array_equal(first, np.arange(100))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_batch_is_a_function_of_seed_and_step_alone():
    forwards = [order.batch_indices(3, step, 4, 10) for step in range(20)]
    for step in reversed(range(20)):
        order.batch_indices(9, step, 4, 11)  # something else in between
        np.testing.assert_array_equal(order.batch_indices(3, step, 4, 10), forwards[step])
    assert forwards[0].dtype == np.int32 and forwards[0].shape == (4,)


def test_the_sequence_does_not_depend_on_the_batch_size():
    small = np.concatenate([order.batch_indices(2, step, 3, 10) for step in range(8)])
    large = np.concatenate([order.batch_indices(2, step, 8, 10) for step in range(3)])
    np.testing.assert_array_equal(small, large)


def test_another_process_finds_the_same_order():
    program = (
        "from segjax.data import order\n"
        "print(*order.batch_indices(4, 1000003, 8, 413), *order.batch_indices(2**40, 0, 4, 9))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    found = [int(word) for word in done.stdout.split()]
    expected = [*order.batch_indices(4, 1000003, 8, 413), *order.batch_indices(2**40, 0, 4, 9)]
    assert found == expected, done.stderr


def test_the_order_stays_from_release_to_release():
    np.testing.assert_array_equal(
        epoch_of(0, 0, 12, 12, 1), np.random.Generator(np.random.Philox(key=[0, 0])).permutation(12)
    )


def test_one_position_agrees_with_its_batch():
    batch = order.batch_indices(1, 6, 5, 7)
    assert [order.example_at(1, 30 + place, 7) for place in range(5)] == list(batch)


@pytest.mark.parametrize("examples, batch_size", [(10, 4), (8, 4), (3, 8), (1, 1), (60, 16)])
def test_evaluation_covers_every_example_once(examples, batch_size):
    batches = order.evaluation_batches(examples, batch_size)
    assert len(batches) == -(-examples // batch_size)
    index = np.concatenate([index for index, _ in batches])
    weight = np.concatenate([weight for _, weight in batches])
    assert all(len(index) == len(weight) == batch_size for index, weight in batches)
    assert index.dtype == np.int32 and weight.dtype == np.float32
    np.testing.assert_array_equal(index[weight == 1], np.arange(examples))
    assert set(weight[examples:]) <= {0.0} and weight.sum() == examples
    assert index.min() >= 0 and index.max() == examples - 1
