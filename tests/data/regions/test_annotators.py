"""Labels and regions from several annotators."""

import pytest

from segjax.data.regions import aggregated

M, T, D = "macula", "temporal", "disc_inferior"


@pytest.mark.parametrize(
    "annotations, label",
    [
        ([(), (), ()], 0),
        ([(M,), (), ()], None),
        ([(M,), (), (M,)], 1),
        ([(M,), (T,), (D,)], 1),
        ([()], 0),
        ([(M,)], None),
        ([(M,), (M,)], 1),
        ([(M,), ()], None),
        # Two thirds of 4, 5 and 6
        ([(M,), (M,), (), ()], None),
        ([(M,), (M,), (M,), ()], 1),
        ([(M,), (M,), (M,), (), ()], None),
        ([(M,), (M,), (M,), (M,), ()], 1),
        ([(M,), (M,), (M,), (M,), (), ()], 1),
        ([(M,), (M,), (M,), (), (), ()], None),
    ],
)
def test_the_vote(annotations, label):
    assert aggregated(annotations).label == label


def test_the_number_that_is_needed():
    two = [(M,), (T,), ()]
    assert aggregated(two, needed=2).label == 1
    # The letter of the paper: more than two of three
    assert aggregated(two, needed=3).label is None
    assert aggregated([(M,), (M,), (T,)], needed=3).label == 1
    assert aggregated([(M,)], needed=1).label == 1
    assert aggregated([(), ()], needed=1).label == 0


def test_regions_are_the_union_in_their_order():
    found = aggregated([[T, M], {M}, (), [D, D]])
    assert found.regions == (D, M, T)
    # Of an undecided image too; of an absent finding none
    assert aggregated([(T,), (), ()]) == (None, (T,))
    assert aggregated([(), [], set()]) == (0, ())


@pytest.mark.parametrize(
    "annotations, words",
    [
        ([], "`annotations` takes"),
        ("macula", "`annotations` takes"),
        ([(M,), "macula"], r"`annotations\[1\]` takes a collection"),
        ([(), ("temporl",)], r"`annotations\[1\]` takes .* did you mean 'temporal'"),
    ],
)
def test_aggregated_refuses(annotations, words):
    with pytest.raises(ValueError, match=words):
        aggregated(annotations)


@pytest.mark.parametrize("needed", [0, 1.5, True])
def test_a_wrong_number_is_refused(needed):
    with pytest.raises(ValueError, match="`needed` takes"):
        aggregated([(M,)], needed=needed)
