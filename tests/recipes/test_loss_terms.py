"""A loss as a term, and the one map that each loss of maps has."""

import jax.numpy as jnp
import numpy as np
import pytest

from segjax import losses, maps
from segjax.config import lookup
from segjax.errors import UserError
from segjax.explore.loss_text import parse_loss
from segjax.recipes import loss_terms
from segjax.recipes.loss_terms import segmentation_losses, term

OF_MAPS = [
    name
    for name in segmentation_losses()
    if "maps" in lookup.array_parameters(getattr(losses, name))
]


def test_losses_of_logits_with_labels_or_maps_are_offered():
    names = segmentation_losses()
    assert {"dice", "cross_entropy", "boundary", "region_wise", "topological"} <= set(names)
    assert not {"triplet", "guidance", "multiscale_softmax_cross_entropy"} & set(names)
    assert names == [name for name in losses.__all__ if name in names]


def test_a_term_is_complete():
    section = term("focal", gamma=3.0)
    wanted = {"name": "focal"} | lookup.options_of(losses.focal)
    assert section.to_dict() == wanted | {"gamma": 3.0, "weight": 1.0}
    assert term("boundary", 0.1, maps="boundary").maps == "boundary"
    late = lookup.spec("weights", "warm_up", value=0.5)
    assert term("dice", late).weight.to_dict() == late.to_dict()
    with pytest.raises(UserError, match=r"gama.*did you mean 'gamma'"):
        term("focal", gama=3.0)


def test_every_loss_of_maps_has_its_own_default():
    assert set(OF_MAPS) == set(loss_terms.DEFAULT_MAPS)
    for name in OF_MAPS:
        assert loss_terms.default_map(name) in maps.__all__
    assert loss_terms.default_map("mine:loss") == "rectified"


@pytest.mark.parametrize("name", OF_MAPS)
def test_an_experiment_and_a_landscape_take_the_same_map(name):
    assert (
        term(name).maps == parse_loss(name).maps.function.__name__ == loss_terms.default_map(name)
    )


def test_the_boundary_loss_is_measured_from_the_outermost_pixels_of_the_class():
    labels = jnp.zeros((1, 7, 7), jnp.int32).at[:, 2:5, 2:5].set(1)
    phi = lookup.find("maps", term("boundary").maps)(labels, 2)[0, 3, :, 1]
    np.testing.assert_array_equal(phi, [2, 1, 0, -1, 0, 1, 2])
