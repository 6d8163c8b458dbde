"""The losses that the region-wise paper compares."""

import pytest

from segjax.errors import UserError
from segjax.recipes.region_wise import LOSSES, region_wise_loss


def test_maps_and_partners_follow_from_the_word():
    for word in LOSSES:
        terms = region_wise_loss(word)
        partner = next((p for p in ("dice", "cross_entropy") if word.endswith(p)), None)
        if word.startswith(("rrw", "rw_boundary")):
            wanted = "rectified" if word.startswith("rrw") else "boundary"
            assert terms["region_wise"].maps == wanted
            assert set(terms) == {"region_wise", partner} - {None}
            scheduled = "gradual" in word
            weights = [term.weight for term in terms.values()]
            assert all(hasattr(weight, "rising") == scheduled for weight in weights)


def test_the_boundary_loss_of_the_paper_is_region_wise():
    """Its maps are RW-boundary maps, equation (3), not those of the loss `boundary`."""
    terms = region_wise_loss("boundary")
    assert list(terms) == ["dice", "region_wise"] and terms["region_wise"].maps == "boundary"
    weights = terms["dice"].weight, terms["region_wise"].weight
    assert [weight.over_epochs for weight in weights] == [100, 100]
    assert [weight.rising for weight in weights] == [False, True]
    assert [weight.every for weight in weights] == ["epoch", "epoch"]
    assert region_wise_loss("boundary", "step")["dice"].weight.every == "step"


def test_the_losses_of_the_tables():
    assert region_wise_loss("focal")["focal"].gamma == 2.0
    assert region_wise_loss("weighted_cross_entropy")["region_wise_cross_entropy"].maps == (
        "rectified"
    )
    assert list(region_wise_loss("dice")) == ["dice"]


def test_another_word_is_refused():
    with pytest.raises(UserError, match=r"loss='rw': takes one of rrw.*did you mean 'rrw'"):
        region_wise_loss("rw")
