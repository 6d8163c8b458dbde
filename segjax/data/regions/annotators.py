"""One label and one set of regions from what several annotators marked."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from segjax import checks
from segjax.data.regions.geometry import in_order


class Aggregate(NamedTuple):
    """What the annotators of an image say of a finding.

    Attributes:
        label: 1 present, 0 absent, None undecided.
        regions: all that any of them marked, in the order of `REGIONS`.
    """

    label: int | None
    regions: tuple[str, ...]


def aggregated(annotations: Sequence[Collection[str]], *, needed: int | None = None) -> Aggregate:
    """The label of a finding in an image, and the union of the regions marked for it.

    Absent where no annotator marked a region, present where at least `needed` did, undecided
    otherwise: such an image is left out of training and test for this finding.

    Source: Son et al. (2018), section 3.1: "absent when no ophthalmologists annotated and present
    when more than 2 out of 3 ophthalmologists annotated".
    Departures: read to the letter, "more than 2 out of 3" is all three; two are enough here, as in
    a vote of the majority. `needed=3` is the letter.

    Args:
        annotations: for each annotator the names of the regions marked for this finding; none
            where it is absent.
        needed: annotators who have to mark a finding for it to be present. None: at least two
            thirds of them, and at least two.

    Returns: `Aggregate`. Undecided images have regions too.
    Empty cases: annotators who all marked nothing give (0, ()). One annotator alone decides on
        absence, and on presence with `needed=1` only.
    Raises: ValueError without annotators, on a name that is not in `REGIONS` or a text instead of
        names, or on `needed` below 1.
    Cost: O(annotators).
    """
    if isinstance(annotations, str) or not len(annotations):
        raise ValueError(
            f"`annotations` takes a collection of regions for each annotator, got {annotations!r}"
        )
    checks.check("needed", needed, checks.none_or(checks.whole(least=1)))
    marked = [in_order(f"annotations[{i}]", names) for i, names in enumerate(annotations)]
    if needed is None:
        needed = max(2, -(-2 * len(marked) // 3))
    votes = sum(bool(names) for names in marked)
    label = 0 if votes == 0 else 1 if votes >= needed else None
    return Aggregate(label, in_order("annotations", [name for names in marked for name in names]))
