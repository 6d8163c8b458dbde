"""What the argument `loss` of an experiment stands for."""

import pytest

from segjax.errors import UserError
from segjax.recipes import combinations
from segjax.recipes.combinations import PUBLISHED, segmentation_loss
from segjax.recipes.loss_terms import segmentation_losses


def test_recipes_are_those_of_the_papers():
    assert set(PUBLISHED) <= set(segmentation_losses())
    for name in PUBLISHED:
        terms = segmentation_loss(name)
        assert name in terms and len(terms) == 2
        (alone,) = segmentation_loss(name, alone=True).items()
        assert alone[0] == name and alone[1].weight == 1.0
    terms = segmentation_loss("hausdorff_dt")
    assert terms["dice"].weight.against == "hausdorff_dt" and terms["hausdorff_dt"].weight == 1.0
    shares = {name: term.weight for name, term in segmentation_loss("soft_cl_dice").items()}
    assert shares == {"dice": 0.5, "soft_cl_dice": 0.5}


def test_a_partner_gives_way():
    terms = combinations.gradual("dice", "boundary", over_epochs=7, every="step")
    falling, rising = terms["dice"].weight, terms["boundary"].weight
    assert list(terms) == ["dice", "boundary"] and terms["boundary"].maps == "signed"
    assert not falling.rising and rising.rising
    for weight in (falling, rising):
        assert (weight.name, weight.over_epochs, weight.every) == ("gradual", 7, "step")
    over_all = segmentation_loss("boundary")
    assert list(over_all) == ["generalized_dice", "boundary"]
    weight = over_all["boundary"].weight
    assert (weight.over_percent, weight.over_epochs) == (100, None)


def test_a_loss_sets_in_late():
    terms = segmentation_loss("topological")
    assert terms["cross_entropy"].weight == 1.0
    late = terms["topological"].weight
    assert (late.name, late.value, late.until_percent) == ("warm_up", 0.005, 33)


def test_a_sum_adds_its_terms_with_weight_one():
    terms = segmentation_loss("dice+hausdorff_dt+focal")
    assert {name: term.weight for name, term in terms.items()} == {
        "dice": 1.0,
        "hausdorff_dt": 1.0,
        "focal": 1.0,
    }


def test_a_loss_the_library_has_not_got_a_recipe_for_is_taken_as_it_is():
    assert list(segmentation_loss("cross_entropy")) == ["cross_entropy"]


@pytest.mark.parametrize(
    "text, words",
    [("dize", "did you mean 'dice'"), ("dice+dice", "twice"), ("", "It takes a sum of")],
)
def test_what_is_no_segmentation_loss_is_named(text, words):
    with pytest.raises(UserError, match=f"^loss={text!r}: .*{words}".replace("+", r"\+")) as caught:
        segmentation_loss(text)
    assert "\n" not in str(caught.value)
