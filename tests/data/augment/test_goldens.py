"""No draw and no pixel changes: outputs for given keys are those stored in goldens.npz."""

import numpy as np
import pytest

from tests.data.augment import goldens


@pytest.fixture(scope="module")
def stored():
    with np.load(goldens.FILE) as file:
        return dict(file)


def inputs_of(stored, case):
    own = {name: array for name, array in stored.items() if name.rsplit("/", 1)[0] == case}
    return {name: array for name, array in own.items() if "/out" not in name}


def test_the_file_holds_every_case(stored):
    cases = {name.rsplit("/", 1)[0] for name in stored}
    assert cases == set(goldens.cases())


@pytest.mark.parametrize("case", goldens.cases())
def test_outputs_for_given_keys_are_those_stored(stored, case):
    got = goldens.outputs(case, inputs_of(stored, case))
    wanted = [stored[f"{case}/out{k}"] for k in range(len(got))]
    assert len(got) == sum(name.startswith(f"{case}/out") for name in stored)
    for one, other in zip(got, wanted, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        # Other optimisations and processors round in other places; a changed draw is far off.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
