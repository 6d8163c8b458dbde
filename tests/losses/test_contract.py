"""What every loss owes, whatever it measures."""

import inspect

import jax.numpy as jnp
import pytest

from segjax import losses
from segjax.tasks.binding import array_parameters

from .oracles import ORACLES


def test_every_loss_has_an_oracle():
    assert sorted(ORACLES) == sorted(losses.__all__)


def test_positional_parameters_are_arrays_and_keyword_only_ones_are_options():
    for name in losses.__all__:
        for parameter in inspect.signature(getattr(losses, name)).parameters.values():
            is_array = parameter.default is inspect.Parameter.empty
            assert is_array == (parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD), name


def test_docstrings_say_where_a_loss_comes_from_and_what_it_does_at_the_edges():
    for name in losses.__all__:
        text = inspect.getdoc(getattr(losses, name))
        for heading in ("Source:", "Departures:", "Returns:", "Empty cases:", "Raises:", "Cost:"):
            assert heading in text, (name, heading)


@pytest.mark.parametrize("shape", [(0, 8, 8, 2), (1, 0, 8, 2), (1, 8, 8, 0)])
def test_a_batch_without_images_or_pixels_is_refused(shape):
    logits, labels = jnp.zeros(shape), jnp.zeros(shape[:-1], jnp.int32)
    given = {"logits": logits, "labels": labels, "maps": logits}
    for name in losses.__all__:
        loss = getattr(losses, name)
        arrays = array_parameters(loss)
        if set(arrays) <= set(given):
            with pytest.raises(ValueError, match="at least one image, pixel and channel"):
                loss(*(given[array] for array in arrays))
